#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

// Operands whose owners alone keep them: the caller drops every tensor before its step, and what an
// owner leaves behind is NaN and then no memory at all. The numbers must be those of tensors that
// stay, bit for bit.

namespace natgrad::tests {

namespace {

constexpr std::int64_t samples = 41;

/// Tensors of one owner. When it dies they become NaN, whoever still reads them.
class Owned {
 public:
  explicit Owned(int& alive) : alive_(alive) { ++alive_; }
  ~Owned() {
    for (auto& numbers : tensors_) {
      std::fill(numbers->begin(), numbers->end(), std::numeric_limits<double>::quiet_NaN());
    }
    --alive_;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  View copy_of(const Table& values) {
    tensors_.push_back(
        std::make_unique<SharedVector<double>>(values.elements.begin(), values.elements.end()));
    return shared_view(*tensors_.back(), {static_cast<std::int64_t>(values.rows),
                                          static_cast<std::int64_t>(values.columns)});
  }

 private:
  int& alive_;
  std::vector<std::unique_ptr<SharedVector<double>>> tensors_;
};

/// How a step is taken.
enum class Way : std::uint8_t { step, parts, direction };

struct Case {
  Way way = Way::step;
  Form form = Form::dual;
  bool dense = false;
  bool gradient = false;
};

/// Two steps, or directions, of batches whose tensors die at once where they are `dropped`.
class Training {
 public:
  Training(const Case& given, bool dropped) : case_(given), dropped_(dropped) {
    optimizer_ = std::make_unique<NaturalGradient>(
        batch_.parameters,
        NaturalGradient::Options{.damping = {.absolute = 0.05}, .form = given.form});
  }
  /// What the steps leave, once all is done: parameters, or the last direction.
  std::vector<double> numbers() {
    Tensor<double> direction = zeros<double>(batch_.parameters.size());
    for (int i = 0; i < 2; ++i) {
      switch (case_.way) {
        case Way::step:
          take(0, samples, [&](const Batch& batch) { optimizer_->step(batch); });
          break;
        case Way::parts:
          take(0, 20, [&](const Batch& batch) { optimizer_->accumulate(batch); });
          take(20, samples - 20, [&](const Batch& batch) { optimizer_->accumulate(batch); });
          optimizer_->step();
          break;
        case Way::direction:
          take(0, samples,
               [&](const Batch& batch) { optimizer_->direction(batch, direction.view()); });
          break;
      }
    }
    batch_.parameters.context().synchronize();
    return case_.way == Way::direction ? direction.numbers() : batch_.theta_numbers();
  }
  int alive() const { return alive_; }
  void end() { optimizer_ = nullptr; }

