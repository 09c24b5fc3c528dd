#include "support/graph.hpp"

#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

// A step captured in a CUDA graph, replayed, is the next step.

namespace natgrad::tests {

namespace {

/// Twenty replays of one step against twenty steps, with another rate for the last ten.
template <class T>
void compare(const NaturalGradient::Options& options) {
  const BatchShape shape = {.layers = {{.inputs = 20, .outputs = 12}, {.inputs = 12, .outputs = 4}},
                            .samples = 40};
  constexpr int steps = 20;
  constexpr int half = 10;
  constexpr double other_rate = 0.02;
  const Stream stream;
  const Context context = cuda_context(stream);
  const LayeredBatch<T> plain(shape, context);
  NaturalGradient expected(plain.parameters, options);
  LayerScores plain_scores(plain.parameters);
  for (int i = 0; i < 1 + steps; ++i) {
    if (i == 1 + half) expected.set_rate(other_rate);
    plain.fill(plain_scores);
    expected.step(plain_scores);
  }

  const LayeredBatch<T> batch(shape, context);
  NaturalGradient optimizer(batch.parameters, options);
  LayerScores scores(batch.parameters);
  const auto step = [&] {
    batch.fill(scores);
    optimizer.step(scores);
  };
  step();  // allocates
  context.synchronize();
  const Graph graph(stream, step);
  for (int i = 0; i < steps; ++i) {
    if (i == half) optimizer.set_rate(other_rate);
    graph.launch(stream);
  }
  EXPECT_EQ(optimizer.report().step, 1 + steps);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(optimizer.report().form, options.form);
  EXPECT_EQ(optimizer.report().rate, expected.report().rate) << "the schedule has gone on";
  EXPECT_EQ(batch.theta_memory(), plain.theta_memory());
}

template <class T>
void compare_forms(NaturalGradient::Options options) {
  options.damping = {.absolute = 0.05};
  options.schedule = {.decay = RateDecay::linear, .steps = 100};
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    options.form = form;
    try {
      compare<T>(options);
    } catch (const Error& error) {
      ADD_FAILURE() << "a step cannot be captured: " << error.what();
    }
  }
}

TEST(graph, a_captured_step_is_the_next_step_when_it_is_replayed) {
  compare_forms<double>({.step = FixedRate{0.05}, .momentum = HeavyBall{0.5}});
}

TEST(graph, a_captured_step_in_float_holds_its_refinement) {
  compare_forms<float>({.step = FixedRate{0.05}, .momentum = Spring{0.5}, .refinement = 2});
}

TEST(graph, a_captured_step_takes_tf32) {
  compare_forms<float>({.step = FixedRate{0.05}, .momentum = NoMomentum{}, .allow_tf32 = true});
}

TEST(graph, a_captured_batch_of_parts_is_the_next_one) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const NaturalGradient::Options options = {.damping = {.absolute = 0.05}, .form = form};
    const BatchShape shape = {.layers = {{.inputs = 9, .outputs = 7}}, .samples = 24};
    const Stream stream;
    const Context context = cuda_context(stream);
    const LayeredBatch<double> batch(shape, context);
    const LayeredBatch<double> uncaptured(shape, context);
    NaturalGradient optimizer(batch.parameters, options);
    NaturalGradient expected(uncaptured.parameters, options);
    // The scores outlive the graph that names their arrays.
    LayerScores part(batch.parameters);
    LayerScores uncaptured_part(uncaptured.parameters);
    const auto step = [](const LayeredBatch<double>& of, LayerScores& part, NaturalGradient& by) {
      for (const std::int64_t first : {0, 8, 16}) {
        of.fill(part, {.samples = 8, .batch_samples = 24}, first);
        by.accumulate(part);
      }
      by.step();
    };
    for (int i = 0; i < 3; ++i) step(uncaptured, uncaptured_part, expected);
    step(batch, part, optimizer);
    context.synchronize();
    try {
      const Graph graph(stream, [&] { step(batch, part, optimizer); });
      for (int i = 0; i < 2; ++i) graph.launch(stream);
    } catch (const Error& error) {
      ADD_FAILURE() << "it cannot be captured: " << error.what();
    }
    EXPECT_EQ(batch.theta_memory(), uncaptured.theta_memory());
  }
}

