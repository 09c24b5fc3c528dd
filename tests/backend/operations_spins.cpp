#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

// Spins +-1 on a chain, and restricted Boltzmann machines.

namespace natgrad::tests {

namespace {

constexpr ElementType float64 = ElementType::float64;
constexpr IsingChain chain{.coupling = 0.75, .field = 1.25};

struct ChainSize {
  std::int64_t rows, sites, hidden;
};
constexpr ChainSize chain_sizes[] = {{0, 3, 4},  {1, 2, 1},   {13, 3, 15}, {5, 4, 16},
                                     {7, 5, 67}, {2, 3, 600}, {70, 6, 12}};

/// A machine and its configurations.
struct Subject {
  Operand weights, visible, bias, spins;
  ChainSize size;

  Subject(Trial& trial, const ChainSize& size, ElementType type, Use of_spins) : size(size) {
    weights = trial.matrix(size.sites, size.hidden, type, Use::input);
    visible = trial.vector(size.sites, type, Use::input);
    bias = trial.vector(size.hidden, type, Use::input);
    spins = trial.matrix(size.rows, size.sites, type, of_spins);
    std::vector<double> signs = trial.given(spins);
    for (double& sign : signs) sign = sign < 0 ? -1 : 1;
    trial.set(spins, signs);
  }
  BoltzmannMachine machine(const Side& of) const {
    return {.weights = of(weights), .visible = of(visible), .bias = of(bias)};
  }
  double units() const { return static_cast<double>(size.sites + size.hidden); }
};

/// body(trial, subject) for machines of every size.
template <class Body>
void for_machines(TestDevice& device, ElementType type, Use of_spins, const Body& body) {
  for (const ChainSize& size : chain_sizes) {
    SCOPED_TRACE(std::to_string(size.rows) + " rows of " + std::to_string(size.sites) + " sites, " +
                 std::to_string(size.hidden) + " hidden units");
    Trial trial(device);
    body(trial, Subject(trial, size, type, of_spins));
  }
}

/// theta (N, M), of either sign and up to `factor`.
Operand units_of(Trial& trial, const ChainSize& size, ElementType type, Use use, double factor) {
  const Operand theta = trial.matrix(size.rows, size.hidden, type, use);
  std::vector<double> numbers = trial.given(theta);
  for (double& number : numbers) number *= factor;
  trial.set(theta, numbers);
  return theta;
}

void add_amplitudes(OperationTable& table, double factor, const std::string& name) {
  table.add_types("spin_amplitudes", name, [=](TestDevice& device, ElementType type) {
    for_machines(device, type, Use::input, [&](Trial& trial, const Subject& subject) {
      const ChainSize& size = subject.size;
      const Operand theta = units_of(trial, size, type, Use::both, factor);
      const Operand tanh = trial.matrix(size.rows, size.hidden, type, Use::output);
      const Operand log_psi = trial.vector(size.rows, float64, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.spin_amplitudes(subject.machine(of), of(subject.spins), of(theta), of(tanh),
                                of(log_psi));
      });
      trial.expect_rounded(theta, 2);
      // theta was rounded before.
      trial.expect_within(tanh, rounding_bound(8, type, factor + 1));
      trial.expect_within(log_psi, rounding_bound(8 * subject.units(), type, factor + 1));
    });
  });
}

void add_energies(OperationTable& table) {
  table.add_types("local_energies", "", [](TestDevice& device, ElementType type) {
    for_machines(device, type, Use::input, [&](Trial& trial, const Subject& subject) {
      const Operand theta = units_of(trial, subject.size, type, Use::input, 3);
      const Operand energies = trial.vector(subject.size.rows, float64, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.local_energies(subject.machine(of), chain, of(subject.spins), of(theta),
                               of(energies));
      });
      const std::vector<double>& expected = trial.expected(energies);
      for (std::size_t n = 0; n < expected.size(); ++n) {
        // Of exponentials of sums over all units.
        const double magnitude = std::abs(expected[n]) + 10;
        EXPECT_TRUE(within(trial.actual(energies)[n], expected[n],
                           rounding_bound(32 * subject.units(), type, magnitude)));
      }
    });
  });
}

