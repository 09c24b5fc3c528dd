#pragma once

#include "backend/types.hpp"
#include "kernels/formulas/step_scalars.hpp"
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

  // Scalars of a solve and a step.
  /// Runs one of the formulas of kernels/formulas/step_scalars.hpp on the scalars of a solve or a
  /// step.
  virtual void update_scalars(ScalarRule rule, const ScalarArguments& arguments,
                              const View& scalars) = 0;
  /// Copies the scalars to slots[(step - 1) % count] in memory that the host reads without a call.
  virtual void publish(const ConstView& scalars, const View& slots) = 0;
};

}  // namespace natgrad
