#pragma once

#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

// What the tests of the update loop share.

namespace natgrad::tests {

using Options = NaturalGradient::Options;

inline constexpr double same = 1e-12;  // relative; these systems' condition is below 1e3
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr std::array forms{Form::primal, Form::dual};
inline const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};
/// 23 parameters: W1 (3, 4), b1 (3), W2 (2, 3) and b3 (2).
inline const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 3},
                                               {.inputs = 3, .outputs = 2, .bias = false},
                                               {.inputs = 0, .outputs = 2}};
inline constexpr Damping damping{.absolute = 0.05, .relative = 0.3};

inline void expect_same_report(const StepReport& a, const StepReport& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.form, b.form);
  EXPECT_TRUE(within(a.rate, b.rate, same * b.rate));
  EXPECT_TRUE(within(a.damping, b.damping, same * b.damping));
  EXPECT_TRUE(within(a.quadratic_form, b.quadratic_form, 10 * same * b.quadratic_form));
  EXPECT_EQ(a.predicted_kl.has_value(), b.predicted_kl.has_value());
}

/// An `ArgumentError` that says `text`.
template <class Call>
void expect_refused(const char* text, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (const ArgumentError& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

}  // namespace natgrad::tests
