#pragma once

// Activations of a layer and their derivatives, one number at a time, in float and double.
//
// tanh and sigmoid are within 4 ulp of the value everywhere, gelu within 4 ulp of its argument. NaN
// gives NaN and an infinity gives the limit. A derivative takes what the backward pass has at hand:
// the activation's output, or for gelu, whose output doesn't determine it, the input.

#include "kernels/formulas/elementary.hpp"
#include "kernels/formulas/formula.hpp"

#include <type_traits>

namespace natgrad::formulas {

/// tanh x = (e^2x - 1) / (e^2x + 1).
template <typename T>
NATGRAD_FORMULA T tanh(T x) {
  // From here on adding 2 to e^2x - 1 changes nothing, and the quotient is exactly 1.
  constexpr T saturated = std::is_same_v<T, float> ? T(20) : T(40);
  const auto [n, fraction] = split_exp(at_most(saturated, T(2) * magnitude(x)));
  const T power = power_of_two<T>(n);
  // Near 0 the power is 1, and this is the fraction without loss.
  const T excess = power * fraction + (power - T(1));
  return from_bits<T>(to_bits(excess / (excess + T(2))) | sign_bit(x));
}

/// The derivative of tanh where its value is `output`: 1 - output^2, within 2 ulp.
template <typename T>
NATGRAD_FORMULA T tanh_derivative_from_output(T output) {
  return (T(1) - output) * (T(1) + output);
}

/// 1 / (1 + e^-x), with results down to the smallest subnormal number.
template <typename T>
NATGRAD_FORMULA T sigmoid(T x) {
  const T e = exp_in_range(at_least(exp_lowest<T>, -magnitude(x)));
  return select_by_sign(x, e, T(1)) / (T(1) + e);
}

/// The derivative of the sigmoid where its value is `output`: output (1 - output), within 2 ulp.
template <typename T>
NATGRAD_FORMULA T sigmoid_derivative_from_output(T output) {
  return output * (T(1) - output);
}

/// max(x, 0), and NaN for NaN.
template <typename T>
NATGRAD_FORMULA T relu(T x) {
  return x <= T(0) ? T(0) : x;
}

/// The derivative of relu where its value is `output` >= 0: 1 where that is positive, 0 at 0, and
/// NaN for NaN.
template <typename T>
NATGRAD_FORMULA T relu_derivative_from_output(T output) {
  // The 1 takes the output's sign only to be unknown to the compiler (see `blurred`).
  const T one = from_bits<T>(to_bits(T(1)) | sign_bit(output));
  return output > T(0) ? one : output;
}

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|), Phi the normal distribution function. In this form the
/// sign is never wrong, and for x < 0 the error is within 8 (4 + x^2) ulp of the result too, as far
/// as e^(-x^2 / 2) is a normal number; beyond that the result is 0.
template <typename T>
NATGRAD_FORMULA T gelu(T x) {
  const T a = at_most(normal_tail_end<T>, magnitude(x));
  return select_by_sign(x, T(0), x) - normal_exponential(a) * (a * normal_tail_ratio(a));
}

/// The derivative of gelu at x: Phi(x) + x phi(x), phi the normal density; within 4 ulp of 1.
template <typename T>
NATGRAD_FORMULA T gelu_derivative_from_input(T x) {
  constexpr T density_at_0 = T(0.3989422804014327);
  const T a = at_most(normal_tail_end<T>, magnitude(x));
  // At a: the step function at 0, plus an odd function.
  const T odd = normal_exponential(a) * (a * density_at_0 - normal_tail_ratio(a));
  return select_by_sign(x, T(0), T(1)) + from_bits<T>(to_bits(odd) ^ sign_bit(x));
}
}  // namespace natgrad::formulas
