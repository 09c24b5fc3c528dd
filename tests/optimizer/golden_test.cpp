#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/naive_trainer.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <vector>

// One golden run: ten steps of SPRING on a small net and twenty points, of which the losses are
// written down. The naive trainer reproduces them, and so does the library in both forms.

namespace natgrad::tests {

namespace {

constexpr std::size_t samples = 20;
constexpr std::size_t inputs = 3;
constexpr std::size_t hidden = 6;
constexpr std::size_t classes = 3;
constexpr std::array<double, 10> golden = {
    1.2063039202736, 1.0209051583948, 0.8610439131888, 0.7092488828798, 0.5646606832934,
    0.4312585903973, 0.3070768384808, 0.1984275998406, 0.1152130165635, 0.0598369594372};

// BLAS and fused multiplication differ between machines; over ten steps that stays far below.
constexpr double tolerance = 1e-6;

/// Points whose class is the largest of three smooth functions, the same everywhere.
struct Data {
  naive::Rows points;
  std::vector<int> labels;
  Data() {
    for (std::size_t n = 0; n < samples; ++n) {
      const auto t = static_cast<double>(n);
      points.push_back({std::sin(1.3 * t), std::cos(0.7 * t), std::sin(0.4 * t + 1)});
      const naive::Numbers& x = points.back();
      const double a = x[0] + 0.5 * x[1];
      const double b = x[1] * x[2] + 0.2;
      labels.push_back(a > b ? (a > 0.3 ? 0 : 1) : 2);
    }
  }
};

/// The initial weight number `index` of a net in the order of `Parameters`.
double initial(std::size_t index) { return 0.6 * std::sin(static_cast<double>(7 * index + 1)); }

naive::Trainer naive_trainer() {
  std::size_t index = 0;
  const auto layer = [&](std::size_t outputs, std::size_t columns) {
    naive::Layer made{naive::Rows(outputs, naive::Numbers(columns)), naive::Numbers(outputs)};
    for (naive::Numbers& row : made.weight) {
      for (double& weight : row) weight = initial(index++);
    }
    for (double& bias : made.bias) bias = initial(index++);
    return made;
  };
  std::vector<naive::Layer> layers;
  layers.push_back(layer(hidden, inputs));
  layers.push_back(layer(classes, hidden));
  return {layers, {.rate = 0.3, .damping = 0.03, .spring = 0.9}};
}

void expect_golden(std::size_t step, double loss) {
  EXPECT_TRUE(std::abs(loss - golden[step]) <= tolerance * golden[step])
      << "step " << step << ": " << std::scientific << std::setprecision(15) << loss
      << " instead of " << golden[step];
}

TEST(golden, the_naive_solve_is_right_on_paper) {
  // [4 2; 2 5] = L L^T with L = [2 0; 1 2].
  EXPECT_EQ(naive::cholesky({{4, 2}, {2, 5}}), (naive::Rows{{2, 0}, {1, 2}}));
  EXPECT_EQ(naive::solve({{4, 2}, {2, 5}}, {8, 12}), (naive::Numbers{1, 2}));
}

TEST(golden, the_naive_step_is_right_on_paper) {
  // One input x = 2, no hidden layer, two classes at weights 0: p = 1/2, and for label 0 the score
  // is (1/2, -1/2) times (2; bias 1), K = (4 + 1) / 2 = 5/2, y = 1 / (5/2 + 1/2) = 1/3.
  naive::Trainer trainer({{{{0}, {0}}, {0, 0}}}, {.rate = 3, .damping = 0.5, .spring = 0.5});
  EXPECT_DOUBLE_EQ(trainer.loss({{2}}, {0}), std::log(2));
  trainer.step({{2}}, {0});
  EXPECT_DOUBLE_EQ(trainer.layers[0].weight[0][0], 1);
  EXPECT_DOUBLE_EQ(trainer.layers[0].weight[1][0], -1);
  EXPECT_DOUBLE_EQ(trainer.layers[0].bias[0], 0.5);
  EXPECT_DOUBLE_EQ(trainer.layers[0].bias[1], -0.5);
}

TEST(golden, the_naive_trainer_has_the_losses) {
  const Data data;
  naive::Trainer trainer = naive_trainer();
  for (std::size_t step = 0; step < golden.size(); ++step) {
    trainer.step(data.points, data.labels);
    expect_golden(step, trainer.loss(data.points, data.labels));
  }
}

/// The library's losses on the same data, as its trainer would compute them.
void expect_library_golden(Form form) {
  SCOPED_TRACE(to_string(form));
  const Data data;
  SharedVector<double> points;
  for (const naive::Numbers& point : data.points)
    points.insert(points.end(), point.begin(), point.end());
  const SharedVector<std::int32_t> labels(data.labels.begin(), data.labels.end());
  const ConstView point_view = shared_view(points, {samples, inputs});
  const ConstView label_view = shared_view(labels, {samples, 1});

  FullyConnected net(test_context(),
                     {.sizes = {inputs, hidden, classes}, .type = ElementType::float64});
  SharedVector<double> theta(static_cast<std::size_t>(net.parameters().size()));
  for (std::size_t i = 0; i < theta.size(); ++i) theta[i] = initial(i);
  net.parameters().scatter(shared_view(theta, {net.parameters().size(), 1}));
  NaturalGradient optimizer(net.parameters(), {.damping = {.absolute = 0.03},
                                               .step = FixedRate{0.3},
                                               .momentum = Spring{0.9},
                                               .form = form});
  LayerScores scores(net.parameters());
  net.forward(point_view);
  for (std::size_t step = 0; step < golden.size(); ++step) {
    net.backward(label_view);
    net.add_to(scores, {.samples = samples});
    optimizer.step(scores);
    net.forward(point_view);
    expect_golden(step, net.evaluate(label_view).loss);
  }
}

TEST(golden, the_dual_form_has_the_losses) { expect_library_golden(Form::dual); }
TEST(golden, the_primal_form_has_the_losses) { expect_library_golden(Form::primal); }

}  // namespace

}  // namespace natgrad::tests
