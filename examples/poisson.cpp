// Solves Poisson's equation in the unit square by a physics-informed net, to a known answer.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const natgrad::Context context = natgrad::Context::cpu();
  // [shown]
  natgrad::PoissonProblem problem(context, {.dimension = 2, .interior = 900, .boundary = 120});
  natgrad::LaplacianNet net(context, {.dimension = 2, .hidden = {64}});
  natgrad::LayerScores rows(net.parameters(), {.kind = natgrad::FisherKind::residual});
  natgrad::NaturalGradient optimizer(
      net.parameters(), {.damping = {.absolute = 1e-3, .rule = natgrad::StepLengthDamping{}},
                         .step = natgrad::GeodesicAcceleration{},
                         .momentum = natgrad::NoMomentum{}});
  for (int step = 0; step < 150; ++step) {
    net.linearize({problem.interior(), problem.laplacian(), problem.boundary(), problem.values()});
    net.add_to(rows, problem.weights());
    optimizer.step(
        {.fisher = rows, .residuals = [&](const natgrad::View& r) { net.residuals_to(r); }});
  }
  // [end]
  const std::vector<double> points = {0.25, 0.25, 0.5, 0.5, 0.1, 0.8};
  std::vector<double> u(3);
  net.values_to({points.data(), {3, 2}}, {u.data(), {3}});
  double largest = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const double exact = std::sin(M_PI * points[2 * i]) * std::sin(M_PI * points[2 * i + 1]);
    largest = std::fmax(largest, std::abs(u[i] - exact));
  }
  std::printf("u(0.5, 0.5) = %.8f; largest error at three points %.1e\n", u[1], largest);
  return largest < 1e-5 ? 0 : 1;
}
