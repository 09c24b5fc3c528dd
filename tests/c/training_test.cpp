#include "c/handles.hpp"
#include "c/train.h"
#include "natgrad/natgrad.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

// A C program's steps, tests/c/train.c, and the same by the C++ interface: the same bits.

namespace natgrad::tests {

namespace {

/// An array of the context's device with these numbers.
template <class T>
Array uploaded(const Context& context, const T* numbers, Shape shape) {
  Array array = context.array(shape, element_type_of<T>);
  context.write(numbers, array);
  return array;
}

TEST(c_interface, trains_by_dense_rows_as_cpp_does) {
  constexpr int steps = 4;
  std::array<double, regression_size> theta = {0.1, -0.2, 0.3, 0.4};
  std::array<double, regression_size> expected = theta;
  const auto c = c_context();
  ASSERT_EQ(regression_train(c.get(), steps, theta.data()), 0) << natgrad_error_text();

  const Context context = test_context();
  Array array = uploaded(context, expected.data(), {regression_size});
  Parameters parameters(context);
  parameters.add(array);
  NaturalGradient optimizer(
      parameters, {.damping = {.absolute = 1e-3}, .momentum = NoMomentum{}, .form = Form::primal});
  DenseScores scores(parameters);
  for (int step = 0; step < steps; ++step) {
    std::array<double, regression_samples* regression_size> rows = {};
    regression_rows(expected.data(), rows.data(), nullptr);
    const Array given = uploaded(context, rows.data(), {regression_samples, regression_size});
    scores.begin(given);
    optimizer.step(scores);
    context.read(array, expected.data());
  }
  EXPECT_EQ(theta, expected);
  EXPECT_NE(theta[0], 0.1);
}

/// One step of the C++ interface on the net.
struct CppNet {
  Context context = test_context();
  std::vector<Array> arrays;
  Parameters parameters{context};
  std::vector<Segment> segments;

  explicit CppNet(const std::vector<float>& theta) {
    const float* from = theta.data();
    for (const Shape shape : shapes) {
      arrays.push_back(uploaded(context, from, shape));
      segments.push_back(parameters.add(arrays.back()));
      from += shape.size();
    }
  }

  void step(NaturalGradient& optimizer, std::vector<float>& theta) {
    net_batch batch;
    net_pass(theta.data(), &batch);
    LayerScores scores(parameters);
    scores.begin({.samples = net_samples});
    const Array input = uploaded(context, batch.input, {net_samples, net_inputs});
    const Array hidden = uploaded(context, batch.hidden, {net_samples, net_hidden});
    const Array score1 = uploaded(context, batch.score1, {net_samples, net_hidden});
    const Array score2 = uploaded(context, batch.score2, {net_samples, net_outputs});
    scores.add(
        {.weight = segments[0], .bias = segments[1], .input = input, .output_score = score1});
    scores.add(
        {.weight = segments[2], .bias = segments[3], .input = hidden, .output_score = score2});
    optimizer.step(scores);
    float* to = theta.data();
    for (const Array& array : arrays) {
      context.read(array, to);
      to += array.view().size();
    }
  }

  static constexpr std::array<Shape, 4> shapes = {
      {{net_hidden, net_inputs}, {net_hidden}, {net_outputs, net_hidden}, {net_outputs}}};
};

TEST(c_interface, trains_by_layers_as_cpp_does) {
  constexpr int steps = 6;
  std::vector<float> theta(net_size);
  net_start(theta.data());
  std::vector<float> expected = theta;
  const std::vector<float> start = theta;
  const auto c = c_context();
  ASSERT_EQ(net_train(c.get(), steps, theta.data()), 0) << natgrad_error_text();

  CppNet net(expected);
  NaturalGradient optimizer(net.parameters, {.form = Form::dual});
  for (int step = 0; step < steps; ++step) net.step(optimizer, expected);
  EXPECT_EQ(theta, expected);
  net_batch batch;
  net_pass(start.data(), &batch);
  const double before = batch.loss;
  net_pass(theta.data(), &batch);
  EXPECT_LT(batch.loss, 0.5 * before);
}

TEST(c_interface, loss_functions_search_a_rate) {
  std::vector<float> theta(net_size);
  net_start(theta.data());
  const std::vector<float> start = theta;
  const auto c = c_context();
  natgrad_status status = -1;
  int calls = 0;
  ASSERT_EQ(net_backtrack(c.get(), 0, &status, &calls, theta.data()), 0) << natgrad_error_text();
  EXPECT_EQ(status, NATGRAD_OK);
  EXPECT_EQ(calls, 4);
  EXPECT_NE(theta, start);
}

TEST(c_interface, loss_functions_that_fail_end_the_step_and_nothing_has_moved) {
  std::vector<float> start(net_size);
  net_start(start.data());
  const auto c = c_context();
  for (const int fail_at : {1, 2, 4}) {
    std::vector<float> theta = start;
    natgrad_status status = NATGRAD_OK;
    int calls = 0;
    ASSERT_EQ(net_backtrack(c.get(), fail_at, &status, &calls, theta.data()), 0)
        << natgrad_error_text();
    EXPECT_EQ(status, NATGRAD_ERROR_CALLBACK);
    EXPECT_EQ(natgrad_error_status(), NATGRAD_ERROR_CALLBACK);
    EXPECT_STREQ(natgrad_error_text(), "loss returned 7");
    EXPECT_EQ(calls, fail_at);
    EXPECT_EQ(theta, start) << "failed at call " << fail_at;
  }
}

}  // namespace

}  // namespace natgrad::tests