 private:
  std::shared_ptr<Owned> owner() {
    auto made = std::make_shared<Owned>(alive_);
    if (!dropped_) kept_.push_back(made);
    return made;
  }
  Table rows(const Table& all, std::int64_t first, std::int64_t count) const {
    return row_range(all, static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  }

  template <class Call>
  void take(std::int64_t first, std::int64_t count, const Call& call) {
    RowSet set{.samples = count, .batch_samples = samples};
    {
      const auto columns = owner();
      set.weights = columns->copy_of(rows(weights_, first, count));
      set.coefficients = columns->copy_of(rows(coefficients_, first, count));
      set.owner = columns;
      if (case_.dense) {
        dense_.begin(columns->copy_of(rows(batch_.rows, first, count)), std::exchange(set, {}));
      } else {
        layers_.begin(std::exchange(set, {}));
        add_layers(first, count);
      }
    }
    Batch batch{.fisher = case_.dense ? static_cast<const Scores&>(dense_) : layers_};
    if (case_.gradient) {
      const auto numbers = owner();
      batch.gradient = Gradient{numbers->copy_of(gradient_), -1, numbers};
    }
    call(batch);
  }
  void add_layers(std::int64_t first, std::int64_t count) {
    for (std::size_t i = 0; i < batch_.layers.size(); ++i) {
      LayerScores::Layer layer = batch_.layers[i];
      const auto factors = owner();
      if (!layer.input.empty()) {
        layer.input = factors->copy_of(rows(batch_.factors[2 * i].table(), first, count));
      }
      layer.output_score = factors->copy_of(rows(batch_.factors[2 * i + 1].table(), first, count));
      layer.owner = factors;
      layers_.add(layer);
    }
  }

  Case case_;
  bool dropped_;
  int alive_ = 0;
  std::vector<std::shared_ptr<Owned>> kept_;
  LayeredBatch<double> batch_{{.layers = {{.inputs = 3, .outputs = 4}, {.inputs = 4, .outputs = 2}},
                               .samples = samples,
                               .seed = 5}};
  Table weights_ = positive(Random(6).table(samples, 1));
  Table coefficients_ = Random(7).table(samples, 1);
  Table gradient_ = Random(8).table(static_cast<std::size_t>(batch_.parameters.size()), 1);
  LayerScores layers_{batch_.parameters, {.kind = FisherKind::exact}};
  DenseScores dense_{batch_.parameters, {.kind = FisherKind::exact}};
  std::unique_ptr<NaturalGradient> optimizer_;

  static Table positive(Table values) {
    for (double& value : values.elements) value = (1.5 + value) / static_cast<double>(samples);
    return values;
  }
};

TEST(owners, keep_operands_that_the_caller_drops_in_all_ways_to_step) {
  for (const Way way : {Way::step, Way::parts, Way::direction}) {
    for (const Form form : {Form::primal, Form::dual}) {
      for (const bool dense : {false, true}) {
        for (const bool gradient : {false, true}) {
          SCOPED_TRACE(testing::Message() << static_cast<int>(way) << ", " << to_string(form)
                                          << (dense ? ", dense" : "") << (gradient ? ", g" : ""));
          const Case wanted{.way = way, .form = form, .dense = dense, .gradient = gradient};
          Training dropped(wanted, true);
          Training kept(wanted, false);
          EXPECT_TRUE(same_bits(dropped.numbers(), kept.numbers()));
          // The sets hold those of the last part.
          EXPECT_EQ(dropped.alive(), dense ? 1 : 3);
        }
      }
    }
  }
}

/// An owner that dies with its set, once the work has run.
TEST(owners, go_with_their_set_and_when_it_is_cleared_or_begun_anew) {
  int alive = 0;
  LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 7});
  const Context& context = batch.parameters.context();
  NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = 0.1}});
  const auto fill = [&](LayerScores& scores) {
    scores.begin({.samples = 7});
    LayerScores::Layer layer = batch.layers.front();
    layer.owner = std::make_shared<Owned>(alive);
    scores.add(layer);
  };
  {
    LayerScores scores(batch.parameters);
    fill(scores);
    optimizer.step(scores);
    context.synchronize();
    EXPECT_EQ(alive, 1) << "the set may be used again";
    optimizer.step(scores);
    fill(scores);
    context.synchronize();
    EXPECT_EQ(alive, 1);
    scores.clear();
    EXPECT_EQ(scores.samples(), 0);
    context.synchronize();
    EXPECT_EQ(alive, 0);
    EXPECT_THROW(optimizer.step(scores), ArgumentError);
    fill(scores);
    EXPECT_THROW(scores.begin({.samples = -1}), OptionError);
    EXPECT_EQ(alive, 1) << "the set is as it was";
    EXPECT_THROW(scores.add({}), ArgumentError);
    EXPECT_EQ(scores.samples(), 7);
  }
  context.synchronize();
  EXPECT_EQ(alive, 0);
}

TEST(owners, of_a_matrix_are_held_by_its_solves) {
  int alive = 0;
  LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 7});
  const LayerScores scores = batch.scores();
  FisherMatrix matrix(batch.parameters, {.form = Form::dual, .damping = {.absolute = 0.1}});
  matrix.accumulate(scores);
  Tensor<double> kept = zeros<double>(8);
  Tensor<double> dropped = zeros<double>(8);
  const Table coefficients = Random(3).table(7, 1);
  const Table gradient = Random(4).table(8, 1);
  Tensor<double> c(coefficients);
  Tensor<double> g(gradient);
  const auto owned = [&](const Table& values) {
    auto owner = std::make_shared<Owned>(alive);
    const View view = owner->copy_of(values);
    return std::pair<ConstView, Owner>(view, std::move(owner));
  };
  matrix.solve(Coefficients{c.view()}, kept.view());
  {
    auto [view, owner] = owned(coefficients);
    matrix.solve(Coefficients{view, std::move(owner)}, dropped.view());
  }
  EXPECT_EQ(dropped.numbers(), kept.numbers());
  matrix.solve(Gradient{g.view()}, kept.view());
  {
    auto [view, owner] = owned(gradient);
    matrix.solve(Gradient{view, 1, std::move(owner)}, dropped.view());
  }
  EXPECT_EQ(dropped.numbers(), kept.numbers());
  {
    auto [view, owner] = owned(gradient);
    EXPECT_EQ(matrix.least_norm(Gradient{view, 1, std::move(owner)}, 1e-12, dropped.view()),
              Outcome::accepted);
  }
  batch.parameters.context().synchronize();
  EXPECT_EQ(alive, 0);
}

}  // namespace

}  // namespace natgrad::tests
