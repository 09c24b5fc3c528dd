#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/updated_tensor.hpp"
#include "natgrad/array.hpp"

#include <cstdint>
#include <span>

// Memory and vectors of the seam (src/backend/backend.hpp says what each does), enqueued
// on a stream. Views are of that stream's device. `partials`: `partial_count` doubles of scratch.

namespace natgrad::kernels {

/// Whether the current device can run the kernels of this build.
cudaError_t loadable();

void copy(Stream stream, const ConstView& from, const View& to);
void fill(Stream stream, double value, const View& to);
void gather_rows(Stream stream, const ConstView& from, const ConstView& rows, const View& to);
void commit(Stream stream, const ConstView& flag, const ConstView& from, const View& to);

void axpby(Stream stream, DeviceScalar a, const ConstView& x, DeviceScalar b, const View& y);
void multiply(Stream stream, const ConstView& x, const ConstView& y, const View& z);
void divide(Stream stream, const ConstView& f, DeviceScalar shift, const ConstView& b,
            const View& x, const View& info, double* partials);
void dot(Stream stream, const ConstView& x, const ConstView& y, const View& result,
         double* partials);
void residual(Stream stream, const ConstView& b, const ConstView& product, DeviceScalar shift,
              const ConstView& x, const View& result, const View& square, double* partials);
/// Many tensors by one launch: a step has few numbers in most of them.
void check_update(Stream stream, std::span<const UpdatedTensor> tensors, DeviceScalar rate,
                  DeviceScalar shrink, const View& finite);
void update(Stream stream, DeviceScalar accept, std::span<const UpdatedTensor> tensors,
            DeviceScalar rate, DeviceScalar shrink);
void adam(Stream stream, const ConstView& g, double rate, double beta1, double beta2,
          double epsilon, std::int64_t step, const View& mean, const View& square,
          const View& theta);

}  // namespace natgrad::kernels
