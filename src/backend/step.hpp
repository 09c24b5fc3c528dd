#pragma once

#include "backend/types.hpp"
#include "kernels/formulas/scalar_formulas.hpp"
#include "kernels/formulas/updated_tensor.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <span>

namespace natgrad {

/// The scalars of a solve and a step, and the parameters' update.
class StepOperations {
 public:
  virtual ~StepOperations() = default;

  /// to = flag > 0 ? from : to, never a product with zero.
  virtual void commit(const ConstView& flag, const ConstView& from, const View& to) = 0;

  /// finite = 0 when an element of (1 - decay shrink) theta + rate d of any tensor is not finite;
  /// else it keeps its value, so that several calls make one verdict. Tensors of one T.
  virtual void check_update(std::span<const UpdatedTensor> tensors, Scalar rate, Scalar shrink,
                            const View& finite) = 0;
  /// theta = accept > 0 ? (1 - decay shrink) theta + rate d : theta of every tensor.
  virtual void update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
                      Scalar shrink) = 0;
  /// One step of Adam (Kingma, Ba 2015) uphill along g: both averages and theta, `step` from 1.
  virtual void adam(const ConstView& g, double rate, double beta1, double beta2, double epsilon,
                    std::int64_t step, const View& mean, const View& square, const View& theta) = 0;

  /// Runs one of the formulas of kernels/formulas/scalar_formulas.hpp, whose addresses are of this
  /// device's memory.
  virtual void evaluate(const ScalarFormula& formula) = 0;
  /// Copies a record (n) float64, whose first number k >= 1 says which it is, to
  /// slots[(k - 1) % count], slots (count, n) in memory that the host reads without a call; the
  /// first number is written last.
  virtual void publish(const ConstView& record, const View& slots) = 0;
};

}  // namespace natgrad
