#include "core/option_errors.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_checks.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

// The largest enumerator that the checks know is the largest that there is.

namespace natgrad::tests {

namespace {

using detail::is_enumerator;
using detail::last_enumerator;

template <class Enum>
void expect_last_is_named() {
  const auto last = static_cast<std::uint8_t>(last_enumerator<Enum>());
  for (int value = 0; value <= last; ++value) {
    EXPECT_STRNE(to_string(static_cast<Enum>(value)), "unknown") << value;
    EXPECT_TRUE(is_enumerator(static_cast<Enum>(value))) << value;
  }
  for (int value : {last + 1, 158, 255}) {
    EXPECT_STREQ(to_string(static_cast<Enum>(value)), "unknown") << value;
    EXPECT_FALSE(is_enumerator(static_cast<Enum>(value))) << value;
  }
}

TEST(enumerators, are_those_that_have_names) {
  expect_last_is_named<ElementType>();
  expect_last_is_named<DeviceKind>();
  expect_last_is_named<FisherKind>();
  expect_last_is_named<Form>();
  expect_last_is_named<DampingScaling>();
  expect_last_is_named<Activation>();
  expect_last_is_named<Likelihood>();
  expect_last_is_named<PoissonSolution>();
  expect_last_is_named<DensityFamily>();
}

TEST(enumerators, every_wrong_one_of_some_options_is_named) {
  detail::OptionErrors errors("options");
  errors.check_enumerator(".form", Form::dual);
  errors.throw_if_any();
  errors.check_enumerator(".form", static_cast<Form>(158));
  errors.check(".rate", -1, false, "> 0");
  errors.check_enumerator(".bias_terms", static_cast<Bias>(2));
  try {
    errors.throw_if_any();
    FAIL() << "nothing was thrown";
  } catch (const OptionError& error) {
    EXPECT_STREQ(
        error.what(),
        "options: .form = 158, must be one of its 3 enumerators (0 to 2); .rate = -1, must "
        "be > 0; .bias_terms = 2, must be one of its 2 enumerators (0 to 1)");
  }
  EXPECT_NO_THROW(detail::require_enumerator("scores", ".centering", Centering::fisher_only));
  EXPECT_THROW(detail::require_enumerator("scores", ".centering", static_cast<Centering>(3)),
               OptionError);
}

}  // namespace

}  // namespace natgrad::tests
