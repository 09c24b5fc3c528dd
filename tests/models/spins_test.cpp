#include "support/device.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

// The transverse-field Ising chain and its restricted Boltzmann machine against the Hamiltonian as
// a matrix.

namespace natgrad::tests {

namespace {

using Numbers = std::vector<double>;
using Machine = RestrictedBoltzmann;

double spin(std::size_t code, std::int64_t i) { return ((code >> i) & 1) != 0 ? 1 : -1; }

/// H v, v over all 2^n configurations.
Numbers hamiltonian(const IsingChain& chain, std::int64_t sites, const Numbers& v) {
  Numbers result(v.size(), 0.0);
  for (std::size_t code = 0; code < v.size(); ++code) {
    for (std::int64_t i = 0; i < sites; ++i) {
      result[code] -= chain.coupling * spin(code, i) * spin(code, (i + 1) % sites) * v[code];
      result[code] -= chain.field * v[code ^ (std::size_t{1} << i)];
    }
  }
  return result;
}

double dot(const Numbers& a, const Numbers& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// By power iteration with c - H from equal amplitudes, whose sector holds the ground state.
double lowest_eigenvalue(const IsingChain& chain, std::int64_t sites) {
  const double shift = static_cast<double>(sites) * (chain.coupling + chain.field);
  Numbers v(std::size_t{1} << sites, 1.0);
  double value = 0;
  for (int k = 0; k < 400; ++k) {
    const Numbers Hv = hamiltonian(chain, sites, v);
    value = dot(v, Hv) / dot(v, v);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = shift * v[i] - Hv[i];
    const double norm = std::sqrt(dot(v, v));
    for (double& x : v) x /= norm;
  }
  return value;
}

TEST(spins, free_fermions_give_the_lowest_eigenvalue) {
  for (std::int64_t sites = 2; sites <= 7; ++sites) {
    for (const IsingChain chain : {IsingChain{}, IsingChain{.coupling = 0.5, .field = 1.5},
                                   IsingChain{.coupling = 1, .field = 0.7}}) {
      SCOPED_TRACE(sites);
      EXPECT_NEAR(ground_state_energy(chain, sites), lowest_eigenvalue(chain, sites), 1e-10);
    }
  }
  EXPECT_NEAR(ground_state_energy({}, 16), -20.404594474757, 1e-11);
}

TEST(spins, refuses_chains_that_are_none) {
  EXPECT_THROW(ground_state_energy({}, 1), OptionError);
  EXPECT_THROW(ground_state_energy({.coupling = 0}, 4), OptionError);
  EXPECT_THROW(ground_state_energy({.field = -1}, 4), OptionError);
  const Context context = test_context();
  EXPECT_THROW(SpinClasses(context, 1, true), OptionError);
  EXPECT_THROW(SpinClasses(context, 21, true), OptionError);
  EXPECT_THROW(Machine(context, {.sites = 1}), OptionError);
  EXPECT_THROW(Machine(context, {.density = 0}), OptionError);
  EXPECT_THROW(Machine(context, {.type = ElementType::int32}), OptionError);
  Machine machine(context, {.sites = 4, .density = 1});
  LayerScores scores(machine.parameters());
  EXPECT_THROW(machine.add_to(scores), ArgumentError);
  const Array spins = context.array({3, 4}, ElementType::float64);
  const Array number = context.array({1, 1}, ElementType::float64);
  EXPECT_THROW(machine.metropolis(spins, 0, number), OptionError);
  EXPECT_THROW(machine.compute(context.array({3, 5}, ElementType::float64)), ShapeError);
  EXPECT_THROW(machine.write(Numbers(3)), ShapeError);
  const Machine plain(context, {.sites = 4, .density = 1, .symmetric = false});
  const SpinClasses classes(context, 4, true);
  const Array column = context.array({classes.count(), 1}, ElementType::float64);
  const Array other = context.array({classes.count(), 1}, ElementType::float64);
  const Array third = context.array({classes.count(), 1}, ElementType::float64);
  EXPECT_THROW(plain.class_energies(classes, {}, column, other, third), OptionError);
}

TEST(spins, classes_are_the_necklaces) {
  const Context context = test_context();
  // OEIS A000031, A000079.
  const std::vector<std::int64_t> necklaces = {3, 4, 6, 8, 14, 20, 36, 60, 108};
  for (std::int64_t sites = 2; sites <= 10; ++sites) {
    const SpinClasses classes(context, sites, true);
    ASSERT_EQ(classes.count(), necklaces[static_cast<std::size_t>(sites - 2)]);
    const auto codes = host_copy<std::int32_t>(context, classes.codes());
    const auto multiplicities = host_copy<double>(context, classes.multiplicities());
    const auto neighbours = host_copy<std::int32_t>(context, classes.neighbours());
    const std::size_t count = std::size_t{1} << sites;
    EXPECT_EQ(std::accumulate(multiplicities.begin(), multiplicities.end(), 0.0),
              static_cast<double>(count));
    EXPECT_TRUE(std::is_sorted(codes.begin(), codes.end()));
    const auto translated = [&](std::size_t code) {
      return ((code << 1) | (code >> (sites - 1))) & (count - 1);
    };
    for (std::size_t c = 0; c < codes.size(); ++c) {
      for (std::int64_t i = 0; i < sites; ++i) {
        std::size_t turned = static_cast<std::size_t>(codes[c]) ^ (std::size_t{1} << i);
        std::size_t smallest = turned;
        for (std::int64_t t = 0; t < sites; ++t) {
          turned = translated(turned);
          smallest = std::min(smallest, turned);
        }
        const auto at = static_cast<std::size_t>(
            neighbours[c * static_cast<std::size_t>(sites) + static_cast<std::size_t>(i)]);
        EXPECT_EQ(static_cast<std::size_t>(codes[at]), smallest);
      }
    }
  }
  EXPECT_EQ(SpinClasses(context, sanitized ? 12 : 16, true).count(), sanitized ? 352 : 4116);
  EXPECT_EQ(SpinClasses(context, 5, false).count(), 32);
  EXPECT_TRUE(SpinClasses(context, 5, false).neighbours().empty());
}

/// A machine with all of its parameters in use, and the spins of all classes.
struct Chain {
  Context context;
  IsingChain hamiltonian{.coupling = 1, .field = 0.8};
  Machine machine;
  SpinClasses classes;
  Array spins, log_psi, probabilities, energies, moments;

  Chain(Context where, const Machine::Options& options)
      : context(std::move(where)),
        machine(context, options),
        classes(context, options.sites, options.symmetric) {
    const std::int64_t count = classes.count();
    spins = context.array({count, options.sites}, options.type);
    classes.spins(0, spins);
    for (Array* column : {&log_psi, &probabilities, &energies}) {
      *column = context.array({count, 1}, ElementType::float64);
    }
    moments = context.array({2, 1}, ElementType::float64);
    Numbers theta = machine.read();
    for (std::size_t i = 0; i < theta.size(); ++i) {
      theta[i] += 0.05 * std::sin(static_cast<double>(3 * i + 1));
    }
    machine.write(theta);
  }

  /// The energy at the parameters as they stand.
  double energy() {
    machine.log_psi(spins, log_psi);
    machine.class_energies(classes, hamiltonian, log_psi, probabilities, energies);
    machine.moments(energies, probabilities, moments);
    return host_copy<double>(context, moments)[0];
  }
};

constexpr Machine::Options symmetric{.sites = 5, .density = 2, .initial_scale = 0.3};
constexpr Machine::Options plain{
    .sites = 4, .density = 2, .symmetric = false, .initial_scale = 0.3};

/// log psi of a plain machine, by its definition.
double definition(const Numbers& theta, const Machine::Options& options, std::size_t code) {
  const std::int64_t n = options.sites;
  const std::int64_t filters = options.symmetric ? options.density : options.density * n;
  const std::int64_t visible = options.symmetric ? 1 : n;
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    sum += theta[static_cast<std::size_t>(options.symmetric ? 0 : i)] * spin(code, i);
  }
  for (std::int64_t f = 0; f < filters; ++f) {
    for (std::int64_t t = 0; t < (options.symmetric ? n : 1); ++t) {
      double unit = theta[static_cast<std::size_t>(visible + f)];
      for (std::int64_t j = 0; j < n; ++j) {
        unit += theta[static_cast<std::size_t>(visible + filters + f * n + j)] *
                spin(code, (j + t) % n);
      }
      sum += std::log(std::cosh(unit));
    }
  }
  return sum;
}

TEST(spins, energies_are_those_of_the_hamiltonian) {
  for (const Machine::Options& options : {symmetric, plain}) {
    Chain chain(test_context(), options);
    const double energy = chain.energy();
    const Numbers theta = chain.machine.read();
    Numbers psi(std::size_t{1} << options.sites);
    for (std::size_t code = 0; code < psi.size(); ++code) {
      psi[code] = std::exp(definition(theta, options, code));
    }
    const Numbers H_psi = hamiltonian(chain.hamiltonian, options.sites, psi);
    EXPECT_NEAR(energy, dot(psi, H_psi) / dot(psi, psi), 1e-12);

    const auto codes = host_copy<std::int32_t>(chain.context, chain.classes.codes());
    const auto log_psi = host_copy<double>(chain.context, chain.log_psi);
    const auto probabilities = host_copy<double>(chain.context, chain.probabilities);
    const auto of_classes = host_copy<double>(chain.context, chain.energies);
    chain.machine.compute(chain.spins);
    chain.machine.local_energies(chain.hamiltonian, chain.energies);
    const auto by_turning = host_copy<double>(chain.context, chain.energies);
    const auto multiplicities = host_copy<double>(chain.context, chain.classes.multiplicities());
    for (std::size_t c = 0; c < codes.size(); ++c) {
      const auto code = static_cast<std::size_t>(codes[c]);
      EXPECT_NEAR(log_psi[c], std::log(psi[code]), 1e-13);
      EXPECT_NEAR(probabilities[c], multiplicities[c] * psi[code] * psi[code] / dot(psi, psi),
                  1e-13);
      EXPECT_NEAR(of_classes[c], H_psi[code] / psi[code], 1e-11);
      EXPECT_NEAR(by_turning[c], H_psi[code] / psi[code], 1e-11);
    }
  }
}

TEST(spins, rows_are_scores_of_the_distribution) {
  for (const Machine::Options& options : {symmetric, plain}) {
    Chain chain(test_context(), options);
    chain.machine.compute(chain.spins);
    LayerScores scores(chain.machine.parameters(), {.kind = FisherKind::exact});
    chain.machine.add_to(scores);
    const auto log_p = [&](const View& result) {
      chain.machine.log_psi(chain.spins, result);
      Numbers numbers = host_copy<double>(chain.context, result);
      for (double& number : numbers) number *= 2;
      chain.context.write(numbers.data(), result);
    };
    const LikelihoodCheck check = check_scores(scores, log_p);
    EXPECT_LE(check.distance, 1e-7) << check.text;
    EXPECT_EQ(check.rows_off, 0) << check.text;
    EXPECT_TRUE(check.uncovered.empty());
  }
}

RowSet downhill(const Chain& chain) {
  return {.weights = chain.probabilities,
          .coefficients = chain.energies,
          .scale = -1,
          .centering = Centering::rows};
}

TEST(spins, the_gradient_is_that_of_the_energy) {
  for (const Machine::Options& options : {symmetric, plain}) {
    Chain chain(test_context(), options);
    chain.energy();
    chain.machine.compute(chain.spins);
    LayerScores scores(chain.machine.parameters(), {.kind = FisherKind::exact});
    chain.machine.add_to(scores, downhill(chain));
    const Array gradient =
        chain.context.array({chain.machine.parameters().size(), 1}, ElementType::float64);
    scores.gradient(gradient);
    const Numbers g = host_copy<double>(chain.context, gradient);
    const Numbers theta = chain.machine.read();
    for (std::size_t i = 0; i < theta.size(); ++i) {
      constexpr double h = 1e-5;
      const auto energy_at = [&](double step) {
        Numbers moved = theta;
        moved[i] += step;
        chain.machine.write(moved);
        return chain.energy();
      };
      EXPECT_NEAR(g[i], (energy_at(-h) - energy_at(h)) / (2 * h), 1e-8) << i;
    }
  }
}

/// Energies before each of ten steps with exact sums.
Numbers ten_steps(Chain chain) {
  LayerScores scores(chain.machine.parameters(), {.kind = FisherKind::exact});
  NaturalGradient optimizer(chain.machine.parameters(),
                            {.damping = {.absolute = 0, .relative = 1e-4},
                             .step = FixedRate{0.2},
                             .momentum = NoMomentum{}});
  Numbers energies;
  for (int step = 0; step < 10; ++step) {
    energies.push_back(chain.energy());
    chain.machine.compute(chain.spins);
    chain.machine.add_to(scores, downhill(chain));
    optimizer.step(scores);
  }
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  return energies;
}

/// Energies of samples before each of ten steps, and the acceptance of the last.
Numbers ten_sampled_steps(const Context& context, const Machine::Options& options) {
  Chain chain(context, options);
  constexpr std::int64_t chains = 40;
  const Array spins = context.array({chains, options.sites}, options.type);
  Numbers start(static_cast<std::size_t>(spins.view().size()));
  for (std::size_t i = 0; i < start.size(); ++i) start[i] = i % 3 == 0 ? -1 : 1;
  context.write(start.data(), spins);
  const Array acceptance = context.array({1, 1}, ElementType::float64);
  const Array energies = context.array({chains, 1}, ElementType::float64);
  LayerScores scores(chain.machine.parameters(), {.kind = FisherKind::sampled});
  NaturalGradient optimizer(chain.machine.parameters(),
                            {.damping = {.absolute = 0, .relative = 1e-2},
                             .step = FixedRate{0.2},
                             .momentum = Spring{0.9}});
  Numbers figures;
  for (int step = 0; step < 10; ++step) {
    chain.machine.metropolis(spins, options.sites, acceptance);
    chain.machine.compute(spins);
    chain.machine.local_energies(chain.hamiltonian, energies);
    chain.machine.moments(energies, {}, chain.moments);
    figures.push_back(host_copy<double>(context, chain.moments)[0]);
    chain.machine.add_to(scores,
                         {.coefficients = energies, .scale = -1, .centering = Centering::rows});
    optimizer.step(scores);
  }
  figures.push_back(host_copy<double>(context, acceptance)[0]);
  EXPECT_EQ(chain.machine.draw_counter(), 10);
  return figures;
}

TEST(spins, ten_steps_go_down_the_same_way_on_every_device) {
  for (const Machine::Options& options : {symmetric, plain}) {
    const Numbers here = ten_steps(Chain(test_context(), options));
    const Numbers on_cpu = ten_steps(Chain(Context::cpu(), options));
    EXPECT_TRUE(relative_error_within(here, on_cpu, 1e-10));
    const double exact = ground_state_energy({.field = 0.8}, options.sites);
    EXPECT_LT(here.back() - exact, 0.1 * (here.front() - exact));
    EXPECT_GT(here.back(), exact);
    EXPECT_TRUE(relative_error_within(ten_sampled_steps(test_context(), options),
                                      ten_sampled_steps(Context::cpu(), options), 1e-8));
  }
}

TEST(spins, chains_sample_the_distribution) {
  const Context context = test_context();
  Chain chain(context, symmetric);
  const double exact = chain.energy();
  const double square = host_copy<double>(context, chain.moments)[1];
  const std::int64_t chains = sanitized || test_device().kind != DeviceKind::cpu ? 200 : 4000;
  const Array spins = context.array({chains, symmetric.sites}, ElementType::float64);
  const Numbers start(static_cast<std::size_t>(spins.view().size()), 1.0);
  context.write(start.data(), spins);
  const Array acceptance = context.array({1, 1}, ElementType::float64);
  const Array energies = context.array({chains, 1}, ElementType::float64);
  chain.machine.metropolis(spins, 30 * symmetric.sites, acceptance);
  chain.machine.compute(spins);
  chain.machine.local_energies(chain.hamiltonian, energies);
  chain.machine.moments(energies, {}, chain.moments);
  const double error = std::sqrt((square - exact * exact) / static_cast<double>(chains));
  EXPECT_NEAR(host_copy<double>(context, chain.moments)[0], exact, 4 * error);
  const double share = host_copy<double>(context, acceptance)[0];
  EXPECT_GT(share, 0.2);
  EXPECT_LT(share, 1);
}

TEST(spins, frozen_chains_have_acceptance_0) {
  const Context context = test_context();
  Machine machine(context, {.sites = 4, .density = 1});
  Numbers theta = machine.read();
  theta[0] = 400;  // log psi = 400 sum s: no spin turns down
  machine.write(theta);
  const Array spins = context.array({10, 4}, ElementType::float64);
  const Numbers up(40, 1.0);
  context.write(up.data(), spins);
  const Array acceptance = context.array({1, 1}, ElementType::float64);
  machine.metropolis(spins, 8, acceptance);
  EXPECT_EQ(host_copy<double>(context, acceptance)[0], 0);
  EXPECT_EQ(host_copy<double>(context, spins), up);
}

}  // namespace

}  // namespace natgrad::tests