/// A net whose steps measure its loss, which is enqueued like the rest.
class MeasuredNet {
 public:
  MeasuredNet(const Context& context, const NaturalGradient::Options& options)
      : net_(context, {.sizes = {5, 8, 3}, .type = ElementType::float64}),
        optimizer_(net_.parameters(), options),
        labels_(context.array({16, 1}, ElementType::int32)) {
    std::vector<std::int32_t> classes;
    for (int i = 0; i < 16; ++i) classes.push_back(i % 3);
    context.write(classes.data(), labels_);
  }

  void step() {
    net_.forward(inputs_.view());
    net_.backward(labels_);
    net_.add_to(data_, {.samples = 16});
    optimizer_.step({.fisher = data_, .loss = [this](const View& loss) {
                       net_.forward(inputs_.view());
                       net_.loss_to(labels_, loss);
                     }});
  }
  StepReport report() { return optimizer_.report(); }
  std::vector<double> weights() const {
    Tensor<double> all = zeros<double>(net_.parameters().size());
    net_.parameters().gather(all.view());
    return all.memory();
  }

 private:
  Tensor<double> inputs_{Random(1).table(16, 5)};
  FullyConnected net_;
  LayerScores data_{net_.parameters()};
  NaturalGradient optimizer_;
  Array labels_;
};

TEST(graph, a_captured_step_tries_its_rates_anew) {
  const std::vector<NaturalGradient::Options> rules = {
      {.damping = {.absolute = 0.01},
       .step = Backtracking{.rate = 8, .trials = 4},
       .momentum = NoMomentum{}},
      {.damping = {.absolute = 0.05, .rule = LevenbergMarquardt{.allow_empirical = true}},
       .step = FixedRate{1}},
      {.damping = {.absolute = 0.5, .rule = DampingSchedule{.factor = 0.5}},
       .step = QuadraticModel{.allow_empirical = true},
       .momentum = NoMomentum{},
       .structure = Structure::diagonal}};
  for (const NaturalGradient::Options& options : rules) {
    SCOPED_TRACE(testing::Message() << "rule " << options.step.index());
    const Stream stream;
    const Context context = cuda_context(stream);
    MeasuredNet captured(context, options);
    MeasuredNet uncaptured(context, options);
    for (int i = 0; i < 6; ++i) uncaptured.step();
    captured.step();
    context.synchronize();
    try {
      const Graph graph(stream, [&] { captured.step(); });
      for (int i = 0; i < 5; ++i) graph.launch(stream);
    } catch (const Error& error) {
      ADD_FAILURE() << "it cannot be captured: " << error.what();
    }
    const StepReport report = captured.report();
    const StepReport expected = uncaptured.report();
    EXPECT_EQ(captured.weights(), uncaptured.weights());
    EXPECT_EQ(report.step, 6);
    EXPECT_EQ(report.outcome, expected.outcome);
    EXPECT_EQ(report.trials, expected.trials);
    EXPECT_EQ(report.loss_after, expected.loss_after);
    EXPECT_EQ(report.damping, expected.damping);
    EXPECT_EQ(report.momentum, expected.momentum);
  }
}

TEST(graph, a_captured_net_draws_anew) {
  const Stream stream;
  const Context context = cuda_context(stream);
  FullyConnected net(context, {.sizes = {5, 8, 3}});
  Tensor<float> inputs(Random(1).table(16, 5));
  LayerScores data(net.parameters());
  LayerScores sampled(net.parameters(), {.kind = FisherKind::sampled});
  NaturalGradient optimizer(net.parameters(), {.damping = {.absolute = 0.05}});
  const Array labels = context.array({16, 1}, ElementType::int32);
  const std::vector<std::int32_t> ones(16, 1);
  context.write(ones.data(), labels);
  const auto step = [&] {
    net.forward(inputs.view());
    net.backward(labels);
    net.sample();
    net.add_to(data, {.samples = 16});
    net.add_sampled_to(sampled, {.samples = 16});
    optimizer.step({.fisher = sampled, .gradient = data});
  };
  step();
  const std::int64_t drawn = net.draw_counter();
  try {
    const Graph graph(stream, step);
    for (int i = 0; i < 5; ++i) graph.launch(stream);
    EXPECT_EQ(optimizer.report().step, 6);
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_EQ(net.draw_counter(), drawn + 5);
  } catch (const Error& error) {
    ADD_FAILURE() << "it cannot be captured: " << error.what();
  }
}

