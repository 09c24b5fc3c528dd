#include "kernels/formulas/random.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>

// Spins and restricted Boltzmann machines, by their definitions.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

Real log_cosh(Real x) {
  const Real a = std::abs(x);
  return a + std::log1p(std::exp(-2 * a)) - std::log(Real{2});
}

/// log psi of row n, with theta as it stands.
Real amplitude(const BoltzmannMachine& machine, const Vector& spins, const Vector& theta) {
  Real sum = 0;
  for (std::size_t i = 0; i < spins.size(); ++i) {
    sum += load(machine.visible, static_cast<std::int64_t>(i)) * spins[i];
  }
  for (const Real unit : theta) sum += log_cosh(unit);
  return sum;
}

Vector row_of(const ConstView& view, std::int64_t n) {
  Vector row;
  for (std::int64_t j = 0; j < view.columns(); ++j) row.push_back(load(view, n, j));
  return row;
}

void turn(const BoltzmannMachine& machine, std::size_t i, Vector& spins, Vector& theta) {
  for (std::size_t j = 0; j < theta.size(); ++j) {
    theta[j] -= 2 * spins[i] *
                load(machine.weights, static_cast<std::int64_t>(i), static_cast<std::int64_t>(j));
  }
  spins[i] = -spins[i];
}

Real bonds(const IsingChain& chain, const Vector& spins) {
  Real sum = 0;
  for (std::size_t i = 0; i < spins.size(); ++i) sum += spins[i] * spins[(i + 1) % spins.size()];
  return -chain.coupling * sum;
}

}  // namespace

void ReferenceBackend::spin_amplitudes(const BoltzmannMachine& machine, const ConstView& spins,
                                       const View& theta, const View& tanh, const View& log_psi) {
  for_each(theta, [&](std::int64_t n, std::int64_t j) {
    store(load(theta, n, j) + load(machine.bias, j), theta, n, j);
  });
  for (std::int64_t n = 0; n < spins.rows(); ++n) {
    store(amplitude(machine, row_of(spins, n), row_of(theta, n)), log_psi, n);
  }
  for_each(theta, [&](std::int64_t n, std::int64_t j) {
    store(std::tanh(load(theta, n, j)), tanh, n, j);
  });
}

void ReferenceBackend::local_energies(const BoltzmannMachine& machine, const IsingChain& chain,
                                      const ConstView& spins, const ConstView& theta,
                                      const View& energies) {
  for (std::int64_t n = 0; n < spins.rows(); ++n) {
    const Vector s = row_of(spins, n);
    const Vector units = row_of(theta, n);
    Real turned = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      Vector other = s;
      Vector other_units = units;
      turn(machine, i, other, other_units);
      turned += std::exp(amplitude(machine, other, other_units) - amplitude(machine, s, units));
    }
    store(bonds(chain, s) - chain.field * turned, energies, n);
  }
}

void ReferenceBackend::metropolis(const BoltzmannMachine& machine, std::uint64_t key,
                                  const View& counter, std::int64_t proposals, const View& spins,
                                  const View& theta, const View& accepted) {
  const auto drawing = static_cast<std::uint32_t>(static_cast<std::uint64_t>(load(counter, 0)));
  for (std::int64_t n = 0; n < spins.rows(); ++n) {
    Vector s = row_of(spins, n);
    Vector units = row_of(theta, n);
    Real count = 0;
    for (std::int64_t k = 0; k < proposals; ++k) {
      const auto bits = [&](std::int64_t which) {
        return formulas::random_bits(key, formulas::RandomStream::spins, drawing,
                                     static_cast<std::uint64_t>(2 * (n * proposals + k) + which));
      };
      const std::size_t i = formulas::uniform_below(bits(0), s.size());
      Vector other = s;
      Vector other_units = units;
      turn(machine, i, other, other_units);
      const Real difference = amplitude(machine, other, other_units) - amplitude(machine, s, units);
      if (!(formulas::uniform(bits(1)) < std::exp(2 * difference))) continue;
      s = other;
      units = other_units;
      count += 1;
    }
    for (std::size_t i = 0; i < s.size(); ++i) store(s[i], spins, n, static_cast<std::int64_t>(i));
    for (std::size_t j = 0; j < units.size(); ++j) {
      store(units[j], theta, n, static_cast<std::int64_t>(j));
    }
    store(count, accepted, n);
  }
  store(load(counter, 0) + 1, counter, 0);
}

void ReferenceBackend::translated_rows(const ConstView& spins, const ConstView& tanh,
                                       const View& rows) {
  const std::int64_t sites = spins.columns();
  const std::int64_t filters = tanh.columns() / sites;
  for (std::int64_t n = 0; n < spins.rows(); ++n) {
    Vector row(static_cast<std::size_t>(rows.columns()), 0);
    for (std::int64_t t = 0; t < sites; ++t) row[0] += load(spins, n, t);
    for (std::int64_t f = 0; f < filters; ++f) {
      for (std::int64_t t = 0; t < sites; ++t) {
        const Real value = load(tanh, n, f * sites + t);
        row[static_cast<std::size_t>(1 + f)] += value;
        for (std::int64_t j = 0; j < sites; ++j) {
          row[static_cast<std::size_t>(1 + filters + f * sites + j)] +=
              value * load(spins, n, (j + t) % sites);
        }
      }
    }
    for (std::int64_t c = 0; c < rows.columns(); ++c) {
      store(row[static_cast<std::size_t>(c)], rows, n, c);
    }
  }
}

void ReferenceBackend::class_energies(const SpinClassViews& classes, const IsingChain& chain,
                                      std::int64_t sites, const ConstView& log_psi,
                                      const View& weights, const View& energies) {
  Real largest = load(log_psi, 0);
  for (std::int64_t c = 0; c < log_psi.rows(); ++c) largest = std::max(largest, load(log_psi, c));
  Real sum = 0;
  const auto weight = [&](std::int64_t c) {
    return load(classes.multiplicities, c) * std::exp(2 * (load(log_psi, c) - largest));
  };
  for (std::int64_t c = 0; c < log_psi.rows(); ++c) sum += weight(c);
  for (std::int64_t c = 0; c < log_psi.rows(); ++c) {
    const auto code = static_cast<std::int64_t>(load(classes.codes, c));
    Vector spins;
    Real turned = 0;
    for (std::int64_t i = 0; i < sites; ++i) {
      spins.push_back(((code >> i) & 1) != 0 ? 1 : -1);
      const std::int64_t other = classes.neighbours.empty()
                                     ? code ^ (std::int64_t{1} << i)
                                     : static_cast<std::int64_t>(load(classes.neighbours, c, i));
      turned += std::exp(load(log_psi, other) - load(log_psi, c));
    }
    store(weight(c) / sum, weights, c);
    store(bonds(chain, spins) - chain.field * turned, energies, c);
  }
}

}  // namespace natgrad::tests
