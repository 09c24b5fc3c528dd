// Are the rows right? `check_scores` compares every row with differences of its log-likelihood,
// here of a logistic regression. The program ends well when no row is off, and when a row that is
// made wrong on purpose is the one that is named.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  std::vector<float> x = {0, 1, 1, 1, 2, 0, 3, 2}, y = {0, 0, 1, 1}, w = {0.3F, -0.2F}, b = {0.1F};
  std::vector<float> score(4);
  for (int n = 0; n < 4; ++n) {
    score[n] = y[n] - 1 / (1 + std::exp(-(w[0] * x[2 * n] + w[1] * x[2 * n + 1] + b[0])));
  }
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({w.data(), {1, 2}}, "w");
  const natgrad::Segment bias = parameters.add({b.data(), {1}}, "b");
  natgrad::LayerScores scores(parameters);
  scores.begin({.samples = 4});
  scores.add({.weight = weight,
              .bias = bias,
              .input = {x.data(), {4, 2}},
              .output_score = {score.data(), {4}}});

  // [shown]
  const auto log_likelihood = [&](const natgrad::View& log_p) {  // your own forward pass, in double
    for (int n = 0; n < 4; ++n) {
      const double z = w[0] * x[2 * n] + w[1] * x[2 * n + 1] + b[0];
      log_p.as<double>()[n] = y[n] * z - std::log1p(std::exp(z));
    }
  };
  std::puts(natgrad::check_scores(scores, log_likelihood).text.c_str());
  // [end]
  const bool right = natgrad::check_scores(scores, log_likelihood).rows_off == 0;
  score[2] = -score[2];  // a wrong sign in one row
  const natgrad::LikelihoodCheck wrong = natgrad::check_scores(scores, log_likelihood);
  std::puts(wrong.text.c_str());
  return right && wrong.rows_off == 1 && wrong.worst_row == 2 ? 0 : 1;
}
