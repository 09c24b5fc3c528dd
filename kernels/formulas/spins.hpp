#pragma once

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/lanes.hpp"
#include "kernels/formulas/random.hpp"
#include "natgrad/models/ising_chain.hpp"

#include <cmath>
#include <cstdint>
#include <type_traits>

// Spins +-1 on a periodic chain, and a restricted Boltzmann machine as their wave function (Carleo,
// Troyer 2017):
//
//   log psi(s) = a.s + sum_j log cosh(theta_j),   theta = b + W^T s.
//
// Lanes share the hidden units of one configuration (likelihoods/lanes.hpp).

namespace natgrad::formulas {

/// log cosh x = |x| + log(1 + e^-2|x|) - log 2 and tanh x, from one exponential. The logarithms of
/// many terms are that of the product of their factors, each between 1 and 2.
template <class T>
struct CoshTerm {
  T magnitude;
  T excess;  // e^-2|x| - 1, without loss near x = 0

  NATGRAD_FORMULA T factor() const { return excess + T(2); }
  NATGRAD_FORMULA T tanh(T x) const {
    return from_bits<T>(to_bits(excess / (excess + T(2))) ^
                        ((Bits<T>(1) << IeeeLayout<T>::sign) ^ sign_bit(x)));
  }
};

template <class T>
NATGRAD_FORMULA CoshTerm<T> cosh_term(T x) {
  // From here on adding 1 to e^-2|x| - 1 gives 0.
  constexpr T saturated = std::is_same_v<T, float> ? T(-40) : T(-80);
  const T a = magnitude(x);
  const auto [n, fraction] = split_exp(at_least(saturated, T(-2) * a));
  const T power = power_of_two<T>(n);
  return {a, power * fraction + (power - T(1))};
}

/// Factors up to 2 whose product is finite.
template <class T>
inline constexpr std::int64_t most_cosh_factors = std::is_same_v<T, float> ? 64 : 512;

inline constexpr double log_two = 0.69314718055994530942;

/// sum_j log cosh(theta_j + step w_j) of this lane's units j < count; `each(j, theta, term)` sees
/// every one of them.
template <class Lanes, class T, class Each>
NATGRAD_FORMULA double own_log_cosh(const Lanes& lanes, const T* theta, const T* w, T step,
                                    std::int64_t count, const Each& each) {
  // A loop over one array of terms, which a compiler makes vectors of.
  constexpr int width = std::is_same_v<Lanes, OneLane> ? 16 : 1;
  constexpr std::int64_t most = most_cosh_factors<T>;
  double sum = 0;
  std::int64_t units = 0;
  std::int64_t j = lanes.index();
  while (j < count) {
    T magnitudes[width] = {};
    T factors[width];
    for (int k = 0; k < width; ++k) factors[k] = T(1);
    T last_factor = T(1);
    std::int64_t taken = 0;
    for (; taken + width <= most && j + (width - 1) * lanes.count() < count;
         taken += width, j += width * lanes.count()) {
      T x[width];
      CoshTerm<T> terms[width];
      for (int k = 0; k < width; ++k)
        x[k] = w == nullptr ? theta[j + k] : theta[j + k] + step * w[j + k];
      for (int k = 0; k < width; ++k) {
        terms[k] = cosh_term(x[k]);
        magnitudes[k] += terms[k].magnitude;
        factors[k] *= terms[k].factor();
      }
      for (int k = 0; k < width; ++k) each(j + k, x[k], terms[k]);
    }
    double own = 0;
    if constexpr (width > 1) {
      for (; taken < most && j < count && j + width > count; ++taken, ++j) {
        const T x = w == nullptr ? theta[j] : theta[j] + step * w[j];
        const CoshTerm<T> term = cosh_term(x);
        own += static_cast<double>(term.magnitude);
        last_factor *= term.factor();
        each(j, x, term);
      }
    }
    T product = last_factor;
    for (int k = 0; k < width; ++k) {
      own += static_cast<double>(magnitudes[k]);
      product *= factors[k];
    }
    sum += own + std::log(static_cast<double>(product));
    units += taken;
  }
  return sum - static_cast<double>(units) * log_two;
}

template <class Lanes, class T>
NATGRAD_FORMULA double sum_log_cosh(const Lanes& lanes, const T* theta, const T* w, T step,
                                    std::int64_t count) {
  return lanes.sum(
      own_log_cosh(lanes, theta, w, step, count, [](std::int64_t, T, const CoshTerm<T>&) {}));
}

/// A restricted Boltzmann machine without symmetry, by its addresses.
template <class T>
struct SpinMachine {
  const T* weights;  // W (sites, hidden)
  const T* visible;  // a (sites)
  const T* bias;     // b (hidden)
  std::int64_t sites;
  std::int64_t hidden;

