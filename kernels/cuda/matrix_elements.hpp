#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"

// Elementwise work that goes by the place in a matrix: its diagonal, a triangle, its columns;
// enqueued on a stream. Operands and results are those of the operation of the same name in
// src/backend/blas.hpp, whose views are of the stream's device.

namespace natgrad::kernels {

void add_to_diagonal(Stream stream, DeviceScalar value, const View& A);
/// `lower`: which triangle.
void identity_unless(Stream stream, const ConstView& flag, bool lower, const View& A);
void scale_symmetric(Stream stream, bool lower, const ConstView& factors, const View& A);
void scale_columns(Stream stream, const ConstView& A, const ConstView& factors, const View& B);

/// C = b C, for products whose inner dimension is 0; b = 0 ignores what C held.
void scale_matrix(Stream stream, double b, const View& C);
/// One triangle of C = b C, the lower one with `lower`; b = 0 ignores what C held.
void scale_triangle(Stream stream, bool lower, double b, const View& C);

}  // namespace natgrad::kernels
