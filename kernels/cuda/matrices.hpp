#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"

#include <cstdint>

// Symmetric matrices, columns and centring of the seam (src/backend/backend.hpp says what each
// does), enqueued on a stream. `lower`: which triangle. `partials`: `partial_count` doubles.

namespace natgrad::kernels {

/// C = b C, for products whose inner dimension is 0; b = 0 ignores what C held.
void scale_matrix(Stream stream, double b, const View& C);
/// The same of one triangle.
void scale_triangle(Stream stream, bool lower, double b, const View& C);
/// cuSOLVER's info as a double.
void store_info(Stream stream, const int* info, const View& result);

/// By one block: the diagonal is short beside the matrix.
void smallest_pivots(Stream stream, const ConstView& A, DeviceScalar shift, const ConstView& factor,
                     const View& result);
void add_to_diagonal(Stream stream, DeviceScalar value, const View& A);
void diagonal(Stream stream, const ConstView& A, const View& d);
void mirror(Stream stream, const ConstView& lower, const View& upper);
void norm_and_trace(Stream stream, const ConstView& lower, const ConstView& upper, const View& norm,
                    const View& trace, double* partials);
void project(Stream stream, const ConstView& u, const View& y, double* partials);
void project_matrix(Stream stream, bool lower, const ConstView& u, const ConstView& product,
                    const View& A, double* partials);
void identity_unless(Stream stream, const ConstView& flag, bool lower, const View& A);
void column_sums(Stream stream, double factor, const ConstView& A, const View& result);
void column_squares(Stream stream, const ConstView& A, bool add, const View& result);

}  // namespace natgrad::kernels
