#include "kernels/formulas/activations.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace {

namespace formulas = natgrad::formulas;

template <typename T>
using Limits = std::numeric_limits<T>;

constexpr auto exp_formula = [](auto x) { return formulas::exp(x); };
constexpr auto tanh_formula = [](auto x) { return formulas::tanh(x); };
constexpr auto sigmoid_formula = [](auto x) { return formulas::sigmoid(x); };
constexpr auto relu_formula = [](auto x) { return formulas::relu(x); };
constexpr auto gelu_formula = [](auto x) { return formulas::gelu(x); };
constexpr auto tanh_slope = [](auto a) { return formulas::tanh_derivative_from_output(a); };
constexpr auto sigmoid_slope = [](auto a) { return formulas::sigmoid_derivative_from_output(a); };
constexpr auto relu_slope = [](auto a) { return formulas::relu_derivative_from_output(a); };
constexpr auto gelu_slope = [](auto z) { return formulas::gelu_derivative_from_input(z); };

long double exact_exp(long double x) { return std::exp(x); }
long double exact_tanh(long double x) { return std::tanh(x); }
long double exact_sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }
long double exact_distribution(long double x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; }

long double exact_gelu(long double x) {
  if (std::isinf(x)) return x < 0 ? 0 : x;
  return x * exact_distribution(x);
}

long double exact_gelu_slope(long double x) {
  if (std::isinf(x)) return x < 0 ? 0 : 1;
  const long double density = std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0L));
  return exact_distribution(x) + x * density;
}

/// The distance between neighbours of type T at `value`.
template <typename T>
long double ulp(long double value) {
  const int lowest = Limits<T>::min_exponent - 1;
  const int exponent = value == 0 ? lowest : std::max(std::ilogb(value), lowest);
  return std::ldexp(1.0L, exponent + 1 - Limits<T>::digits);
}

/// |result - exact| in ulp of `scale`; 0 where the result overflowed as the exact value does.
template <typename T>
long double error_in_ulp(T result, long double exact, long double scale) {
  if (std::isinf(static_cast<T>(exact)) && result == static_cast<T>(exact)) return 0;
  return std::abs(static_cast<long double>(result) - exact) / ulp<T>(scale);
}

/// Numbers of every magnitude, infinities among them, no NaN: drawn uniformly from intervals and
/// from all bit patterns, powers of two, and the multiples of ln(2) / 2, at every other of which
/// the exponential goes over to the next power of two; the latter two with their neighbours.
template <typename T>
std::vector<T> samples() {
  std::vector<T> x;
  std::mt19937_64 random(1);
  for (T width : {T(1), T(6), T(20), T(110), T(800)})
    for (int i = 0; i < 40'000; ++i) x.push_back(width * (T(random() >> 11) * T(0x1p-52) - T(1)));
  for (int i = 0; i < 40'000; ++i) {
    const auto bits = static_cast<formulas::Bits<T>>(random());
    if (const T any = formulas::from_bits<T>(bits); !std::isnan(any)) x.push_back(any);
  }
  std::vector<T> structured{T(0), Limits<T>::min(), Limits<T>::max(), Limits<T>::infinity()};
  for (int e = Limits<T>::min_exponent - Limits<T>::digits; e < Limits<T>::max_exponent; ++e)
    for (T factor : {T(1), T(1.25), T(1.5)}) structured.push_back(std::ldexp(factor, e));
  for (int i = 1; i < 2200; ++i) structured.push_back(T(i * 0.34657359027997265471L));
  for (T s : structured)
    for (T near : {std::nextafter(s, T(0)), s, std::nextafter(s, Limits<T>::infinity())}) {
      x.push_back(near);
      x.push_back(-near);
    }
  return x;
}

/// The formula over an array, by the plain loop that a compiler vectorizes.
template <typename T, typename Formula>
std::vector<T> evaluate(const std::vector<T>& x, Formula formula) {
  std::vector<T> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = formula(x[i]);
  return y;
}

constexpr auto of_result = [](long double, long double result) { return result; };
constexpr auto of_argument = [](long double x, long double) { return x; };
constexpr auto of_one = [](long double, long double) { return 1.0L; };

/// Checks |formula(x) - exact(x)| <= `bound` ulp of scale(x, exact(x)) at every x.
template <typename T, typename Formula, typename Exact, typename Scale>
void expect_within(long double bound, const std::vector<T>& x, Formula formula, Exact exact,
                   Scale scale) {
  ASSERT_FALSE(x.empty());
  const std::vector<T> y = evaluate(x, formula);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double expected = exact(static_cast<long double>(x[i]));
    const long double error = error_in_ulp(y[i], expected, scale(x[i], expected));
    if (!(error <= bound)) {
      ADD_FAILURE() << "at " << x[i] << " (number " << i << "): " << y[i] << " instead of "
                    << expected << ", an error of " << error << " ulp, allowed " << bound;
      return;
    }
  }
}

/// Runs a generic check in both types.
template <typename Check>
void in_both_types(Check check) {
  check(float());
  check(double());
}

TEST(activations, exp_is_within_4_ulp) {
  expect_within(4, samples<float>(), exp_formula, exact_exp, of_result);
  expect_within(4, samples<double>(), exp_formula, exact_exp, of_result);
}

TEST(activations, tanh_is_within_4_ulp) {
  expect_within(4, samples<float>(), tanh_formula, exact_tanh, of_result);
  expect_within(4, samples<double>(), tanh_formula, exact_tanh, of_result);
}

TEST(activations, sigmoid_is_within_4_ulp) {
  expect_within(4, samples<float>(), sigmoid_formula, exact_sigmoid, of_result);
  expect_within(4, samples<double>(), sigmoid_formula, exact_sigmoid, of_result);
}

