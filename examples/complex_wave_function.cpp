// One step of stochastic reconfiguration for a complex wave function of one real parameter:
// log psi(x) = -(1/2 + i theta) x^2, with the energy of the harmonic oscillator, E = x^2 / 2 -
// psi'' / (2 psi). The ground state has theta = 0.
#include <natgrad/natgrad.hpp>

#include <complex>
#include <cstdio>
#include <vector>

int main() {
  const int N = 400;
  double theta = 0.5;
  natgrad::Parameters parameters(natgrad::Context::cpu());
  parameters.add({&theta, {1}}, "theta");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-9},
                                                  .step = natgrad::FixedRate{0.2},
                                                  .momentum = natgrad::NoMomentum{}});
  std::vector<double> row(2 * N), energy(2 * N), weight(N);
  const natgrad::ConstView rows(row.data(), {2 * N, 1});
  const natgrad::ConstView energies(energy.data(), {2 * N});
  const natgrad::ConstView weights(weight.data(), {N});
  for (int step = 0; step < 40; ++step) {
    double sum = 0;
    for (int n = 0; n < N; ++n) {  // a grid in place of samples; |psi|^2 = exp(-x^2)
      const double x = -5 + 10.0 * n / (N - 1);
      const std::complex<double> a(0.5, theta);  // log psi = -a x^2
      const std::complex<double> local = x * x / 2 - (4.0 * a * a * x * x - 2.0 * a) / 2.0;
      row[n] = 0;           // the real part of d log psi / d theta
      row[N + n] = -x * x;  // the imaginary part
      energy[n] = -local.real();
      energy[N + n] = -local.imag();
      sum += weight[n] = std::exp(-x * x);
    }
    for (double& w : weight) w /= sum;
    // [shown]
    natgrad::DenseScores scores(parameters, {.kind = natgrad::FisherKind::exact});
    scores.begin(rows,  // (2N, P): N real parts of grad log psi, then N imaginary parts
                 {.samples = N,
                  .weights = weights,        // (N): |psi|^2; samples of it have none
                  .coefficients = energies,  // (2N): real parts of -E_n, then imaginary parts
                  .centering = natgrad::Centering::rows,
                  .parts = 2});
    optimizer.step(
        scores);  // F = Re(sum w (o - mean)^* (o - mean)^T), g = Re(sum w (o - mean)^* c)
    // [end]
  }
  std::printf("theta = %.1e, %s\n", theta, to_string(optimizer.report().outcome));
  return std::abs(theta) < 1e-3 ? 0 : 1;
}
