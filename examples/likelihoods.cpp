// Poisson regression by Fisher's scoring: the natural gradient of the exact Fisher matrix with
// damping 0 and rate 1, of a net without hidden layers. Counts of a randomized controlled trial,
// three outcomes by three treatments (Dobson 1990, page 93). The program ends well when the
// coefficients are the published ones.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  // Indicators of the second and third outcome and treatment.
  const std::vector<double> indicators = {0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0,   //
                                          0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0,   //
                                          0, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1};  //
  const std::vector<double> counts = {18, 17, 15, 20, 10, 20, 25, 13, 12};
  const natgrad::ConstView inputs(indicators.data(), {9, 4});
  const natgrad::ConstView targets(counts.data(), {9, 1});
  // [shown]
  natgrad::FullyConnected net(natgrad::Context::cpu(),
                              {.sizes = {4, 1},  // no hidden layer: a generalized linear model
                               .likelihood = natgrad::Likelihood::poisson,
                               .type = natgrad::ElementType::float64});
  const natgrad::Parameters& parameters = net.parameters();
  const std::vector<double> start = {std::log(150.0 / 9)};  // the link of the mean count
  parameters.context().write(start.data(), parameters.tensor({parameters.segments() - 1}));
  natgrad::LayerScores exact(parameters, {.kind = natgrad::FisherKind::exact});
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 0},
                                                  .step = natgrad::FixedRate{1},
                                                  .momentum = natgrad::NoMomentum{}});
  for (int step = 0; step < 8; ++step) {
    net.forward(inputs);
    net.compute_exact(targets);  // rows and, for the gradient, their coefficients
    net.add_exact_to(exact, {.samples = inputs.rows()});
    optimizer.step(exact);
  }
  // [end]
  std::vector<double> weights(4);
  parameters.context().read(parameters.tensor({0}), weights.data());
  for (const double weight : weights) std::printf("%.4f ", weight);
  std::printf("\n");
  const std::vector<double> published = {-0.4543, -0.2930, 0, 0};
  for (std::size_t i = 0; i < 4; ++i) {
    if (!(std::abs(weights[i] - published[i]) < 5e-5)) return 1;
  }
  return 0;
}
