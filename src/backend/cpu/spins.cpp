#include "kernels/formulas/spins.hpp"

#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/float_type.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace natgrad {

using cpu::at;
using formulas::OneLane;
using formulas::SpinMachine;

namespace {

template <class T>
SpinMachine<T> machine_of(const BoltzmannMachine& machine) {
  return {machine.weights.as<T>(), machine.visible.as<T>(), machine.bias.as<T>(),
          machine.weights.rows(), machine.weights.columns()};
}

/// Rows that make one thread's share, where each takes so many exponentials.
std::int64_t exponential_grain(std::int64_t exponentials) {
  return cpu::row_grain(4 * exponentials);
}

template <class T>
NATGRAD_MULTIVERSION void amplitude_rows(const SpinMachine<T>& machine, const T* spins, T* theta,
                                         T* tanh, double* log_psi, std::int64_t count) {
  for (std::int64_t n = 0; n < count; ++n) {
    log_psi[n] = formulas::spin_amplitude(OneLane{}, machine, spins + n * machine.sites,
                                          theta + n * machine.hidden, tanh + n * machine.hidden);
  }
}

template <class T>
NATGRAD_MULTIVERSION void energy_rows(const SpinMachine<T>& machine, const IsingChain& chain,
                                      const T* spins, const T* theta, double* energies,
                                      std::int64_t count) {
  for (std::int64_t n = 0; n < count; ++n) {
    energies[n] = formulas::local_energy(OneLane{}, machine, spins + n * machine.sites,
                                         theta + n * machine.hidden, chain);
  }
}

template <class T>
NATGRAD_MULTIVERSION double chain_row(const SpinMachine<T>& machine, T* spins, T* theta,
                                      std::uint64_t key, std::uint64_t counter, std::uint64_t first,
                                      std::int64_t proposals) {
  return formulas::metropolis_chain(OneLane{}, machine, spins, theta, key, counter, first,
                                    proposals);
}

constexpr std::int64_t most_sites = 1024;

/// Row n: sums over the places t of a filter, tanh_f,t s_j+t for all j at once. `twice`: the spins
/// two times, so that no index wraps.
template <class T>
NATGRAD_MULTIVERSION void translated_row(const T* twice, const T* tanh, std::int64_t sites,
                                         std::int64_t filters, T* row) {
  T sum = 0;
  for (std::int64_t i = 0; i < sites; ++i) sum += twice[i];
  row[0] = sum;
  for (std::int64_t f = 0; f < filters; ++f) {
    const T* of_filter = tanh + f * sites;
    T* out = row + 1 + filters + f * sites;
    sum = 0;
    for (std::int64_t t = 0; t < sites; ++t) sum += of_filter[t];
    row[1 + f] = sum;
    constexpr std::int64_t width = 16;  // columns whose sums stay in registers
    for (std::int64_t j = 0; j < sites; j += width) {
      std::array<T, width> sums{};
      for (std::int64_t t = 0; t < sites; ++t) {
        for (std::int64_t k = 0; k < width; ++k) sums[k] += of_filter[t] * twice[j + t + k];
      }
      std::copy_n(sums.begin(), std::min(width, sites - j), out + j);
    }
  }
}

}  // namespace

void CpuBackend::spin_amplitudes(const BoltzmannMachine& machine, const ConstView& spins,
                                 const View& theta, const View& tanh, const View& log_psi) {
  with_float_type(spins.type(), [&]<class T>(T) {
    const auto of = machine_of<T>(machine);
    cpu::parallel_blocks(
        spins.rows(), exponential_grain(of.hidden), [&](std::int64_t begin, std::int64_t end) {
          amplitude_rows(of, at<T>(spins, begin, 0), at<T>(theta, begin, 0), at<T>(tanh, begin, 0),
                         log_psi.as<double>() + begin, end - begin);
        });
  });
}

void CpuBackend::local_energies(const BoltzmannMachine& machine, const IsingChain& chain,
                                const ConstView& spins, const ConstView& theta,
                                const View& energies) {
  with_float_type(spins.type(), [&]<class T>(T) {
    const auto of = machine_of<T>(machine);
    cpu::parallel_blocks(spins.rows(), exponential_grain(of.hidden * of.sites),
                         [&](std::int64_t begin, std::int64_t end) {
                           energy_rows(of, chain, at<T>(spins, begin, 0), at<T>(theta, begin, 0),
                                       energies.as<double>() + begin, end - begin);
                         });
  });
}

void CpuBackend::metropolis(const BoltzmannMachine& machine, std::uint64_t key, const View& counter,
                            std::int64_t proposals, const View& spins, const View& theta,
                            const View& accepted) {
  const auto drawing = static_cast<std::uint64_t>(cpu::value_of(counter));
  with_float_type(spins.type(), [&]<class T>(T) {
    const auto of = machine_of<T>(machine);
    cpu::parallel_blocks(spins.rows(), exponential_grain(of.hidden * proposals),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             accepted.as<double>()[n] =
                                 chain_row(of, at<T>(spins, n, 0), at<T>(theta, n, 0), key, drawing,
                                           static_cast<std::uint64_t>(n * proposals), proposals);
                           }
                         });
  });
  *counter.as<double>() += 1;
}

void CpuBackend::translated_rows(const ConstView& spins, const ConstView& tanh, const View& rows) {
  const std::int64_t sites = spins.columns();
  const std::int64_t filters = tanh.columns() / sites;
  with_float_type(spins.type(), [&]<class T>(T) {
    cpu::parallel_blocks(spins.rows(), cpu::row_grain(tanh.columns() * sites),
                         [&](std::int64_t begin, std::int64_t end) {
                           // The last run of columns reads beyond the second copy.
                           std::array<T, 2 * most_sites + 16> twice{};
                           for (std::int64_t n = begin; n < end; ++n) {
                             const T* s = at<T>(spins, n, 0);
                             std::copy_n(s, sites, twice.data());
                             std::copy_n(s, sites, twice.data() + sites);
                             translated_row(twice.data(), at<T>(tanh, n, 0), sites, filters,
                                            at<T>(rows, n, 0));
                           }
                         });
  });
}

void CpuBackend::class_energies(const SpinClassViews& classes, const IsingChain& chain,
                                std::int64_t sites, const ConstView& log_psi, const View& weights,
                                const View& energies) {
  const std::int64_t count = log_psi.rows();
  const auto* psi = log_psi.as<double>();
  const auto* multiplicity = classes.multiplicities.as<double>();
  const auto* codes = classes.codes.as<std::int32_t>();
  const auto* neighbours =
      classes.neighbours.empty() ? nullptr : classes.neighbours.as<std::int32_t>();
  auto* weight = weights.as<double>();
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t c = 0; c < count; ++c) largest = std::max(largest, psi[c]);
  cpu::parallel_blocks(count, cpu::row_grain(16 * sites),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t c = begin; c < end; ++c) {
                           weight[c] = multiplicity[c] * formulas::exp(2 * (psi[c] - largest));
                           energies.as<double>()[c] =
                               formulas::class_energy(chain, codes, neighbours, sites, psi, c);
                         }
                       });
  double sum = 0;
  for (std::int64_t c = 0; c < count; ++c) sum += weight[c];
  for (std::int64_t c = 0; c < count; ++c) weight[c] /= sum;
}

}  // namespace natgrad
