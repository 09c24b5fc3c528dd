#include "support/trial.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

// The trial itself: a wrong backend must not pass, whatever is wrong with it.

namespace natgrad::tests {

namespace {

constexpr ElementType float64 = ElementType::float64;

TestDevice naive_device() {
  return {.backend = std::make_unique<ReferenceBackend>(), .memory = host_memory()};
}

/// The texts of the failures that `body` reports, one after another.
template <class Body>
std::string failures_of(const Body& body) {
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    body();
  }
  std::string texts;
  for (int i = 0; i < results.size(); ++i) texts += results.GetTestPartResult(i).message();
  return texts;
}

void expect_finds(const std::string& failures, const std::string& text) {
  EXPECT_NE(failures.find(text), std::string::npos) << "in: " << failures;
}

/// What is reported when, instead of a copy of a lower triangle of 3 x 3 with padding, the tested
/// side alone does `wrong(from, to)` afterwards.
template <class Wrong>
std::string failures_after(const Wrong& wrong) {
  return failures_of([&] {
    TestDevice device = naive_device();
    Trial trial(device, 2);
    const Operand from = trial.matrix(3, 3, float64, Use::input);
    const Operand to = trial.matrix(3, 3, float64, Use::output, Part::lower);
    trial.run([&](Backend&, const Side& of) {
      const View source = of(from);
      const View target = of(to);
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j <= i; ++j)
          target.as<double>()[i * 5 + j] = source.as<double>()[i * 5 + j];
      }
      if (of.place() == Side::tested) wrong(source.as<double>(), target.as<double>());
    });
    trial.expect_equal(to);
  });
}

TEST(trial, accepts_what_is_right) {
  EXPECT_EQ(failures_after([](double*, double*) {}), "");
}

TEST(trial, finds_a_wrong_element) {
  expect_finds(failures_after([](double*, double* to) { to[5] += 1e-15; }), "row 1, column 0");
}

TEST(trial, finds_an_element_that_was_not_written) {
  TestDevice device = naive_device();
  Trial trial(device);
  const Operand to = trial.vector(3, float64, Use::output);
  trial.run([&](Backend&, const Side& of) {
    if (of.place() != Side::tested) of(to).as<double>()[1] = of(to).as<double>()[2] = 0;
    // Poison where the reference has NaN of its own would otherwise pass for it.
    of(to).as<double>()[2] = 0;
  });
  const std::string failures = failures_of([&] { trial.expect_equal(to); });
  expect_finds(failures, "row 0, column 0: not written");
  expect_finds(failures, "row 1, column 0: not written");
  EXPECT_EQ(failures.find("row 2"), std::string::npos);
}

TEST(trial, finds_what_is_written_outside) {
  expect_finds(failures_after([](double*, double* to) { to[-1] = 0; }), "2 words before the array");
  expect_finds(failures_after([](double*, double* to) { to[4] = 0; }), "row 0, column 4");
  expect_finds(failures_after([](double*, double* to) { to[1] = 0; }), "row 0, column 1");
  expect_finds(failures_after([](double*, double* to) { to[15] = 0; }), "row 3, column 0");
}

TEST(trial, finds_a_changed_input) {
  expect_finds(failures_after([](double* from, double*) { from[0] = 0; }), "is an input");
}

TEST(trial, finds_results_that_differ_from_call_to_call) {
  double growing = 0;
  expect_finds(failures_after([&](double*, double* to) { to[0] = growing += 1; }), "other bits");
}

TEST(trial, gives_the_operation_nan_beyond_its_operands) {
  EXPECT_EQ(failures_after([](double* from, double* to) {
              for (double beyond : {from[-1], from[3], from[4], to[1], to[15]}) {
                EXPECT_TRUE(std::isnan(beyond));
              }
            }),
            "");
}

}  // namespace

}  // namespace natgrad::tests
