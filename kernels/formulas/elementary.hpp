#pragma once

// The exponential, the tail of the normal distribution, and the bit operations they stand on.
//
// Everything here is written so that a plain loop over it vectorizes from SSE2 on, without
// -ffast-math: no branch, no library call, no conversion between integers and floating point (the
// integer nearest to a number is read from the low bits of its sum with a large constant), no
// comparison of integers (SSE2 has none of 64 bits). Integers are unsigned, for NaN reaches these
// lines and gives any bits, and no result depends on whether products and sums are contracted.

#include "kernels/formulas/formula.hpp"

#include <cstdint>
#include <type_traits>

namespace natgrad::formulas {

/// The layout of an IEEE number. In the sum x + round the last bit is worth 1 (|x| < 2^11), so that
/// the sum's low bits hold the integer nearest to x, plus 2 bias.
template <typename T>
struct IeeeLayout;

template <>
struct IeeeLayout<float> {
  using Bits = std::uint32_t;
  static constexpr int sign = 31;
  static constexpr int mantissa = 23;
  static constexpr Bits bias = 127;
  static constexpr float round = 12582912.0f + 2 * 127;  // 1.5 * 2^23 + 2 bias
};

template <>
struct IeeeLayout<double> {
  using Bits = std::uint64_t;
  static constexpr int sign = 63;
  static constexpr int mantissa = 52;
  static constexpr Bits bias = 1023;
  static constexpr double round = 6755399441055744.0 + 2 * 1023;  // 1.5 * 2^52 + 2 bias
};

template <typename T>
using Bits = typename IeeeLayout<T>::Bits;

// The builtin beneath std::bit_cast: nvcc lets device code call a constexpr function of the
// standard library only by an option.
template <typename T>
NATGRAD_FORMULA Bits<T> to_bits(T x) {
  return __builtin_bit_cast(Bits<T>, x);
}

template <typename T>
NATGRAD_FORMULA T from_bits(Bits<T> bits) {
  return __builtin_bit_cast(T, bits);
}

template <typename T>
NATGRAD_FORMULA Bits<T> sign_bit(T x) {
  return to_bits(x) & (Bits<T>(1) << IeeeLayout<T>::sign);
}

template <typename T>
NATGRAD_FORMULA T magnitude(T x) {
  return from_bits<T>(to_bits(x) & ~(Bits<T>(1) << IeeeLayout<T>::sign));
}

/// x < 0 ? negative : positive, by the sign bit alone.
template <typename T>
NATGRAD_FORMULA T select_by_sign(T x, T negative, T positive) {
  const Bits<T> mask = Bits<T>(0) - (to_bits(x) >> IeeeLayout<T>::sign);
  return from_bits<T>((to_bits(negative) & mask) | (to_bits(positive) & ~mask));
}

/// `constant`, whose last bit is 0, or its neighbour, by the last bit of x: a value that the
/// compiler can't know. Where ?: chooses between x and a constant, g++ works out ahead what follows
/// for the constant, so that the choice becomes a branch and the loop doesn't vectorize. Of two
/// unknown values it makes one min or max instruction.
template <typename T>
NATGRAD_FORMULA T blurred(T constant, T x) {
  return from_bits<T>(to_bits(constant) | (to_bits(x) & Bits<T>(1)));
}

/// The smaller of x and the blurred bound; unlike fmin it keeps a NaN.
template <typename T>
NATGRAD_FORMULA T at_most(T bound, T x) {
  const T limit = blurred(bound, x);
  return limit < x ? limit : x;
}

/// The larger of x and the blurred bound; unlike fmax it keeps a NaN.
template <typename T>
NATGRAD_FORMULA T at_least(T bound, T x) {
  const T limit = blurred(bound, x);
  return limit > x ? limit : x;
}

/// c0 + c1 x + c2 x^2 + ..., by pairs of terms: half the chain of Horner's rule, and the chain is
/// what a loop waits for.
template <typename T>
NATGRAD_FORMULA T by_pairs(T, T, T c0) {
  return c0;
}

template <typename T>
NATGRAD_FORMULA T by_pairs(T x, T, T c0, T c1) {
  return c0 + x * c1;
}

template <typename T, typename... Rest>
NATGRAD_FORMULA T by_pairs(T x, T square, T c0, T c1, Rest... rest) {
  return (c0 + x * c1) + square * by_pairs(x, square, rest...);
}

template <typename T, typename... Coefficients>
NATGRAD_FORMULA T polynomial(T x, Coefficients... c) {
  return by_pairs(x, x * x, c...);
}

/// exp(x) = 2^n (1 + fraction), n an integer, fraction = exp(r) - 1 with |r| <= ln(2) / 2.
template <typename T>
struct SplitExp {
  Bits<T> n;   // its low bits, 9 or 12 of them, hold n + 2 bias
  T fraction;  // to about one ulp of itself, not only of 1 + fraction
};

/// |x| <= 104 in float, 746 in double, or NaN, which becomes the fraction.
template <typename T>
NATGRAD_FORMULA SplitExp<T> split_exp(T x) {
  constexpr T log2_e = T(1.4426950408889634);
  const T rounded = x * log2_e + IeeeLayout<T>::round;
  const T n = rounded - IeeeLayout<T>::round;

  // ln 2 in two parts, the first so short that its product with n is exact. Then the series
  // exp(r) - 1 = r + r^2 (1/2 + ...) of least maximal error relative to exp(r) - 1: least squares
  // in 60 digits at 200 Chebyshev nodes, repeated with the weights multiplied by the errors (Lawson
  // 1961), 1/2 held. Maximal errors 1.4e-8 in float, 2.5e-17 in double.
  T r;
  T series;
  if constexpr (std::is_same_v<T, float>) {
    r = (x - n * 0x1.62e4p-1f) - n * 1.42860682e-6f;
    series = polynomial(r, 0.5f, 0.166665483f, 0.0416668548f, 0.00836610037f, 0.00138982498f);
  } else {
    r = (x - n * 0x1.62e42fefa38p-1) - n * 0x1.ef35793c7673p-45;
    series = polynomial(r, 0.5, 0.16666666666666601, 0.041666666666619658, 0.0083333333333887965,
                        0.0013888888920671965, 0.00019841269708598122, 2.4801516104140504e-05,
                        2.7557425483976691e-06, 2.7622338616090731e-07, 2.5045881583249784e-08);
  }
  return {to_bits(rounded), r + r * r * series};
}

/// 2^n for the n of a SplitExp, from -bias, where it is 0, to bias.
template <typename T>
NATGRAD_FORMULA T power_of_two(Bits<T> n) {
  return from_bits<T>((n - IeeeLayout<T>::bias) << IeeeLayout<T>::mantissa);
}

/// Below `exp_lowest` e^x is 0 when rounded, above `exp_highest` infinite.
template <typename T>
inline constexpr T exp_lowest = std::is_same_v<T, float> ? T(-104) : T(-746);
template <typename T>
inline constexpr T exp_highest = std::is_same_v<T, float> ? T(89) : T(710);

/// e^x for x between `exp_lowest` and `exp_highest`, or NaN.
template <typename T>
NATGRAD_FORMULA T exp_in_range(T x) {
  const auto [n, fraction] = split_exp(x);
  // 2^n in two factors, for n may lie outside the exponents of normal numbers: half of n + 2 bias
  // is the biased exponent of the first. What stands above those low bits is shifted out.
  const Bits<T> half = n >> 1;
  const T first = from_bits<T>(half << IeeeLayout<T>::mantissa);
  const T second = from_bits<T>((n - half) << IeeeLayout<T>::mantissa);
  return (T(1) + fraction) * first * second;
}

/// e^x within 4 ulp, subnormal results included.
template <typename T>
NATGRAD_FORMULA T exp(T x) {
  return exp_in_range(at_least(exp_lowest<T>, at_most(exp_highest<T>, x)));
}

/// At this a exp(-a^2 / 2) lies just below the normal numbers, where `power_of_two` is 0.
template <typename T>
inline constexpr T normal_tail_end = std::is_same_v<T, float> ? T(13.265625) : T(37.65625);

/// exp(-a^2 / 2) for 0 <= a <= normal_tail_end, and 0 where that is subnormal. `a * a` loses
/// a^2 / 4 ulp of the result.
template <typename T>
NATGRAD_FORMULA T normal_exponential(T a) {
  const auto [n, fraction] = split_exp(T(-0.5) * (a * a));
  const T power = power_of_two<T>(n);
  return power + power * fraction;
}

/// Phi(-a) exp(a^2 / 2) for 0 <= a <= normal_tail_end, Phi the normal distribution function. Falls
/// from 1/2 at 0 nearly as 1 / a.
template <typename T>
NATGRAD_FORMULA T normal_tail_ratio(T a) {
  // A rational function of least maximal error relative to the ratio times (1 + a^2 / 2)^1.5, as
  // the exponential that it is multiplied by errs more as a grows. Linearized least squares in 80
  // digits at 120 nodes (Sanathanan and Koerner 1963) with Lawson's weights, the values at 0 held.
  // Maximal errors 2.4e-8 in float, 4.5e-17 in double. No coefficient is negative: nothing cancels.
  T above;
  T below;
  if constexpr (std::is_same_v<T, float>) {
    above = polynomial(a, 0.5f, 0.331765165f, 0.102717418f, 0.0131993255f);
    below = polynomial(a, 1.0f, 1.46141381f, 0.871489288f, 0.256930589f, 0.0331043358f);
  } else {
    above = polynomial(a, 0.5, 0.68966973114977166, 0.47145160757778858, 0.20234671189117626,
                       0.058931751719613958, 0.011871307243030153, 0.0016160248779183458,
                       0.00013661872231213464, 5.5547624116966633e-06);
    below = polynomial(a, 1.0, 2.1772240231024148, 2.1800766485978365, 1.3214924317856184,
                       0.5362813987994412, 0.15174284799167885, 0.030099409617165301,
                       0.0040646973000209943, 0.00034245235338776834, 1.3923724511687474e-05);
  }
  return above / below;
}
}  // namespace natgrad::formulas