/// A failure where a step cannot be captured, which says what could not.
void expect_capture(const std::function<void()>& compare) {
  try {
    compare();
  } catch (const Error& error) {
    ADD_FAILURE() << "it cannot be captured: " << error.what();
  }
}

/// A net that is trained on 16 samples and evaluated on so many as a test set has.
class TrainedNet {
 public:
  static constexpr std::int64_t batch = 16;
  static constexpr std::int64_t test_set = 400;

  explicit TrainedNet(const Context& context, Activation activation)
      : context_(context), net_(context, {.sizes = {5, 8, 3}, .activation = activation}) {
    std::vector<std::int32_t> classes;
    for (int i = 0; i < test_set; ++i) classes.push_back(i % 3);
    context.write(classes.data(), labels_);
  }

  void step() {
    net_.forward(inputs_.view().row_range(0, batch));
    net_.backward(labels_.view().row_range(0, batch));
    net_.sample(2);
    net_.add_to(data_, {.samples = batch});
    net_.add_sampled_to(sampled_, {.samples = 2 * batch});
    optimizer_.step({.fisher = sampled_, .gradient = data_});
  }

  /// The loss on the first `count` samples; scores of them are computed and drawn too, as whoever
  /// looks at gradients does.
  double evaluate(std::int64_t count) {
    const View labels = labels_.view().row_range(0, count);
    net_.forward(inputs_.view().row_range(0, count));
    net_.backward(labels);
    net_.sample();
    net_.add_to(data_, {.samples = count});
    net_.add_sampled_to(sampled_, {.samples = count});
    optimizer_.direction({.fisher = sampled_, .gradient = data_}, direction_);
    return net_.evaluate(labels).loss;
  }

  std::vector<float> weights() const {
    const Parameters& parameters = net_.parameters();
    std::vector<float> all;
    for (int i = 0; i < parameters.segments(); ++i) {
      const View tensor = parameters.tensor({i});
      std::vector<float> part(static_cast<std::size_t>(tensor.size()));
      context_.read(tensor, part.data());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

 private:
  Context context_;
  FullyConnected net_;
  Tensor<float> inputs_{Random(1).table(test_set, 5)};
  Array labels_ = context_.array({test_set, 1}, ElementType::int32);
  LayerScores data_{net_.parameters()};
  LayerScores sampled_{net_.parameters(), {.kind = FisherKind::sampled}};
  NaturalGradient optimizer_{net_.parameters(), {.damping = {.absolute = 0.05}}};
  Array direction_ = context_.array({net_.parameters().size(), 1}, ElementType::float32);
};

TEST(graph, what_is_evaluated_between_replays_may_be_larger) {
  for (const Activation activation : {Activation::tanh, Activation::gelu}) {
    const Stream stream;
    TrainedNet plain(cuda_context(stream), activation);
    TrainedNet trained(cuda_context(stream), activation);
    plain.step();
    trained.step();
    expect_capture([&] {
      const Graph graph(stream, [&] { trained.step(); });
      for (int i = 0; i < 20; ++i) {
        plain.step();
        graph.launch(stream);
        const std::int64_t count = 1 + 37 * i % TrainedNet::test_set;
        EXPECT_EQ(trained.evaluate(count), plain.evaluate(count)) << i;
      }
      EXPECT_EQ(trained.weights(), plain.weights());
    });
  }
}

/// A batch in three parts of 8 rows, and between replays larger ones that come with a gradient.
TEST(graph, a_batch_of_parts_between_replays_may_be_larger) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const NaturalGradient::Options options = {.damping = {.absolute = 0.05}, .form = form};
    const BatchShape shape = {.layers = {{.inputs = 9, .outputs = 7}}, .samples = 400};
    const Stream stream;
    struct Trained {
      LayeredBatch<double> batch;
      NaturalGradient optimizer;
      LayerScores scores;
      Tensor<double> gradient{Random(3).numbers(70)};
      Trained(const BatchShape& shape, const NaturalGradient::Options& options,
              const Context& context)
          : batch(shape, context), optimizer(batch.parameters, options), scores(batch.parameters) {}
      void step(std::int64_t part, bool with_gradient = false) {
        for (std::int64_t i = 0; i < 3; ++i) {
          batch.fill(scores, {.samples = part, .batch_samples = 3 * part}, i * part);
          if (with_gradient) {
            optimizer.accumulate({.fisher = scores, .gradient = Gradient{gradient.view()}});
          } else {
            optimizer.accumulate(scores);
          }
        }
        optimizer.step();
      }
    };
    Trained plain(shape, options, cuda_context(stream));
    Trained trained(shape, options, cuda_context(stream));
    plain.step(8);
    trained.step(8);
    expect_capture([&] {
      const Graph graph(stream, [&] { trained.step(8); });
      for (std::int64_t i = 1; i <= 5; ++i) {
        plain.step(8);
        graph.launch(stream);
        plain.step(8 + 20 * i, true);
        trained.step(8 + 20 * i, true);
      }
      EXPECT_EQ(trained.batch.theta_memory(), plain.batch.theta_memory());
    });
  }
}

