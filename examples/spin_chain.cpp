// The ground state of a chain of eight spins by variational Monte Carlo, to a known energy.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const natgrad::Context context = natgrad::Context::cpu();
  const int n = 500;
  std::vector<double> spin(8 * n, 1.0), energy(n), accepted(1);
  const natgrad::View spins(spin.data(), {n, 8});
  const natgrad::View energies(energy.data(), {n});
  const natgrad::View acceptance(accepted.data(), {1});
  // [shown]
  natgrad::RestrictedBoltzmann psi(context, {.sites = 8, .density = 2});
  natgrad::LayerScores scores(psi.parameters(), {.kind = natgrad::FisherKind::sampled});
  natgrad::NaturalGradient optimizer(psi.parameters(), {.damping = {.relative = 1e-3},
                                                        .step = natgrad::FixedRate{0.2},
                                                        .momentum = natgrad::NoMomentum{}});
  for (int step = 0; step < 150; ++step) {
    psi.metropolis(spins, 2 * 8, acceptance);  // 500 chains of p = psi^2, one a row of spins
    psi.compute(spins);
    psi.local_energies({.coupling = 1, .field = 1}, energies);
    psi.add_to(scores,
               {.coefficients = energies, .scale = -1, .centering = natgrad::Centering::rows});
    optimizer.step(scores);
  }
  // [end]
  double mean = 0;
  for (const double e : energy) mean += e / n;
  const double exact = natgrad::ground_state_energy({.coupling = 1, .field = 1}, 8);
  std::printf("energy %.4f, exact %.4f; acceptance %.2f\n", mean, exact, accepted[0]);
  return std::abs(mean - exact) < 0.02 * std::abs(exact) ? 0 : 1;
}
