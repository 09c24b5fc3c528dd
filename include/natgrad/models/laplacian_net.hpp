#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace natgrad {

/// A fully connected tanh net u(x) of d coordinates with one output, and the least squares of
/// Poisson's equation: residuals Laplacian u(x_n) - f_n at interior points and u(x_n) - g_n at
/// boundary points, rows in this order, with their derivatives by the weights. Value, the d first
/// derivatives and the Laplacian are propagated forward through the layers together (Li, Ye, Zhang
/// et al. 2023, "Forward Laplacian", arXiv 2307.08214), and one reverse pass of the same terms
/// gives the factors of the rows: T = d + 2 terms a layer, of which the first alone has the bias,
/// and T = 1 at boundary points. It owns the weights. N_i, N_b: interior and boundary points, N
/// both.
class NATGRAD_EXPORT LaplacianNet {
 public:
  struct Options {
    std::int64_t dimension = 2;               ///< d, > 0
    std::vector<std::int64_t> hidden = {64};  ///< tanh units of the hidden layers, at least one
    ElementType type = ElementType::float64;  ///< float32 or float64
    /// Key of the initial weights and biases, uniform in +-1 / sqrt(d_in): the same numbers on
    /// every machine and backend.
    std::uint64_t seed = 0;
  };

  /// Where the residuals are taken, and of what; arrays of the caller's on the context's device
  /// that must stay while they are used, and may change between steps.
  struct Conditions {
    ConstView interior;       ///< (N_i, d), N_i > 0, contiguous, of the net's type
    ConstView laplacian;      ///< f (N_i, 1) float64, contiguous
    ConstView boundary = {};  ///< (N_b, d); none: there are no boundary points
    ConstView values = {};    ///< g (N_b, 1)
  };

  /// Makes a net with drawn weights. Waits. Throws `OptionError` for numbers out of range,
  /// `MemoryError` without room.
  LaplacianNet(const Context& context, const Options& options);
  ~LaplacianNet();
  LaplacianNet(LaplacianNet&&) noexcept;
  LaplacianNet& operator=(LaplacianNet&&) noexcept;
  LaplacianNet(const LaplacianNet&) = delete;
  LaplacianNet& operator=(const LaplacianNet&) = delete;

  /// The weight (d_out, d_in) and the bias (d_out) of every layer, first layer first.
  const Parameters& parameters() const;
  const Options& options() const;

  /// Takes these conditions and computes their residuals, and the factors of their derivatives, at
  /// the parameters as they stand: 2 (T N_i + N_b) P operations forward and as many back. Allocates
  /// when there are more points than ever before. Does not wait. Throws `ShapeError`, `TypeError`,
  /// `DeviceError` or `ArgumentError` for views that do not fit, and keeps the ones before;
  /// `MemoryError` without room, and has then none.
  void linearize(const Conditions& conditions);

  /// Begins a set with the rows of `linearize`, of kind `residual`, whose coefficients are minus
  /// the residuals; `weights` (N, 1), one a row, or none: 1 / N. The set's views are valid until
  /// the next `linearize`. Does not wait. Throws `ArgumentError` before `linearize` and for scores
  /// of other parameters or another kind; what `LayerScores::begin` throws for weights.
  void add_to(LayerScores& scores, const ConstView& weights = {}) const;

  /// Writes the residuals of the conditions at the parameters as they now stand, (N, 1) float64,
  /// contiguous: for `Batch::residuals`. Leaves what `add_to` gave as it is. Forward passes alone.
  /// Does not wait and allocates nothing. Throws `ArgumentError` before `linearize`, `ShapeError`,
  /// `TypeError` or `DeviceError` for a result that does not fit.
  void residuals_to(const View& residuals);

  /// Minus the residuals of the last `linearize`, (N, 1) float64, valid until the next. Throws
  /// `ArgumentError` before it.
  ConstView coefficients() const;

  /// Writes 1/2 sum_n w_n r_n^2 of residuals of either sign, (N, 1) float64, to `loss`, one
  /// float64; `weights` as in `add_to`, float64 and contiguous. Does not wait and allocates
  /// nothing. Throws as `residuals_to`.
  void loss_of(const ConstView& residuals, const View& loss, const ConstView& weights = {});

  /// Writes u of points (M, d) to `u` (M, 1) float64, contiguous, at the parameters as they stand.
  /// Allocates when there are more points than ever before. Does not wait. Throws as `linearize`.
  void values_to(const ConstView& points, const View& u);

  /// Bytes that a net of these options holds, weights included, that has taken conditions of so
  /// many points and values at so many. Throws `OptionError` as the constructor, and `MemoryError`
  /// for more bytes than an address can count.
  static std::int64_t bytes(const Options& options, std::int64_t interior, std::int64_t boundary,
                            std::int64_t evaluated = 0);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