TEST(graph, a_fisher_matrix_between_replays_may_be_larger) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const Stream stream;
    const Context context = cuda_context(stream);
    const LayeredBatch<double> batch({.layers = {{.inputs = 6, .outputs = 5}}, .samples = 200},
                                     context);
    FisherMatrix fisher(batch.parameters, {.form = form, .damping = {.absolute = 0.05}});
    LayerScores scores(batch.parameters);
    Tensor<double> direction = zeros<double>(batch.parameters.size());
    const auto solve = [&](std::int64_t samples) {
      fisher.reset();
      batch.fill(scores, {.samples = samples});
      fisher.accumulate(scores);
      fisher.solve(Coefficients{}, direction.view());
    };
    solve(10);
    const std::vector<double> expected = direction.memory();
    expect_capture([&] {
      const Graph graph(stream, [&] { solve(10); });
      for (const std::int64_t samples : {40, 200}) {
        solve(samples);
        EXPECT_NE(direction.memory(), expected);
        graph.launch(stream);
        EXPECT_EQ(direction.memory(), expected) << samples;
      }
    });
  }
}

TEST(graph, a_capture_that_needs_memory_is_refused_and_nothing_is_lost) {
  const BatchShape shape = {.layers = {{.inputs = 9, .outputs = 7}}, .samples = 64};
  const Stream stream;
  const LayeredBatch<double> plain(shape, cuda_context(stream));
  const LayeredBatch<double> batch(shape, cuda_context(stream));
  NaturalGradient expected(plain.parameters, {.damping = {.absolute = 0.05}});
  NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = 0.05}});
  LayerScores plain_scores(plain.parameters);
  LayerScores scores(batch.parameters);
  const auto step = [](const LayeredBatch<double>& of, LayerScores& rows, NaturalGradient& by,
                       std::int64_t samples) {
    of.fill(rows, {.samples = samples});
    by.step(rows);
  };
  for (int i = 0; i < 3; ++i) step(plain, plain_scores, expected, i == 2 ? 64 : 8);
  step(batch, scores, optimizer, 8);
  expect_capture([&] {
    const Graph graph(stream, [&] { step(batch, scores, optimizer, 8); });
    const auto larger = [&] {
      const Graph never(stream, [&] { step(batch, scores, optimizer, 64); });
    };
    EXPECT_THROW(larger(), DeviceError);
    batch.fill(scores, {.samples = 64});  // has its memory now, the step has not
    EXPECT_THROW(larger(), DeviceError);
    graph.launch(stream);
    step(batch, scores, optimizer, 64);
    EXPECT_EQ(optimizer.report().step, 3);
    EXPECT_EQ(batch.theta_memory(), plain.theta_memory());
  });
}

TEST(graph, a_captured_step_finds_its_length) {
  compare_forms<float>(
      {.step = KlTrustRegion{.radius = 1e-3, .allow_empirical = true}, .momentum = NoMomentum{}});
}

}  // namespace

}  // namespace natgrad::tests
