#pragma once

#include "kernels/formulas/spin_arrays.hpp"
#include "natgrad/array.hpp"
#include "natgrad/models/ising_chain.hpp"

#include <cstdint>

namespace natgrad {

/// What variational Monte Carlo needs of spins s (N, n) = +-1 of the machine's type, contiguous.
class SpinOperations {
 public:
  virtual ~SpinOperations() = default;

  /// theta += b in every row of theta (N, M), which holds W^T s; tanh = tanh theta; log_psi_n,
  /// float64 (N). tanh may be theta.
  virtual void spin_amplitudes(const BoltzmannMachine& machine, const ConstView& spins,
                               const View& theta, const View& tanh, const View& log_psi) = 0;
  /// The local energies (H psi)(s_n) / psi(s_n), float64 (N), of spins with their theta (N, M).
  virtual void local_energies(const BoltzmannMachine& machine, const IsingChain& chain,
                              const ConstView& spins, const ConstView& theta,
                              const View& energies) = 0;
  /// Row n of spins is a Markov chain of p = psi^2: so many proposals to turn a random spin, each
  /// accepted or not (kernels/formulas/spins.hpp), a function of the row, key, counter and n alone.
  /// spins and theta (N, M) follow; accepted_n = how many were accepted, float64 (N). `counter`,
  /// one-element float64 and a whole number, is then 1 larger.
  virtual void metropolis(const BoltzmannMachine& machine, std::uint64_t key, const View& counter,
                          std::int64_t proposals, const View& spins, const View& theta,
                          const View& accepted) = 0;
  /// rows_n = d log psi(s_n) / d (a, b (F), W (F, n)), (N, 1 + F + F n) of a machine with F filters
  /// in all n places, theta_f,t = b_f + sum_j W_f,j s_j+t; tanh (N, F n), unit f n + t. n <= 1024.
  virtual void translated_rows(const ConstView& spins, const ConstView& tanh, const View& rows) = 0;
  /// weights_c = m_c psi_c^2 / sum, and the local energies, both float64 (C), of all classes from
  /// log_psi (C) float64.
  virtual void class_energies(const SpinClassViews& classes, const IsingChain& chain,
                              std::int64_t sites, const ConstView& log_psi, const View& weights,
                              const View& energies) = 0;
};

}  // namespace natgrad
