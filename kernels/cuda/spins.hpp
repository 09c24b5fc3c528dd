#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/formulas/spin_arrays.hpp"
#include "natgrad/array.hpp"
#include "natgrad/models/ising_chain.hpp"

#include <cstdint>

namespace natgrad::kernels {

// The operations on spins of the backend interface (src/backend/spins.hpp says what each does),
// enqueued on a stream.

void spin_amplitudes(Stream stream, const BoltzmannMachine& machine, const ConstView& spins,
                     const View& theta, const View& tanh, const View& log_psi);
void local_energies(Stream stream, const BoltzmannMachine& machine, const IsingChain& chain,
                    const ConstView& spins, const ConstView& theta, const View& energies);
void metropolis(Stream stream, const BoltzmannMachine& machine, std::uint64_t key,
                const View& counter, std::int64_t proposals, const View& spins, const View& theta,
                const View& accepted);
void translated_rows(Stream stream, const ConstView& spins, const ConstView& tanh,
                     const View& rows);
void class_energies(Stream stream, const SpinClassViews& classes, const IsingChain& chain,
                    std::int64_t sites, const ConstView& log_psi, const View& weights,
                    const View& energies);

}  // namespace natgrad::kernels
