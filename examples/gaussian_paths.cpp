// Follows gradient and natural paths of a Gaussian that is fitted to samples, in three
// parameterizations: undamped natural steps follow one path, whatever the parameters; damped ones
// and plain gradient steps follow several. Prints a JSON line for every step.

#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using natgrad::DensityFamily;

constexpr double first_mean = -0.5;
constexpr double first_scale = 1.8;
const std::vector<double> samples = {0.9, 1.4, 1.1, 1.9, 1.3, 0.6, 1.2, 1.6};

std::vector<double> theta_of(DensityFamily family, double mean, double scale) {
  if (family == DensityFamily::gaussian_scale) return {mean, scale};
  if (family == DensityFamily::gaussian_log_scale) return {mean, std::log(scale)};
  return {mean / (scale * scale), -1 / (2 * scale * scale)};
}

void print(const std::string& method, double damping, DensityFamily family, double rate, int step,
           const std::vector<double>& theta, double loss) {
  double mean = theta[0];
  double scale = theta[1];
  if (family == DensityFamily::gaussian_log_scale) scale = std::exp(theta[1]);
  if (family == DensityFamily::gaussian_natural) {
    mean = -theta[0] / (2 * theta[1]);
    scale = std::sqrt(-1 / (2 * theta[1]));
  }
  std::printf(
      "{\"method\": \"%s\", \"damping\": %g, \"parameterization\": \"%s\", \"rate\": %g, "
      "\"step\": %d, \"time\": %.6g, \"mean\": %.10g, \"scale\": %.10g, \"loss\": %.10g}\n",
      method.c_str(), damping, to_string(family), rate, step, rate * step, mean, scale, loss);
}

/// One path; damping < 0 is plain gradient ascent.
void follow(DensityFamily family, double rate, int steps, double damping) {
  const natgrad::Context context = natgrad::Context::best();
  natgrad::Density density(context, {.family = family});
  density.write(theta_of(family, first_mean, first_scale));

  const auto count = static_cast<std::int64_t>(samples.size());
  const natgrad::Array x = context.array({count, 1}, natgrad::ElementType::float64);
  context.write(samples.data(), x);
  const natgrad::Array gradient = context.array({2, 1}, natgrad::ElementType::float64);
  const natgrad::Array loss = context.array({1, 1}, natgrad::ElementType::float64);

  natgrad::DenseScores fisher(density.parameters(), {.kind = natgrad::FisherKind::exact});
  natgrad::NaturalGradient natural(density.parameters(),
                                   {.damping = {.absolute = damping < 0 ? 0 : damping},
                                    .step = natgrad::FixedRate{rate},
                                    .momentum = natgrad::NoMomentum{},
                                    .form = natgrad::Form::primal});
  natgrad::FirstOrder plain(density.parameters(), {.rule = natgrad::Sgd{0}, .rate = rate});

  for (int step = 0; step <= steps; ++step) {
    double value = 0;
    density.loss(x, loss);
    context.read(loss, &value);
    print(damping < 0 ? "gradient" : "natural", damping < 0 ? 0 : damping, family, rate, step,
          density.read(), value);
    if (step == steps) break;

    // [shown]
    density.compute(x);  // scores s_n of the samples
    density.gradient(gradient);
    if (damping < 0) {
      plain.step(gradient);
    } else {
      density.compute_exact();  // rows R with R^T R = F
      density.add_exact_to(fisher);
      natural.step(
          natgrad::Batch{.fisher = fisher, .gradient = natgrad::Gradient{.view = gradient}});
    }
    // [end]
  }
}

}  // namespace

int main() {
  for (const DensityFamily family :
       {DensityFamily::gaussian_scale, DensityFamily::gaussian_log_scale,
        DensityFamily::gaussian_natural}) {
    for (const double rate : {0.04, 0.02}) {
      for (const double damping : {0.0, 0.1, -1.0}) {
        follow(family, rate, static_cast<int>(std::lround(4 / rate)), damping);
      }
    }
  }
}
