#pragma once

#include "kernels/formulas/updated_tensor.hpp"
#include "natgrad/array.hpp"
#include "natgrad/parameters.hpp"
#include "optimizer/first_order_access.hpp"

#include <cstdint>
#include <variant>
#include <vector>

namespace natgrad {

/// Gradient ascent with classical momentum: v = momentum v + g, theta += rate v.
struct Sgd {
  double momentum = 0.9;  ///< 0 <= momentum < 1
};

/// Adam (Kingma, Ba 2015, algorithm 1).
struct Adam {
  double beta1 = 0.9;     ///< 0 <= beta1 < 1
  double beta2 = 0.999;   ///< 0 <= beta2 < 1
  double epsilon = 1e-8;  ///< > 0
};

/// Plain gradient methods, for comparison with the natural gradient. All are uphill: they are given
/// the gradient of the mean log-likelihood.
class FirstOrder {
 public:
  struct Options {
    std::variant<Sgd, Adam> rule = Sgd{};
    double rate = 0.1;  ///< finite, > 0
    /// theta shrinks by rate * weight_decay a step, outside the moving averages (Loshchilov, Hutter
    /// 2019). Finite, >= 0; rate * it <= 1.
    double weight_decay = 0;
  };

  /// Throws `OptionError` for an option outside its range.
  FirstOrder(Parameters parameters, Options options);

  /// Moves the parameters. `gradient`: P contiguous numbers of their type. Does not wait.
  void step(const ConstView& gradient);

 private:
  friend struct detail::FirstOrderAccess;
  void sgd_step(const Sgd& sgd, const ConstView& gradient);
  void adam_step(const Adam& adam, const ConstView& gradient);

  Parameters parameters_;
  Options options_;
  Array mean_;    // (P): the velocity where there is momentum, or Adam's average of the gradient
  Array square_;  // (P): Adam's average of its square
  std::vector<UpdatedTensor> updates_;  // one a tensor
  mutable std::int64_t steps_ = 0;      // a checkpoint sets it through its list of saved values
};

}  // namespace natgrad