TEST(activations, relu_is_exact) {
  in_both_types([](auto type) {
    using T = decltype(type);
    const auto exact = [](long double x) { return x > 0 ? x : 0; };
    expect_within(0, samples<T>(), relu_formula, exact, of_result);
    EXPECT_FALSE(std::signbit(formulas::relu(T(-0.0))));
  });
}

TEST(activations, gelu_is_within_4_ulp_of_its_argument) {
  expect_within(4, samples<float>(), gelu_formula, exact_gelu, of_argument);
  expect_within(4, samples<double>(), gelu_formula, exact_gelu, of_argument);
}

TEST(activations, gelu_of_a_negative_argument_keeps_relative_accuracy) {
  in_both_types([](auto type) {
    using T = decltype(type);
    std::vector<T> x = samples<T>();
    const T end = std::is_same_v<T, float> ? T(-13) : T(-37);
    std::erase_if(x, [end](T value) { return !(end < value && value < 0); });
    const auto scale = [](long double value, long double result) {
      return (4 + value * value) * result;
    };
    expect_within(8, x, gelu_formula, exact_gelu, scale);
  });
}

TEST(activations, values_stay_inside_their_limits) {
  in_both_types([](auto type) {
    using T = decltype(type);
    for (T x : samples<T>()) {
      ASSERT_TRUE(formulas::exp(x) >= 0) << x;
      const T tanh = formulas::tanh(x);
      ASSERT_TRUE(std::abs(tanh) <= 1 && std::signbit(tanh) == std::signbit(x)) << x;
      const T sigmoid = formulas::sigmoid(x);
      ASSERT_TRUE(0 <= sigmoid && sigmoid <= 1) << x;
      const T gelu = formulas::gelu(x);
      ASSERT_TRUE(x < 0 ? x <= gelu && gelu <= 0 : 0 <= gelu && gelu <= x) << x;
    }
  });
}

TEST(activations, infinities_give_the_limits) {
  in_both_types([](auto type) {
    using T = decltype(type);
    for (T x : {Limits<T>::infinity(), Limits<T>::max(), T(1e6)}) {
      EXPECT_EQ(formulas::exp(x), Limits<T>::infinity());
      EXPECT_EQ(formulas::exp(-x), T(0));
      EXPECT_EQ(formulas::tanh(x), T(1));
      EXPECT_EQ(formulas::tanh(-x), T(-1));
      EXPECT_EQ(formulas::sigmoid(x), T(1));
      EXPECT_EQ(formulas::sigmoid(-x), T(0));
      EXPECT_EQ(formulas::relu(x), x);
      EXPECT_EQ(formulas::relu(-x), T(0));
      EXPECT_EQ(formulas::gelu(x), x);
      EXPECT_EQ(formulas::gelu(-x), T(0));
      EXPECT_EQ(formulas::gelu_derivative_from_input(x), T(1));
      EXPECT_EQ(formulas::gelu_derivative_from_input(-x), T(0));
    }
  });
}

TEST(activations, nan_gives_nan) {
  in_both_types([](auto type) {
    using T = decltype(type);
    std::vector<T> x;
    const T all_ones = formulas::from_bits<T>(~formulas::sign_bit(T(-1)));
    for (T nan : {Limits<T>::quiet_NaN(), Limits<T>::signaling_NaN(), all_ones}) {
      x.push_back(nan);
      x.push_back(-nan);
    }
    const auto is_nan = [](T y) { return std::isnan(y); };
    const auto all_nan = [&](auto f) { return std::ranges::all_of(evaluate(x, f), is_nan); };
    EXPECT_TRUE(all_nan(exp_formula));
    EXPECT_TRUE(all_nan(tanh_formula));
    EXPECT_TRUE(all_nan(sigmoid_formula));
    EXPECT_TRUE(all_nan(relu_formula));
    EXPECT_TRUE(all_nan(gelu_formula));
    EXPECT_TRUE(all_nan(tanh_slope));
    EXPECT_TRUE(all_nan(sigmoid_slope));
    EXPECT_TRUE(all_nan(relu_slope));
    EXPECT_TRUE(all_nan(gelu_slope));
  });
}

TEST(activations, derivatives_from_the_output_are_within_2_ulp) {
  in_both_types([](auto type) {
    using T = decltype(type);
    const std::vector<T> x = samples<T>();
    const auto exact_tanh_slope = [](long double a) { return (1 - a) * (1 + a); };
    const auto exact_sigmoid_slope = [](long double a) { return a * (1 - a); };
    const auto exact_relu_slope = [](long double a) { return a > 0 ? 1 : 0; };
    expect_within(2, evaluate(x, tanh_formula), tanh_slope, exact_tanh_slope, of_result);
    expect_within(2, evaluate(x, sigmoid_formula), sigmoid_slope, exact_sigmoid_slope, of_result);
    expect_within(0, evaluate(x, relu_formula), relu_slope, exact_relu_slope, of_result);
  });
}

// Relative to 1, for that is all that an output with an error of its own says about the derivative.
TEST(activations, derivatives_are_within_4_ulp_of_1_of_those_at_the_argument) {
  in_both_types([](auto type) {
    using T = decltype(type);
    const std::vector<T> x = samples<T>();
    expect_within(
        4, x, [](T value) { return tanh_slope(tanh_formula(value)); },
        [](long double value) { return 1 - exact_tanh(value) * exact_tanh(value); }, of_one);
    expect_within(
        4, x, [](T value) { return sigmoid_slope(sigmoid_formula(value)); },
        [](long double value) { return exact_sigmoid(value) * exact_sigmoid(-value); }, of_one);
    expect_within(4, x, gelu_slope, exact_gelu_slope, of_one);
  });
}
}  // namespace
