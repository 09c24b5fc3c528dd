#pragma once

#include "natgrad/array.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"

#include <memory>
#include <variant>

namespace natgrad {

namespace detail {
struct FirstOrderAccess;
}

/// Gradient ascent with classical momentum (Polyak 1964): v = momentum v + g, theta += rate v.
struct Sgd {
  double momentum = 0.9;  ///< 0 <= momentum < 1
};

/// Adam (Kingma, Ba 2015, "Adam: a method for stochastic optimization", algorithm 1), uphill.
struct Adam {
  double beta1 = 0.9;     ///< 0 <= beta1 < 1
  double beta2 = 0.999;   ///< 0 <= beta2 < 1
  double epsilon = 1e-8;  ///< finite, > 0
};

/// Takes plain first-order steps on the same `Parameters` as `NaturalGradient`, to compare with.
/// Like it, it goes uphill: g is the gradient of the mean log-likelihood.
class NATGRAD_EXPORT FirstOrder {
 public:
  using Rule = std::variant<Sgd, Adam>;

  struct Options {
    Rule rule = Sgd{};
    double rate = 0.1;  ///< finite, > 0
    /// theta shrinks by rate * weight_decay a step, outside the moving averages (Loshchilov, Hutter
    /// 2019, "Decoupled weight decay regularization"). Finite, >= 0; rate * it <= 1.
    double weight_decay = 0;
  };

  /// Allocates P numbers for momentum, 2 P for Adam, of the parameters' type, and sets them to 0.
  /// Does not wait. Throws `OptionError` naming every option that is wrong, `ArgumentError` without
  /// parameters, and `MemoryError` without room.
  FirstOrder(Parameters parameters, Options options);
  ~FirstOrder();
  FirstOrder(FirstOrder&&) noexcept;
  FirstOrder& operator=(FirstOrder&&) noexcept;
  FirstOrder(const FirstOrder&) = delete;
  FirstOrder& operator=(const FirstOrder&) = delete;

  /// Moves the parameters by one step. `gradient`: g, P contiguous numbers of the parameters' type
  /// on their device. Costs one pass over parameters, gradient and averages. Does not wait. Numbers
  /// are not checked: a gradient that is not finite makes the parameters so. Throws `ShapeError`,
  /// `TypeError`, `DeviceError` or `ArgumentError` for a gradient that does not fit, and
  /// `ArgumentError` when the parameters have grown since the constructor.
  void step(const ConstView& gradient);

  const Options& options() const;
  const Parameters& parameters() const;

 private:
  friend struct detail::FirstOrderAccess;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
