// The Fisher matrix on its own: standard errors of a maximum-likelihood fit are the roots of the
// diagonal of F^-1. The model is the logistic regression of the first example at its fit, where
// four samples each have p = 1/4 and p = 3/4. The program ends well when the errors are the known
// ones: sqrt(4/3) of b, sqrt(8/3) of w, and so is det F = 9/16.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  constexpr int N = 8, P = 2;
  std::vector<double> theta = {2 * std::log(3), -std::log(3)};  // w, b
  std::vector<double> rows(N * P);
  for (int n = 0; n < N; ++n) {
    const double x = n / 4;  // 0 or 1
    const double p = 1 / (1 + std::exp(-(theta[0] * x + theta[1])));
    rows[n * P] = std::sqrt(p * (1 - p)) * x;
    rows[n * P + 1] = std::sqrt(p * (1 - p));
  }
  natgrad::Parameters parameters(natgrad::Context::cpu());
  parameters.add({theta.data(), {P}}, "theta");
  // [shown]
  // Row n: the root of the output's variance p (1 - p) times dz/dtheta, so that S^T S is the Fisher
  // matrix of sample n in closed form. A weight of 1: of the sum over the samples, not the mean.
  natgrad::DenseScores scores(parameters, {.kind = natgrad::FisherKind::exact});
  natgrad::FisherMatrix fisher(parameters, {.damping = {.absolute = 0}});
  scores.begin({rows.data(), {N, P}}, {.weight = 1});
  fisher.accumulate(scores);  // any number of times, in memory that does not grow

  std::vector<double> variance(P);  // the diagonal of F^-1
  const natgrad::Outcome outcome = fisher.inverse_diagonal({variance.data(), {P}});
  const natgrad::Spectrum spectrum = fisher.spectrum();
  // [end]
  std::printf("w = %.4f +- %.4f, b = %.4f +- %.4f\n", theta[0], std::sqrt(variance[0]), theta[1],
              std::sqrt(variance[1]));
  std::printf("rank %d, condition %.3f, log det F = %.6f\n", static_cast<int>(spectrum.rank()),
              spectrum.condition(), spectrum.log_determinant());
  const bool right = std::abs(variance[0] - 8.0 / 3) + std::abs(variance[1] - 4.0 / 3) < 1e-12 &&
                     spectrum.rank() == P &&
                     std::abs(spectrum.log_determinant() - std::log(9.0 / 16)) < 1e-12;
  return right && outcome == natgrad::Outcome::accepted ? 0 : 1;
}