  NATGRAD_FORMULA const T* weights_of(std::int64_t site) const { return weights + site * hidden; }
};

/// theta += b, tanh theta, and log psi of one configuration; tanh may lie where theta does.
template <class Lanes, class T>
NATGRAD_FORMULA double spin_amplitude(const Lanes& lanes, const SpinMachine<T>& machine,
                                      const T* spins, T* theta, T* tanh) {
  for (std::int64_t j = lanes.index(); j < machine.hidden; j += lanes.count()) {
    theta[j] += machine.bias[j];
  }
  double own = own_log_cosh(
      lanes, static_cast<const T*>(theta), static_cast<const T*>(nullptr), T(0), machine.hidden,
      [tanh](std::int64_t j, T x, const CoshTerm<T>& term) { tanh[j] = term.tanh(x); });
  for (std::int64_t i = lanes.index(); i < machine.sites; i += lanes.count()) {
    own += static_cast<double>(machine.visible[i]) * static_cast<double>(spins[i]);
  }
  return lanes.sum(own);
}

/// log psi(s with spin i turned) - log psi(s); `before` = sum_j log cosh(theta_j), `after` receives
/// that of the turned one.
template <class Lanes, class T>
NATGRAD_FORMULA double flip_difference(const Lanes& lanes, const SpinMachine<T>& machine,
                                       const T* spins, const T* theta, std::int64_t i,
                                       double before, double& after) {
  const T step = T(-2) * spins[i];
  after = sum_log_cosh(lanes, theta, machine.weights_of(i), step, machine.hidden);
  return after - before + static_cast<double>(step) * static_cast<double>(machine.visible[i]);
}

/// The energy of the bonds, -J sum_i s_i s_i+1, of spins in this order.
template <class T>
NATGRAD_FORMULA double bond_energy(const IsingChain& chain, const T* spins, std::int64_t sites) {
  double sum = 0;
  for (std::int64_t i = 0; i < sites; ++i) {
    sum += static_cast<double>(spins[i]) * static_cast<double>(spins[i + 1 < sites ? i + 1 : 0]);
  }
  return -chain.coupling * sum;
}

/// The local energy (H psi)(s) / psi(s) = -J sum_i s_i s_i+1 - h sum_i psi(s, i turned) / psi(s).
template <class Lanes, class T>
NATGRAD_FORMULA double local_energy(const Lanes& lanes, const SpinMachine<T>& machine,
                                    const T* spins, const T* theta, const IsingChain& chain) {
  const double before =
      sum_log_cosh(lanes, theta, static_cast<const T*>(nullptr), T(0), machine.hidden);
  double turned = 0;
  for (std::int64_t i = 0; i < machine.sites; ++i) {
    double after = 0;
    turned += exp(flip_difference(lanes, machine, spins, theta, i, before, after));
  }
  return bond_energy(chain, spins, machine.sites) - chain.field * turned;
}

/// `proposals` turns of one random spin each, accepted with probability min(1, psi'^2 / psi^2)
/// (Metropolis et al. 1953). Numbers 2k and 2k + 1 of the sequence (key, counter) belong to
/// proposal k of all chains. Returns how many were accepted; a ratio that is NaN never is.
template <class Lanes, class T>
NATGRAD_FORMULA double metropolis_chain(const Lanes& lanes, const SpinMachine<T>& machine, T* spins,
                                        T* theta, std::uint64_t key, std::uint64_t counter,
                                        std::uint64_t first, std::int64_t proposals) {
  const auto bits = [&](std::uint64_t index) {
    return random_bits(key, RandomStream::spins, static_cast<std::uint32_t>(counter), index);
  };
  double before = sum_log_cosh(lanes, static_cast<const T*>(theta), static_cast<const T*>(nullptr),
                               T(0), machine.hidden);
  double accepted = 0;
  for (std::int64_t k = 0; k < proposals; ++k) {
    const std::uint64_t index = 2 * (first + static_cast<std::uint64_t>(k));
    const auto i = static_cast<std::int64_t>(
        uniform_below(bits(index), static_cast<std::uint64_t>(machine.sites)));
    double after = 0;
    const double difference = flip_difference(lanes, machine, static_cast<const T*>(spins),
                                              static_cast<const T*>(theta), i, before, after);
    if (!(uniform(bits(index + 1)) < exp(2 * difference))) continue;
    const T* w = machine.weights_of(i);
    const T step = T(-2) * spins[i];
    for (std::int64_t j = lanes.index(); j < machine.hidden; j += lanes.count()) {
      theta[j] += step * w[j];
    }
    lanes.wait();  // every lane has read the spin
    if (lanes.index() == 0) spins[i] = -spins[i];
    lanes.wait();
    before = after;
    accepted += 1;
  }
  return accepted;
}

/// Column c of the derivative of log psi with respect to (a, b_f, W_f,j) of a machine whose units
/// are F filters in all n places, theta_f,t = b_f + sum_j W_f,j s_j+t: tanh (F n), filters first.
template <class T>
NATGRAD_FORMULA T translated_element(const T* spins, const T* tanh, std::int64_t sites,
                                     std::int64_t filters, std::int64_t c) {
  T sum = 0;
  if (c == 0) {
    for (std::int64_t i = 0; i < sites; ++i) sum += spins[i];
    return sum;
  }
  if (c <= filters) {
    for (std::int64_t t = 0; t < sites; ++t) sum += tanh[(c - 1) * sites + t];
    return sum;
  }
  const std::int64_t f = (c - 1 - filters) / sites;
  std::int64_t at = (c - 1 - filters) % sites;
  for (std::int64_t t = 0; t < sites; ++t) {
    sum += tanh[f * sites + t] * spins[at];
    if (++at == sites) at = 0;
  }
  return sum;
}

/// -J sum_i s_i s_i+1 of a configuration whose spin i is +1 where bit i is set.
NATGRAD_FORMULA double bond_energy_of_code(const IsingChain& chain, std::uint32_t code,
                                           std::int64_t sites) {
  std::int64_t unequal = 0;
  for (std::int64_t i = 0; i < sites; ++i) {
    const std::int64_t next = i + 1 < sites ? i + 1 : 0;
    unequal += static_cast<std::int64_t>(((code >> i) ^ (code >> next)) & 1U);
  }
  return -chain.coupling * static_cast<double>(sites - 2 * unequal);
}

/// The local energy of class c of configurations with equal amplitudes, from the log psi of all
/// classes. Row c of `neighbours` names the classes that turning one spin leads to; without it
/// class c is configuration c itself.
NATGRAD_FORMULA double class_energy(const IsingChain& chain, const std::int32_t* codes,
                                    const std::int32_t* neighbours, std::int64_t sites,
                                    const double* log_psi, std::int64_t c) {
  double turned = 0;
  for (std::int64_t i = 0; i < sites; ++i) {
    const std::int64_t other =
        neighbours == nullptr ? c ^ (std::int64_t{1} << i) : neighbours[c * sites + i];
    turned += exp(log_psi[other] - log_psi[c]);
  }
  return bond_energy_of_code(chain, static_cast<std::uint32_t>(codes[c]), sites) -
         chain.field * turned;
}

}  // namespace natgrad::formulas
