#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"

#include <cstdint>

// Elementwise work and inner products of arrays, enqueued on a stream. Operands and results are
// those of the operation of the same name in src/backend (arrays.hpp, blas.hpp, step.hpp), whose
// views are of the stream's device. `partials`: `partial_count` doubles of scratch.

namespace natgrad::kernels {

void copy(Stream stream, const ConstView& from, const View& to);
void commit(Stream stream, const ConstView& flag, const ConstView& from, const View& to);
void fill(Stream stream, double value, const View& to);
void gather_rows(Stream stream, const ConstView& from, const ConstView& rows, const View& to);
void axpby(Stream stream, DeviceScalar a, const ConstView& x, DeviceScalar b, const View& y);
void multiply(Stream stream, const ConstView& x, const ConstView& y, const View& z);
void inverse_roots(Stream stream, const ConstView& x, double smallest, const View& y);
void adam(Stream stream, const ConstView& g, double rate, double beta1, double beta2,
          double epsilon, std::int64_t step, const View& mean, const View& square,
          const View& theta);

void divide(Stream stream, const ConstView& f, DeviceScalar shift, const ConstView& b,
            const View& x, const View& info, double* partials);
void dot(Stream stream, const ConstView& x, const ConstView& y, const View& result,
         double* partials);
void residual(Stream stream, const ConstView& b, const ConstView& product, DeviceScalar shift,
              const ConstView& x, const View& result, const View& square, double* partials);

}  // namespace natgrad::kernels
