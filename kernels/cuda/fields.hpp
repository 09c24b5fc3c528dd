#pragma once

#include "kernels/cuda/launch.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad::kernels {

// The field operations of the backend interface (src/backend/fields.hpp says what each does),
// enqueued on a stream.

void tanh_terms(Stream stream, std::int64_t terms, const ConstView& bias, const View& z,
                const View& a);
void tanh_terms_backward(Stream stream, std::int64_t terms, const ConstView& z, const ConstView& a,
                         const View& delta);
void draw_points(Stream stream, std::uint64_t key, const ConstView& counter, bool on_faces,
                 const View& x);
void solution_at(Stream stream, PoissonSolution solution, bool laplacian, const ConstView& x,
                 const View& value);

}  // namespace natgrad::kernels
