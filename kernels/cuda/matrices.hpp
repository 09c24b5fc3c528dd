#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"

#include <cstdint>

// Triangles, diagonals, projections and columns of matrices, enqueued on a stream. Operands and
// results are those of the operation of the same name in src/backend/blas.hpp. `lower`: which
// triangle. `partials`: `partial_count` doubles of scratch.

namespace natgrad::kernels {

void mirror(Stream stream, const ConstView& lower, const View& upper);
void norm_and_trace(Stream stream, const ConstView& lower, const ConstView& upper, const View& norm,
                    const View& trace, double* partials);
/// result = info, cuSOLVER's int, or the first element of the factor's diagonal, counted from 1,
/// that is not positive: cuSOLVER 13 says 0 where the last pivot of 64 or 128 rows in double is 0.
/// By one block.
void store_info(Stream stream, const int* info, const ConstView& factor, const View& result);
/// By one block: the diagonal is short beside the matrix.
void smallest_pivots(Stream stream, const ConstView& A, DeviceScalar shift, const ConstView& factor,
                     const View& result);
void project(Stream stream, const ConstView& u, const View& y, double* partials);
void project_matrix(Stream stream, bool lower, const ConstView& u, const ConstView& product,
                    const View& A, double* partials);
void column_sums(Stream stream, double factor, const ConstView& A, const View& result);
void column_squares(Stream stream, const ConstView& A, bool add, const View& result);

}  // namespace natgrad::kernels
