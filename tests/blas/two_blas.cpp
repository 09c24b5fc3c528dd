#include "other_blas.h"
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

// A step of natgrad, which calls its BLAS, and a complex product of another library's: both must be
// right in one process, before and after each other, in every order of linking that is supported
// (docs/linking.md). Exits with 0 then.

namespace {

bool vdot_is_right() {
  const std::vector<double> x = {1, 2, -3, 0.5, 0.25, -1};
  const std::vector<double> y = {2, -1, 1, 4, -2, 8};
  double real = 0;
  double imaginary = 0;
  for (std::size_t i = 0; i < x.size(); i += 2) {
    real += x[i] * y[i] + x[i + 1] * y[i + 1];
    imaginary += x[i] * y[i + 1] - x[i + 1] * y[i];
  }
  double result[2] = {0, 0};
  other_vdot(3, x.data(), y.data(), result);
  const double error = std::hypot(result[0] - real, result[1] - imaginary);
  std::printf("vdot (%g, %g), error %g\n", result[0], result[1], error);
  return error <= 1e-14 * std::hypot(real, imaginary);
}

/// One step on rows whose matrix is 2 I: (2 I + 2 I)^-1 g is known.
bool step_is_right() {
  std::vector<double> theta = {0, 0};
  std::vector<double> rows = {2, 0, 0, 2};
  natgrad::Parameters parameters(natgrad::Context::cpu());
  parameters.add({theta.data(), {2}});
  for (const natgrad::Form form : {natgrad::Form::primal, natgrad::Form::dual}) {
    theta = {0, 0};
    natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 2},
                                                    .step = natgrad::FixedRate{.rate = 1},
                                                    .momentum = natgrad::NoMomentum{},
                                                    .form = form});
    natgrad::DenseScores scores(parameters);
    scores.begin(natgrad::ConstView(rows.data(), {2, 2}));
    optimizer.step(scores);
    std::printf("step (%g, %g)\n", theta[0], theta[1]);
    if (!(std::abs(theta[0] - 0.25) < 1e-14 && std::abs(theta[1] - 0.25) < 1e-14)) return false;
  }
  return true;
}

}  // namespace

int main() { return vdot_is_right() && step_is_right() && vdot_is_right() ? 0 : 1; }
