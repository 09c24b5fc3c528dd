#pragma once

#include "natgrad/array.hpp"
#include "natgrad/export.hpp"
#include "natgrad/scores.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace natgrad {

/// Writes log p of every row, or what else the row is the derivative of (a residual for
/// `FisherKind::residual`, log psi), at the parameters as they stand when it is called: `log_p` is
/// float64 (rows) on the context's device, in the order of the rows: with `RowSet::parts` = 2 the N
/// real parts of log psi, then the N imaginary ones. Two calls at the same parameters
/// must give the same: leave dropout and other noise out, or draw the same numbers in every call.
using LogLikelihood = std::function<void(const View& log_p)>;

/// How the rows themselves compare with differences of log p. Along a random direction v of the
/// parameters, a row's product s_n . v is the slope of log p(x_n), which the central difference
/// (log p(theta + h v) - log p(theta - h v)) / 2h tells without derivatives.
struct LikelihoodCheck {
  struct Options {
    int directions = 3;      ///< random directions, at least 1
    std::uint64_t seed = 0;  ///< of the directions
    /// h >= 0 and < 1. Each tensor moves by h times the root mean square of its numbers, or that of
    /// all parameters where it is larger (1 where all are 0), in the mean. The differences err by
    /// h^2 and eps / h, eps the rounding of log p. 0: by the parameters' type, 2^-20 for double,
    /// where they come within 1e-8 of smooth functions, and 2^-12 for float, where 1e-3.
    double step = 0;
    /// A row is off when along more than half of the directions it misses its difference by more
    /// than this times the difference or the root mean square of all rows', whichever is larger.
    /// >= 0 and < 1; 0: by the parameters' type, 1e-5 for double, 1e-2 for float.
    double tolerance = 0;
  };

  /// The largest over the directions of |S v - difference| / |difference|, norms over the rows.
  /// Where log p bends within the step, as at the kink of relu, and the two one-sided differences
  /// are more than the tolerance apart, a row counts with what lies beyond three times the half of
  /// that. (Of a deep, wide relu net in float one row in some hundreds may still be a little off.)
  /// NaN where nothing can be compared. Beyond 0.1 `text` never says that they agree.
  double distance = 0;
  double factor = 0;           ///< the f that makes |S v - f difference| smallest
  double distance_scaled = 0;  ///< the same distance from f difference
  /// Rows that are off; the rows not finite where there are any, or those of which two calls at the
  /// same parameters differ.
  std::int64_t rows_off = 0;
  std::int64_t worst_row = 0;   ///< the row that is off the most, or the first not finite one
  double worst_product = 0;     ///< s_n . v of the worst row
  double worst_difference = 0;  ///< and the difference that it should be
  std::vector<std::string> uncovered;  ///< names of parameters that no row touches
  /// Whether they agree, what a factor such as -1, 1/N or -1/N usually means, and the worst row
  /// where they do not; that log p is not reproducible; which operand (a layer's input or output
  /// score, a weight, a coefficient, a parameter) is not finite, or which weight is negative.
  std::string text;
};

/// Compares the rows of a set, without weights and coefficients but with `RowSet::scale`, with
/// differences of `log_likelihood`: what `Scores::check` finds of their sum, and also single rows,
/// and factors of a layer that make a wrong row but the right sum. Meant for the first batch of a
/// new program.
///
/// Calls `log_likelihood` at the parameters as they are, moves them and calls it at the 2
/// `directions` points, and once more at the parameters as they were: 2 `directions` + 2 calls. The
/// parameters are restored bit for bit, also when it throws, and the exception passes on
/// (`std::bad_alloc` as `MemoryError`). The rows are read before the first call, which may
/// overwrite them as `FullyConnected::forward` does; after the last call a net's arrays are again
/// what they were. What it gives is compared in double on the host. Costs 2 P operations a row and
/// direction, and four random numbers a parameter and direction, made on the host. Waits. Throws
/// `OptionError` for options out of range, `ArgumentError` for an empty function or scores without
/// rows, `MemoryError`; nothing has changed then. NaN or Inf is no exception but said in `text`,
/// with `distance` NaN.
NATGRAD_EXPORT LikelihoodCheck check_scores(const Scores& scores,
                                            const LogLikelihood& log_likelihood,
                                            const LikelihoodCheck::Options& options = {});

}  // namespace natgrad
