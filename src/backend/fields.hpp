#pragma once

#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// What scalar fields u(x) of d coordinates need: units with their derivatives, exact solutions,
/// points. Rows come in groups of `terms` adjacent ones, T: of one point its value, its d
/// derivatives and its Laplacian, T = d + 2; or T = 1, the value alone.
class FieldOperations {
 public:
  virtual ~FieldOperations() = default;

  /// z_0 += bias (d_out) in the first row of every group of z (N T, d_out), then a of tanh units:
  /// a_0 = tanh(z_0), a_i = a' z_i, and of the last row a' z_L + a'' sum_i z_i^2 with tanh's
  /// derivatives at z_0. z and a of one float type; a may be z.
  virtual void tanh_terms(std::int64_t terms, const ConstView& bias, const View& z,
                          const View& a) = 0;
  /// delta (N T, d_out), derivatives with respect to a, becomes those with respect to z. Of z what
  /// `tanh_terms` left, of a the first row of every group is read.
  virtual void tanh_terms_backward(std::int64_t terms, const ConstView& z, const ConstView& a,
                                   const View& delta) = 0;

  /// Draws points x (N, d) uniform in the unit cube, or on its faces: a function of key, counter
  /// and place alone (kernels/formulas/fields.hpp).
  virtual void draw_points(std::uint64_t key, const ConstView& counter, bool on_faces,
                           const View& x) = 0;
  /// value_n = u(x_n), or with `laplacian` that of u, of an exact solution: value (N) float64,
  /// computed in double from x (N, d) of a float type. sin and cos are the device's own.
  virtual void solution_at(PoissonSolution solution, bool laplacian, const ConstView& x,
                           const View& value) = 0;
};

}  // namespace natgrad
