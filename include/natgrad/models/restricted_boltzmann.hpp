#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/models/ising_chain.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace natgrad {

/// All configurations of a chain of n spins in classes that share an amplitude: those that
/// translations lead to from one another (4,116 of the 2^16 of 16 spins), or each by itself. Sums
/// over classes are sums over the whole Hilbert space.
class NATGRAD_EXPORT SpinClasses {
 public:
  static constexpr std::int64_t most_sites = 20;

  /// Costs n 2^n operations and, while it works, 4 bytes a configuration. Waits. Throws
  /// `OptionError` unless 2 <= sites <= 20, `MemoryError`.
  SpinClasses(const Context& context, std::int64_t sites, bool translations);
  ~SpinClasses();
  SpinClasses(SpinClasses&&) noexcept;
  SpinClasses& operator=(SpinClasses&&) noexcept;
  SpinClasses(const SpinClasses&) = delete;
  SpinClasses& operator=(const SpinClasses&) = delete;

  std::int64_t sites() const;
  std::int64_t count() const;  ///< C
  /// Of every class its smallest configuration, whose spin i is +1 where bit i is set: (C) int32,
  /// ascending.
  ConstView codes() const;
  /// Configurations of every class, (C) float64; their sum is 2^n.
  ConstView multiplicities() const;
  /// The class that turning spin i of each code leads to, (C, n) int32; empty where every
  /// configuration is a class by itself, for there it is the one whose number differs in bit i.
  ConstView neighbours() const;
  /// Writes the spins +-1 of classes first, first + 1, ..., as many as `spins` (rows, n) has rows,
  /// contiguous, of a float type. Waits. Throws `ShapeError` for classes that are not there.
  void spins(std::int64_t first, const View& spins) const;
  /// Bytes that it holds on the device.
  std::int64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A real wave function of n spins s_i = +-1, a restricted Boltzmann machine with M = density n
/// hidden units (Carleo, Troyer 2017, "Solving the quantum many-body problem with artificial neural
/// networks"):
///
///     log psi(s) = sum_i a_i s_i + sum_j log cosh(b_j + sum_i W_ji s_i).
///
/// Symmetric, its units are `density` filters in all n places of the periodic chain, unit (f, t)
/// with b_f + sum_j W_fj s_j+t, and one a: P = 1 + density (n + 1) instead of n + M (n + 1)
/// parameters, and psi is that of every translated configuration too.
///
/// Its rows are scores of p = psi^2, s_n = 2 grad log psi, so that the natural gradient is
/// stochastic reconfiguration (Sorella 1998): centred, with the coefficients -(E_n - mean E) of the
/// local energies E_n. The step is the natural one down the energy sum p E, whose gradient is
/// sum p (E - mean E) s. Take a rate of 0.2 for what is 0.1 with rows grad log psi.
///
/// N: configurations, in arrays spins (N, n) of +-1 of the parameters' type, contiguous. What takes
/// them throws `ShapeError`, `TypeError`, `DeviceError` or `ArgumentError` for an operand that does
/// not fit and `MemoryError`, and allocates where N is larger than before. Everything is enqueued
/// and does not wait but where it says so.
class NATGRAD_EXPORT RestrictedBoltzmann {
 public:
  struct Options {
    std::int64_t sites = 16;                  ///< n, 2 to 1024
    std::int64_t density = 4;                 ///< hidden units a site, 1 to 1024
    bool symmetric = true;                    ///< under translations
    ElementType type = ElementType::float64;  ///< of parameters, spins and rows; a float
    std::uint64_t key = 0;                    ///< of initial weights and of the chains
    double initial_scale = 0.1;  ///< standard deviation of the initial weights, finite, >= 0
  };

  /// Makes a machine with normal weights W and biases 0. Waits. Throws `OptionError` naming every
  /// option that is wrong, `MemoryError`.
  RestrictedBoltzmann(const Context& context, Options options);
  ~RestrictedBoltzmann();
  RestrictedBoltzmann(RestrictedBoltzmann&&) noexcept;
  RestrictedBoltzmann& operator=(RestrictedBoltzmann&&) noexcept;
  RestrictedBoltzmann(const RestrictedBoltzmann&) = delete;
  RestrictedBoltzmann& operator=(const RestrictedBoltzmann&) = delete;

  /// a, b and W, in this order.
  const Parameters& parameters() const;
  const Options& options() const;
  std::int64_t hidden() const;  ///< M
  /// Sets a, b and W, P numbers. Waits. Throws `ShapeError` for another number of them.
  void write(std::span<const double> values);
  /// a, b and W. Waits.
  std::vector<double> read() const;

  /// log psi of configurations, float64 (N). Leaves the rows as they are. Costs 2 n M operations
  /// and M exponentials a configuration.
  void log_psi(const ConstView& spins, const View& log_psi);

  /// Takes configurations through the machine, for `log_psi()`, `add_to` and `local_energies`;
  /// `spins` must stay as they are until these have run. Costs what `log_psi` costs, and for rows
  /// of a symmetric machine 2 n M operations more.
  void compute(const ConstView& spins);
  /// log psi of the configurations of `compute`, float64 (N), valid until the next. Throws
  /// `ArgumentError` before `compute`.
  ConstView log_psi() const;
  /// Begins a set with the rows of `compute`, 2 grad log psi times `set.scale`; `set.samples` may
  /// stay 0. A symmetric machine has dense rows, another the factors of a layer. Valid until the
  /// next `compute`. Throws `ArgumentError` before `compute` and for scores of other parameters.
  void add_to(LayerScores& scores, RowSet set = {}) const;
  /// The local energies (H psi)(s_n) / psi(s_n) of the configurations of `compute`, float64 (N).
  /// Costs n M exponentials a configuration. Throws `ArgumentError` before `compute`,
  /// `OptionError` for a chain out of range.
  void local_energies(const IsingChain& chain, const View& energies) const;

  /// For exact sums, from the log psi, float64 (C), of the spins of all classes: the probability
  /// p_c of every class and its local energy, both float64 (C), so that sum_c p_c E_c is the
  /// expectation of H. Costs n exponentials a class. Throws `OptionError` for classes of another
  /// number of sites, or of translations where the machine is not symmetric.
  void class_energies(const SpinClasses& classes, const IsingChain& chain, const ConstView& log_psi,
                      const View& probabilities, const View& energies) const;
  /// result[0] = sum_n w_n E_n and result[1] = sum_n w_n E_n^2, float64 (2), of energies (N) with
  /// weights (N), both float64; no weights: 1/N.
  void moments(const ConstView& energies, const ConstView& weights, const View& result);

  /// Moves N Markov chains of p = psi^2, whose configurations are the rows of `spins`, by so many
  /// proposals each, a random spin turned (Metropolis et al. 1953): proposal k of chain n in call c
  /// follows from key, c (modulo 2^32), k and n alone, on every backend. `acceptance`, one float64:
  /// the share of proposals that were accepted; 0 where the chains are frozen. The rows of
  /// `compute` are lost. Costs M exponentials a proposal. Throws `OptionError` for proposals < 1.
  void metropolis(const View& spins, std::int64_t proposals, const View& acceptance);
  /// How many times chains were moved. Waits.
  std::int64_t draw_counter() const;
  /// Sets it. Throws `OptionError` outside of [0, 2^53].
  void set_draw_counter(std::int64_t counter);

  /// Bytes that a machine of these options holds once N configurations were computed. Throws
  /// `OptionError` as the constructor does and for N < 0, `MemoryError` for more bytes than an
  /// address can count.
  static std::int64_t bytes(const Options& options, std::int64_t samples);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
