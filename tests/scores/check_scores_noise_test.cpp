#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/speaks_of.hpp"
#include "support/two_layers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// What check_scores says of a log p that is not the same twice, and which operand it names where
// something is not finite.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Logistic regression whose inputs are dropped with probability 1 - keep, and its rows without
/// dropout.
template <class T>
struct Dropout {
  static constexpr std::size_t samples = 64;
  static constexpr std::size_t inputs = 10;
  Random random{1};
  Tensor<T> w{random.table(1, inputs)};
  Tensor<T> x{random.table(samples, inputs)};
  Tensor<T> score{Numbers(samples, 0.0)};
  std::vector<double> y = std::vector<double>(samples);
  Parameters parameters{test_context()};
  Segment weight = parameters.add(w.view(), "w");
  double keep = 1;
  bool drifts = false;
  int calls = 0;

  double output(std::size_t n, bool drop) {
    double z = 0;
    for (std::size_t i = 0; i < inputs; ++i) {
      if (drop && !(std::abs(random()) < keep)) continue;
      z += static_cast<double>(w(0, i)) * static_cast<double>(x(n, i)) / keep;
    }
    return z;
  }
  LayerScores scores(double factor) {
    for (std::size_t n = 0; n < samples; ++n) {
      y[n] = random() < 0 ? 1 : 0;
      const double probability = 1 / (1 + std::exp(-output(n, false) * keep));
      score(n) = static_cast<T>(factor * (y[n] - probability));
    }
    LayerScores scores(parameters);
    scores.begin({.samples = samples});
    scores.add({.weight = weight, .input = x.view(), .output_score = score.view()});
    return scores;
  }
  LogLikelihood log_likelihood() {
    return [this](const View& log_p) {
      std::vector<double> values(samples);
      ++calls;
      for (std::size_t n = 0; n < samples; ++n) {
        const double z = output(n, keep < 1) + (drifts ? 1e-3 * calls : 0);
        values[n] = y[n] * z - std::log1p(std::exp(z));
      }
      parameters.context().write(values.data(), log_p);
    };
  }
};

template <class T>
void check_dropout() {
  for (double factor : {1.0, -1.0, 5.0, 0.2}) {
    for (double keep : {0.8, 0.99}) {
      SCOPED_TRACE(testing::Message() << "rows times " << factor << ", kept " << keep);
      Dropout<T> model;
      const LayerScores scores = model.scores(factor);
      model.keep = keep;
      const LikelihoodCheck check = check_scores(scores, model.log_likelihood());
      EXPECT_TRUE(speaks_of(check, "log p is not reproducible")) << check.text;
      EXPECT_FALSE(speaks_of(check, "agree")) << check.text;
      EXPECT_GT(check.rows_off, 0);
      EXPECT_TRUE(std::isnan(check.distance));
    }
  }
  // Without dropout nothing is said of it.
  Dropout<T> exact;
  const LayerScores scores = exact.scores(1);
  const LikelihoodCheck check = check_scores(scores, exact.log_likelihood());
  EXPECT_TRUE(speaks_of(check, "the rows agree")) << check.text;
  EXPECT_EQ(check.rows_off, 0);
}

TEST(check_scores_noise, says_that_log_p_is_random) {
  check_dropout<float>();
  check_dropout<double>();
}

TEST(check_scores_noise, says_that_log_p_drifts_from_call_to_call) {
  Dropout<double> model;
  const LayerScores scores = model.scores(1);
  model.drifts = true;  // as running averages do
  const LikelihoodCheck check = check_scores(scores, model.log_likelihood());
  EXPECT_TRUE(speaks_of(check, "log p is not reproducible")) << check.text;
  EXPECT_TRUE(speaks_of(check, "for 64 of 64 rows")) << check.text;
}

TEST(check_scores_noise, rounding_that_differs_from_call_to_call_is_no_noise) {
  TwoLayers<double> model;
  const LogLikelihood log_likelihood = model.log_likelihood();
  double sign = 1;
  const LikelihoodCheck check = check_scores(model.scores(), [&](const View& log_p) {
    log_likelihood(log_p);
    std::vector<double> values = host_copy<double>(model.parameters.context(), log_p);
    for (double& value : values) value *= 1 + sign * 0x1p-52;
    sign = -sign;
    model.parameters.context().write(values.data(), log_p);
  });
  EXPECT_TRUE(speaks_of(check, "the rows agree")) << check.text;
}

/// A jump of log p at the parameters that only one direction of three meets: no row is off along
/// most directions, but nothing agrees at such a distance.
TEST(check_scores_noise, nothing_agrees_beside_a_large_distance) {
  TwoLayers<double> model;
  const LogLikelihood log_likelihood = model.log_likelihood();
  int calls = 0;
  const LikelihoodCheck check = check_scores(model.scores(), [&](const View& log_p) {
    log_likelihood(log_p);
    ++calls;
    const double jump = calls == 2 ? 0x1p-20 : calls == 3 ? -0x1p-20 : 0;  // of a step of 2^-20
    std::vector<double> values = host_copy<double>(model.parameters.context(), log_p);
    for (double& value : values) value += jump;
    model.parameters.context().write(values.data(), log_p);
  });
  EXPECT_EQ(check.rows_off, 0);
  EXPECT_GT(check.distance, 0.1);
  EXPECT_TRUE(speaks_of(check, "the rows differ")) << check.text;
  EXPECT_FALSE(speaks_of(check, "agree")) << check.text;
}

TEST(check_scores_noise, names_what_is_not_finite) {
  {
    TwoLayers<double> model;
    model.score2(6, 0) = nan;
    const LikelihoodCheck check = check_scores(model.scores(), model.log_likelihood());
    EXPECT_TRUE(speaks_of(check, "; W2: .output_score is nan at row 6 (term 0, column 0)"))
        << check.text;
  }
  {
    TwoLayers<double> model;
    model.w1(0, 1) = -std::numeric_limits<double>::infinity();
    const LikelihoodCheck check = check_scores(model.scores(), model.log_likelihood());
    EXPECT_TRUE(speaks_of(check, "; parameter W1 is -inf at number 1")) << check.text;
    EXPECT_FALSE(speaks_of(check, ".output_score is")) << check.text;
  }
  {
    TwoLayers<double> model;
    model.weights(3) = -1;
    const LikelihoodCheck check =
        check_scores(model.scores({.weights = model.weights.view()}), model.log_likelihood());
    EXPECT_TRUE(speaks_of(check, "the rows agree")) << "weights are no part of them";
    EXPECT_TRUE(speaks_of(check, "; .weights is -1 at row 3: negative, must be >= 0"))
        << check.text;
  }
}

}  // namespace

}  // namespace natgrad::tests
