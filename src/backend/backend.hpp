#pragma once

#include "backend/arrays.hpp"
#include "backend/blas.hpp"
#include "backend/rows.hpp"
#include "backend/step.hpp"
#include "backend/types.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>

namespace natgrad {

/// The backend interface: the array operations that the library is written on, in groups, over
/// views on one device. Work is ordered as called; only `synchronize`, `upload` and `download` wait
/// for it. Operands were validated by the caller: shapes fit, and types are the ones named.
/// Matrices are row-major and may be strided; vectors are contiguous unless said. One-element
/// results are float64. The same operands give the same bits with the same number of threads.
///
/// A new operation enters with its reference in tests/support/reference_backend* and its cases in
/// tests/backend/operations_*.cpp; the suite fails while a case is missing.
class Backend : public ArrayOperations,
                public BlasOperations,
                public RowOperations,
                public StepOperations {
 public:
  /// The CUDA stream that work is enqueued on; null on the CPU.
  virtual void* stream() const { return nullptr; }
  /// Whether `MathMode::tf32` is another arithmetic than `strict` here.
  virtual bool has_tf32() const { return false; }
  MathMode math_mode(bool allow_tf32) const {
    return allow_tf32 && has_tf32() ? MathMode::tf32 : MathMode::strict;
  }
  /// Memory that enqueued work writes and the host reads without a call, for reports of steps; null
  /// where all of the backend's memory is such.
  virtual std::shared_ptr<const Allocator> visible_memory() const { return nullptr; }

  // Models.
  /// z += bias (d_out) in every row of z (N, d_out), then a = activation(z). a may be z.
  virtual void bias_activation(Activation activation, const ConstView& bias, const View& z,
                               const View& a) = 0;
  /// delta = delta * activation'(z), with a = activation(z). Of z and a the derivative reads what
  /// its formula needs (z for gelu, a for the others).
  virtual void activation_backward(Activation activation, const ConstView& z, const ConstView& a,
                                   const View& delta) = 0;
  /// score_nc = [c = label_n] - softmax(z_m)_c, m = n / R; a label outside [0, C) gives a row of
  /// NaN. z (N, C), labels (N R), score (N R, C): R rows of score share one of z.
  virtual void categorical_score(const ConstView& z, const ConstView& labels,
                                 const View& score) = 0;
  /// labels (N draws) int32, label n draws + k drawn from softmax(z_n): the first class whose
  /// cumulative probability, in double, is above the uniform number that follows from key, counter
  /// and n draws + k alone (kernels/formulas/likelihoods/categorical.hpp). -1 where a number of z_n
  /// is not finite. `counter`, one-element float64 and a whole number, is then 1 larger: a replayed
  /// call draws anew.
  virtual void sample_categorical(const ConstView& z, std::uint64_t key, std::int64_t draws,
                                  const View& counter, const View& labels) = 0;
  /// log_p_n = log softmax(z_n)_label, float64 (N) over z of either type; NaN for a label outside
  /// [0, C).
  virtual void categorical_log_likelihood(const ConstView& z, const ConstView& labels,
                                          const View& log_p) = 0;
  /// result[0] = sum_n log softmax(z_n)_label, result[1] = number of rows whose largest output is
  /// the label; float64 (2).
  virtual void categorical_evaluate(const ConstView& z, const ConstView& labels,
                                    const View& result) = 0;
};

}  // namespace natgrad
