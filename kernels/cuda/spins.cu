#include "kernels/cuda/drawing.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/row_lanes.hpp"
#include "kernels/cuda/spins.hpp"
#include "kernels/formulas/spins.hpp"

namespace natgrad::kernels {

using formulas::SpinMachine;

// Threads share the hidden units of a configuration; what is done with one is a struct with
// row(lanes, n).

namespace {

template <class T>
SpinMachine<T> machine_of(const BoltzmannMachine& machine) {
  return {machine.weights.as<T>(), machine.visible.as<T>(), machine.bias.as<T>(),
          machine.weights.rows(), machine.weights.columns()};
}

template <class T>
struct SpinAmplitude {
  SpinMachine<T> machine;
  Matrix<const T> spins;
  Matrix<T> theta;
  Matrix<T> tanh;
  double* log_psi;

  NATGRAD_DEVICE void operator()(const RowLanes& lanes, std::int64_t n) const {
    const double value =
        formulas::spin_amplitude(lanes, machine, &spins(n, 0), &theta(n, 0), &tanh(n, 0));
    if (lanes.index() == 0) log_psi[n] = value;
  }
};

template <class T>
struct LocalEnergy {
  SpinMachine<T> machine;
  IsingChain chain;
  Matrix<const T> spins;
  Matrix<const T> theta;
  double* energies;

  NATGRAD_DEVICE void operator()(const RowLanes& lanes, std::int64_t n) const {
    const double value = formulas::local_energy(lanes, machine, &spins(n, 0), &theta(n, 0), chain);
    if (lanes.index() == 0) energies[n] = value;
  }
};

template <class T>
struct MetropolisChain {
  SpinMachine<T> machine;
  std::uint64_t key;
  const double* counter;
  std::int64_t proposals;
  Matrix<T> spins;
  Matrix<T> theta;
  double* accepted;

  NATGRAD_DEVICE void operator()(const RowLanes& lanes, std::int64_t n) const {
    const double value = formulas::metropolis_chain(
        lanes, machine, &spins(n, 0), &theta(n, 0), key, static_cast<std::uint64_t>(*counter),
        static_cast<std::uint64_t>(n * proposals), proposals);
    if (lanes.index() == 0) accepted[n] = value;
  }
};

template <class T>
struct TranslatedRows {
  Matrix<const T> spins;
  Matrix<const T> tanh;
  Matrix<T> rows;

  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t c) const {
    rows(n, c) = formulas::translated_element(&spins(n, 0), &tanh(n, 0), spins.columns,
                                              tanh.columns / spins.columns, c);
  }
};

struct ClassEnergies {
  IsingChain chain;
  const std::int32_t* codes;
  const std::int32_t* neighbours;
  std::int64_t sites;
  const double* log_psi;
  double* energies;

  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t c) const {
    energies[c] = formulas::class_energy(chain, codes, neighbours, sites, log_psi, c);
  }
};

/// All classes in one block: their largest amplitude, the sum of the weights, then the quotients.
struct ClassWeights {
  static constexpr bool synchronizes = true;
  const double* log_psi;
  const double* multiplicities;
  std::int64_t count;
  double* weights;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    double largest = -INFINITY;
    for (std::int64_t c = thread.index.x; c < count; c += block_threads) {
      largest = Larger{}(log_psi[c], largest);
    }
    largest = combine_threads(thread, largest, Larger{});
    double own = 0;
    for (std::int64_t c = thread.index.x; c < count; c += block_threads) {
      weights[c] = multiplicities[c] * formulas::exp(2 * (log_psi[c] - largest));
      own += weights[c];
    }
    const double sum = combine_threads(thread, own, Plus{});
    for (std::int64_t c = thread.index.x; c < count; c += block_threads) weights[c] /= sum;
  }
};

}  // namespace

void spin_amplitudes(Stream stream, const BoltzmannMachine& machine, const ConstView& spins,
                     const View& theta, const View& tanh, const View& log_psi) {
  with_float_type(spins.type(), [&]<class T>(T) {
    launch_over_rows(stream, spins.rows(), theta.columns(),
                     SpinAmplitude<T>{machine_of<T>(machine), matrix<T>(spins), matrix<T>(theta),
                                      matrix<T>(tanh), log_psi.as<double>()});
  });
}

void local_energies(Stream stream, const BoltzmannMachine& machine, const IsingChain& chain,
                    const ConstView& spins, const ConstView& theta, const View& energies) {
  with_float_type(spins.type(), [&]<class T>(T) {
    launch_over_rows(stream, spins.rows(), theta.columns(),
                     LocalEnergy<T>{machine_of<T>(machine), chain, matrix<T>(spins),
                                    matrix<T>(theta), energies.as<double>()});
  });
}

void metropolis(Stream stream, const BoltzmannMachine& machine, std::uint64_t key,
                const View& counter, std::int64_t proposals, const View& spins, const View& theta,
                const View& accepted) {
  double* const drawing = counter.as<double>();
  with_float_type(spins.type(), [&]<class T>(T) {
    launch_over_rows(stream, spins.rows(), theta.columns(),
                     MetropolisChain<T>{machine_of<T>(machine), key, drawing, proposals,
                                        matrix<T>(spins), matrix<T>(theta), accepted.as<double>()});
  });
  launch(stream, {}, {}, CountDrawing{drawing});
}

void translated_rows(Stream stream, const ConstView& spins, const ConstView& tanh,
                     const View& rows) {
  with_float_type(spins.type(), [&]<class T>(T) {
    map(stream, {rows.rows(), rows.columns()},
        TranslatedRows<T>{matrix<T>(spins), matrix<T>(tanh), matrix<T>(rows)});
  });
}

void class_energies(Stream stream, const SpinClassViews& classes, const IsingChain& chain,
                    std::int64_t sites, const ConstView& log_psi, const View& weights,
                    const View& energies) {
  const auto* psi = log_psi.as<double>();
  const auto* neighbours =
      classes.neighbours.empty() ? nullptr : classes.neighbours.as<std::int32_t>();
  map(stream, {1, log_psi.rows()},
      ClassEnergies{chain, classes.codes.as<std::int32_t>(), neighbours, sites, psi,
                    energies.as<double>()});
  launch(
      stream, {1}, {block_threads},
      ClassWeights{psi, classes.multiplicities.as<double>(), log_psi.rows(), weights.as<double>()});
}

}  // namespace natgrad::kernels