void add_metropolis(OperationTable& table) {
  table.add_types("metropolis", "", [](TestDevice& device, ElementType type) {
    for (double drawing : {0.0, 4294967297.0}) {
      for_machines(device, type, Use::both, [&](Trial& trial, const Subject& subject) {
        const ChainSize& size = subject.size;
        const Operand theta = units_of(trial, size, type, Use::both, 3);
        const Operand counter = trial.vector(float64, Use::both, {drawing});
        const Operand accepted = trial.vector(size.rows, float64, Use::output);
        const std::int64_t proposals = 2 * size.sites + 1;
        trial.run([&](Backend& backend, const Side& of) {
          backend.metropolis(subject.machine(of), 0x123456789abcdef0, of(counter), proposals,
                             of(subject.spins), of(theta), of(accepted));
        });
        // Decisions: none of these chains comes so near to one that rounding turns it.
        trial.expect_equal(subject.spins);
        trial.expect_equal(accepted);
        trial.expect_equal(counter);
        trial.expect_within(theta, rounding_bound(4 * static_cast<double>(proposals), type, 10));
      });
    }
  });
}

void add_translated(OperationTable& table) {
  table.add_types("translated_rows", "", [](TestDevice& device, ElementType type) {
    for (const ChainSize& size : {ChainSize{0, 3, 1}, ChainSize{1, 2, 1}, ChainSize{5, 3, 2},
                                  ChainSize{13, 16, 4}, ChainSize{3, 33, 3}, ChainSize{9, 20, 1}}) {
      SCOPED_TRACE(std::to_string(size.rows) + " rows of " + std::to_string(size.sites) + " sites");
      Trial trial(device);
      const std::int64_t columns = 1 + size.hidden * (1 + size.sites);
      const Operand spins = trial.matrix(size.rows, size.sites, type, Use::input);
      const Operand tanh = trial.matrix(size.rows, size.hidden * size.sites, type, Use::input);
      const Operand rows = trial.matrix(size.rows, columns, type, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.translated_rows(of(spins), of(tanh), of(rows));
      });
      trial.expect_sums(rows, size.sites);
    }
  });
}

/// Any table of neighbours will do, and any codes.
void add_classes(OperationTable& table) {
  table.add("class_energies", "", [](TestDevice& device) {
    for (const bool translations : {false, true}) {
      for (std::int64_t sites : {2, 3, 5, 9}) {
        const std::int64_t count = translations ? 37 : std::int64_t{1} << sites;
        SCOPED_TRACE(std::to_string(count) + " classes of " + std::to_string(sites) + " sites");
        Trial trial(device);
        std::vector<double> numbers(static_cast<std::size_t>(count));
        std::vector<double> ones(numbers.size());
        for (std::size_t c = 0; c < numbers.size(); ++c) {
          numbers[c] = static_cast<double>(translations ? c % (1U << sites) : c);
          ones[c] = static_cast<double>(1 + c % 3);
        }
        const Operand codes = trial.vector(ElementType::int32, Use::input, numbers);
        const Operand multiplicities = trial.vector(float64, Use::input, ones);
        Operand neighbours;
        if (translations) {
          std::vector<double> others;
          for (std::int64_t k = 0; k < count * sites; ++k) {
            others.push_back(static_cast<double>(k * 7 % count));
          }
          neighbours = trial.matrix(count, sites, ElementType::int32, Use::input);
          trial.set(neighbours, others);
        }
        const Operand log_psi = trial.vector(count, float64, Use::input);
        const Operand weights = trial.vector(count, float64, Use::output);
        const Operand energies = trial.vector(count, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.class_energies(
              {.codes = of(codes),
               .multiplicities = of(multiplicities),
               .neighbours = translations ? ConstView(of(neighbours)) : ConstView()},
              chain, sites, of(log_psi), of(weights), of(energies));
        });
        trial.expect_within(weights, rounding_bound(static_cast<double>(count), float64, 1));
        trial.expect_within(energies, rounding_bound(64, float64, 100));
      }
    }
  });
}

}  // namespace

void add_spin_cases(OperationTable& table) {
  add_amplitudes(table, 1, "");
  add_amplitudes(table, 40, "saturated");
  add_amplitudes(table, 1e-5, "small");
  add_energies(table);
  add_metropolis(table);
  add_translated(table);
  add_classes(table);
}

}  // namespace natgrad::tests
