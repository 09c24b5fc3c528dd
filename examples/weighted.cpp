// Weighted samples: the answers of 200 people, counted in twelve cells, each a row with the
// number of its people for its weight. Logistic regression of the answer on age and city. The
// program ends well when the fit is that of the 200 rows, and its gradient has vanished.
#include <natgrad/natgrad.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

/// Rows x (N, 3) with a 1 for the constant, answers y (N), and weights w (N).
struct Data {
  std::vector<double> x, y, w;
  int size() const { return static_cast<int>(y.size()); }
  void add(double age, double city, double answer, double weight) {
    x.insert(x.end(), {1, age, city});
    y.push_back(answer);
    w.push_back(weight);
  }
};

std::vector<double> fit(const Data& data, double& gradient) {
  constexpr int P = 3;
  const int N = data.size();
  std::vector<double> theta(P), score(N);
  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment weight = parameters.add({theta.data(), {1, P}}, "theta");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-4},
                                                  .step = natgrad::FixedRate{1},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(parameters);
  std::vector<double> g(P);
  for (int step = 0; step < 50; ++step) {
    for (int n = 0; n < N; ++n) {
      double z = 0;
      for (int i = 0; i < P; ++i) z += theta[i] * data.x[P * n + i];
      score[n] = data.y[n] - 1 / (1 + std::exp(-z));
    }
    // [shown]
    // F = sum w_n s_n s_n^T and g = sum w_n s_n: a row that stands for k of M samples has w = k /
    // M.
    scores.begin({.samples = N, .weights = {data.w.data(), {N}}});
    scores.add(
        {.weight = weight, .input = {data.x.data(), {N, P}}, .output_score = {score.data(), {N}}});
    optimizer.step(scores);
    // [end]
    scores.gradient({g.data(), {P}});
  }
  gradient = std::hypot(g[0], g[1], g[2]);
  return theta;
}

}  // namespace

int main() {
  const double yes[2][3] = {{12, 26, 15}, {31, 24, 9}};
  const double no[2][3] = {{24, 19, 5}, {17, 11, 7}};
  const double M = 200;
  Data counted, people;
  for (int city = 0; city < 2; ++city) {
    for (int age = 0; age < 3; ++age) {
      counted.add(age, city, 1, yes[city][age] / M);
      counted.add(age, city, 0, no[city][age] / M);
      for (int k = 0; k < static_cast<int>(yes[city][age]); ++k) people.add(age, city, 1, 1 / M);
      for (int k = 0; k < static_cast<int>(no[city][age]); ++k) people.add(age, city, 0, 1 / M);
    }
  }
  double gradient = 0, gradient_of_people = 0, distance = 0;
  const std::vector<double> a = fit(counted, gradient), b = fit(people, gradient_of_people);
  for (int i = 0; i < 3; ++i) distance = std::fmax(distance, std::abs(a[i] - b[i]));
  std::printf("%d rows: %.6f %.6f %.6f, |g| = %.1e; %d rows differ by %.1e\n", counted.size(), a[0],
              a[1], a[2], gradient, people.size(), distance);
  return gradient < 1e-9 && distance < 1e-9 ? 0 : 1;
}
