#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/speaks_of.hpp"
#include "support/tolerance.hpp"
#include "support/two_layers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

// check_scores calls the function as often as it says, leaves the parameters as they were, and says
// what it cannot compare.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(check_scores, directions_follow_the_seed) {
  TwoLayers<double> model;
  TwoLayers<double>::scale_row(model.score2, 3, 2);
  const auto distance = [&](const LikelihoodCheck::Options& options) {
    return check_scores(model.scores(), model.log_likelihood(), options).distance;
  };
  EXPECT_EQ(distance({.seed = 1}), distance({.seed = 1}));
  EXPECT_NE(distance({.seed = 1}), distance({.seed = 2}));
  EXPECT_GE(distance({.directions = 9}), distance({.directions = 1}));
}

TEST(check_scores, calls_the_function_twice_a_direction_and_twice_at_the_parameters) {
  for (int directions : {1, 2, 5}) {
    TwoLayers<float> model;
    const auto before = model.theta_memory();
    int calls = 0;
    int unmoved = 0;
    bool first_unmoved = false;
    bool last_unmoved = false;
    const LogLikelihood own = model.log_likelihood();
    check_scores(model.scores(),
                 [&](const View& log_p) {
                   ++calls;
                   last_unmoved = true;
                   const auto now = model.theta_memory();
                   for (std::size_t i = 0; i < now.size(); ++i) {
                     last_unmoved = last_unmoved && same_bits(now[i], before[i]);
                   }
                   unmoved += last_unmoved ? 1 : 0;
                   if (calls == 1) first_unmoved = last_unmoved;
                   EXPECT_EQ(log_p.type(), ElementType::float64);
                   EXPECT_EQ(log_p.shape(), (Shape{12, 1}));
                   own(log_p);
                 },
                 {.directions = directions});
    EXPECT_EQ(calls, 2 * directions + 2);
    EXPECT_EQ(unmoved, 2);
    EXPECT_TRUE(first_unmoved);
    EXPECT_TRUE(last_unmoved);
  }
}

template <class T>
void check_restoring() {
  for (int failing = 1; failing <= 8; ++failing) {
    TwoLayers<T> model;
    model.w1(0, 0) = T{-0.0};
    const auto before = model.theta_memory();
    int calls = 0;
    const LogLikelihood own = model.log_likelihood();
    EXPECT_THROW(check_scores(model.scores(),
                              [&](const View& log_p) {
                                own(log_p);
                                model.b2(1) = 17;  // a function that leaves things behind
                                if (++calls == failing) throw std::range_error("no log p");
                              }),
                 std::range_error);
    EXPECT_EQ(calls, failing);
    const auto after = model.theta_memory();
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));
  }
}

TEST(check_scores, restores_the_parameters_when_the_function_throws) {
  check_restoring<double>();
  check_restoring<float>();
}

TEST(check_scores, restores_parameters_that_are_not_finite) {
  TwoLayers<float> model;
  model.w2(1, 1) = std::numeric_limits<float>::quiet_NaN();
  model.w1(0, 1) = -std::numeric_limits<float>::infinity();
  const auto before = model.theta_memory();
  const LikelihoodCheck check = check_scores(model.scores(), model.log_likelihood());
  EXPECT_EQ(check.rows_off, 12);
  EXPECT_TRUE(std::isnan(check.distance));
  EXPECT_TRUE(speaks_of(check, "not finite")) << check.text;
  const auto after = model.theta_memory();
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));
}

TEST(check_scores, restores_the_parameters_that_it_moved_when_others_join_them) {
  TwoLayers<double> model;
  const auto before = model.theta_memory();
  Tensor<double> late(Numbers(3, 1.0));
  bool added = false;
  const LogLikelihood own = model.log_likelihood();
  check_scores(model.scores(), [&](const View& log_p) {
    if (!added) model.parameters.add(late.view());
    added = true;
    own(log_p);
  });
  const auto after = model.theta_memory();
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));
}

TEST(check_scores, says_which_row_is_not_finite) {
  TwoLayers<double> model;
  const LogLikelihood own = model.log_likelihood();
  const LikelihoodCheck left_out = check_scores(model.scores(), [&](const View& log_p) {
    Tensor<double> all = zeros<double>(12);
    own(all.view());
    for (std::size_t n = 0; n < 12; ++n) {
      if (n == 4 || n == 9) continue;
      model.parameters.context().write(&all(n), log_p.row_range(static_cast<std::int64_t>(n), 1));
    }
  });
  EXPECT_EQ(left_out.rows_off, 2);
  EXPECT_EQ(left_out.worst_row, 4);
  EXPECT_TRUE(std::isnan(left_out.distance));
  EXPECT_TRUE(speaks_of(left_out, "2 of 12 rows are not finite, the first row 4")) << left_out.text;

  model.score2(6, 0) = nan;
  const LikelihoodCheck bad_row = check_scores(model.scores(), own);
  EXPECT_EQ(bad_row.rows_off, 1);
  EXPECT_EQ(bad_row.worst_row, 6);
  EXPECT_TRUE(std::isnan(bad_row.worst_product));
  EXPECT_TRUE(std::isfinite(bad_row.worst_difference));
}

TEST(check_scores, says_when_log_p_does_not_change) {
  TwoLayers<double> model;
  const LikelihoodCheck check = check_scores(model.scores(), [&](const View& log_p) {
    model.parameters.context().write(Numbers(12, -1.0).data(), log_p);
  });
  EXPECT_EQ(check.rows_off, 12);
  EXPECT_TRUE(std::isnan(check.distance));
  EXPECT_TRUE(speaks_of(check, "log p does not change")) << check.text;
}

}  // namespace

}  // namespace natgrad::tests
