#pragma once

#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace natgrad::tests {

/// One of everything, in the middle of its work, for calls that must not disturb it.
struct Workplace {
  LayeredBatch<float> batch{
      {.layers = {{.inputs = 3, .outputs = 2}, {.inputs = 2, .outputs = 3}}, .samples = 6}};
  LayeredBatch<float> foreign{
      {.layers = {{.inputs = 3, .outputs = 2}, {.inputs = 2, .outputs = 3}}, .samples = 6}};
  Tensor<float> dense_rows{Random(1).table(6, 17)};
  Tensor<float> wide{Random(2).numbers(40)};  // any operand of too many numbers
  Tensor<float> padded{Random(3).table(17, 1), 2};
  Tensor<float> direction{Numbers(17, 3.0)};
  Tensor<float> found{Numbers(17, 3.0)};
  Tensor<double> doubles{Random(4).numbers(40)};
  std::vector<std::int32_t> integers = std::vector<std::int32_t>(40, 1);
  LayerScores scores = batch.scores();
  DenseScores dense{batch.parameters};
  FisherMatrix dual{batch.parameters, {.form = Form::dual, .samples = 10}};
  FisherMatrix primal{batch.parameters, {.form = Form::primal}};
  NaturalGradient optimizer{batch.parameters};
  // Four of six rows are accumulated.
  NaturalGradient gathering{batch.parameters, {.form = Form::dual}};
  NaturalGradient gathering_primal{batch.parameters, {.form = Form::primal}};
  FullyConnected net{Context::cpu(), {.sizes = {3, 4, 2}}};
  LayerScores net_scores{net.parameters()};

  Workplace() {
    dense.begin(dense_rows.view());
    dual.accumulate(scores);
    primal.accumulate(scores);
    optimizer.step(scores);
    optimizer.direction(scores, found.view());
    for (NaturalGradient* one : {&gathering, &gathering_primal}) one->accumulate(part(0, 4));
    net.forward(batch.factors[0].view());
    net.backward(labels(6));
    net.add_to(net_scores, {.samples = 6});
  }

  View labels(std::int64_t count) { return {integers.data(), {count, 1}}; }
  View floats(std::int64_t rows, std::int64_t columns = 1) {
    return {wide.view().as<float>(), {rows, columns}};
  }
  View float64s(std::int64_t rows, std::int64_t columns = 1) {
    return {doubles.view().as<double>(), {rows, columns}};
  }
  /// An address that must never be followed.
  static View elsewhere(std::int64_t rows, std::int64_t columns = 1) {
    return {reinterpret_cast<float*>(64), {rows, columns}, {.device = {DeviceKind::cuda, 0}}};
  }
  /// The batch's first layer, for a call that breaks one of its fields.
  LayerScores::Layer layer() const { return batch.layers[0]; }
  LayerScores begun() const {
    LayerScores fresh(batch.parameters);
    fresh.begin({.samples = 6});
    return fresh;
  }

  /// Rows [first, first + count) of the batch.
  LayerScores part(std::int64_t first, std::int64_t count, RowSet set = {.batch_samples = 6},
                   LayerScores::Options options = {}) const {
    LayerScores rows(batch.parameters, options);
    set.samples = count;
    batch.fill(rows, set, first);
    return rows;
  }

  /// All that a call that throws must leave as it is.
  std::vector<std::vector<float>> state() {
    std::vector<std::vector<float>> all = batch.theta_memory();
    for (const Scores* rows : std::initializer_list<const Scores*>{&scores, &dense}) {
      Tensor<float> gradient(Numbers(17, 0.0));
      rows->gradient(gradient.view());
      all.push_back(gradient.memory());
    }
    for (FisherMatrix* fisher : {&dual, &primal}) {
      Tensor<float> solution(Numbers(17, 0.0));
      fisher->solve(Coefficients{}, solution.view());
      all.push_back(solution.memory());
      all.push_back({static_cast<float>(fisher->samples())});
    }
    const auto parameters = static_cast<std::size_t>(net.parameters().size());
    Tensor<float> gradient(Numbers(parameters, 0.0));
    net.gradient(gradient.view());
    all.push_back(gradient.memory());
    net_scores.gradient(gradient.view());
    all.push_back(gradient.memory());
    all.push_back(direction.memory());
    all.push_back(found.memory());
    const NaturalGradient::Options& options = optimizer.options();
    all.push_back({static_cast<float>(optimizer.report().step),
                   static_cast<float>(batch.parameters.segments()),
                   static_cast<float>(optimizer.direction_report().quadratic_form),
                   static_cast<float>(std::get<FixedRate>(options.step).rate),
                   static_cast<float>(options.damping.absolute),
                   static_cast<float>(options.damping.relative)});
    return all;
  }

  /// What the optimizers do next; those in the middle of a batch end it.
  std::vector<std::vector<float>> next_step() {
    optimizer.step(dense);
    std::vector<std::vector<float>> all = batch.theta_memory();
    for (NaturalGradient* one : {&gathering, &gathering_primal}) {
      one->accumulate(part(4, 2));
      one->step();
      for (std::vector<float>& tensor : batch.theta_memory()) all.push_back(std::move(tensor));
    }
    return all;
  }
};

/// A call that must throw an `Exception` whose text holds `text`.
struct BadCall {
  const char* what;
  const char* text;
  std::function<void(Workplace&)> call;
  bool (*is_expected)(const Error&) = nullptr;
};

template <class Exception>
BadCall bad(const char* what, const char* text, std::function<void(Workplace&)> call) {
  return {what, text, std::move(call),
          [](const Error& error) { return dynamic_cast<const Exception*>(&error) != nullptr; }};
}

/// Makes the calls one after another in one workplace and looks at it after each; at the end its
/// next step is that of a workplace where nothing went wrong.
inline void expect_errors(const std::vector<BadCall>& calls) {
  Workplace workplace;
  const auto before = workplace.state();
  for (const BadCall& bad : calls) {
    SCOPED_TRACE(bad.what);
    try {
      bad.call(workplace);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_TRUE(bad.is_expected(error)) << "another exception: " << error.what();
      EXPECT_NE(std::string(error.what()).find(bad.text), std::string::npos)
          << "\"" << error.what() << "\" does not speak of \"" << bad.text << "\"";
    }
    try {
      const auto after = workplace.state();
      ASSERT_EQ(after.size(), before.size());
      for (std::size_t i = 0; i < after.size(); ++i) {
        EXPECT_TRUE(same_bits(after[i], before[i])) << "part " << i << " of the state has changed";
      }
    } catch (const Error& error) {
      FAIL() << "the state is broken: " << error.what();
    }
  }
  Workplace undisturbed;
  const auto expected = undisturbed.next_step();
  const auto actual = workplace.next_step();
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(same_bits(actual[i], expected[i]));
}

inline NaturalGradient optimizer_with(const Workplace& w, const NaturalGradient::Options& options) {
  return NaturalGradient(w.batch.parameters, options);
}

}  // namespace natgrad::tests
