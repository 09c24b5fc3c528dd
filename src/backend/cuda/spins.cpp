#include "kernels/cuda/spins.hpp"

#include "backend/cuda/cuda_backend.hpp"

namespace natgrad {

void CudaBackend::spin_amplitudes(const BoltzmannMachine& machine, const ConstView& spins,
                                  const View& theta, const View& tanh, const View& log_psi) {
  const auto current = guard();
  kernels::spin_amplitudes(stream_->get(), machine, spins, theta, tanh, log_psi);
}

void CudaBackend::local_energies(const BoltzmannMachine& machine, const IsingChain& chain,
                                 const ConstView& spins, const ConstView& theta,
                                 const View& energies) {
  const auto current = guard();
  kernels::local_energies(stream_->get(), machine, chain, spins, theta, energies);
}

void CudaBackend::metropolis(const BoltzmannMachine& machine, std::uint64_t key,
                             const View& counter, std::int64_t proposals, const View& spins,
                             const View& theta, const View& accepted) {
  const auto current = guard();
  kernels::metropolis(stream_->get(), machine, key, counter, proposals, spins, theta, accepted);
}

void CudaBackend::translated_rows(const ConstView& spins, const ConstView& tanh, const View& rows) {
  const auto current = guard();
  kernels::translated_rows(stream_->get(), spins, tanh, rows);
}

void CudaBackend::class_energies(const SpinClassViews& classes, const IsingChain& chain,
                                 std::int64_t sites, const ConstView& log_psi, const View& weights,
                                 const View& energies) {
  const auto current = guard();
  kernels::class_energies(stream_->get(), classes, chain, sites, log_psi, weights, energies);
}

}  // namespace natgrad
