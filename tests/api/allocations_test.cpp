#include "api/counted_new.hpp"
#include "natgrad/natgrad.hpp"
#include "support/counter.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

// Part of a program of its own, because it counts every allocation of the process.

namespace natgrad::tests {

namespace {

/// Expects that `body` allocates nothing, neither from the context nor from the process.
template <class Body>
void expect_no_allocation(const Counter& counter, const char* what, const Body& body) {
  const std::int64_t news_before = news;
  const std::int64_t calls_before = counter.calls;
  body();
  const std::int64_t news_after = news;
  EXPECT_EQ(news_after - news_before, 0) << what << ": operator new";
  EXPECT_EQ(counter.calls - calls_before, 0) << what << ": the context's allocator";
}

const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.9}, Spring{0.9}};

TEST(allocations, the_counter_counts) {
  const std::int64_t before = news;
  operator delete(operator new(100));  // a new-expression could be optimized away
  operator delete (operator new (100, std::align_val_t{64}), std::align_val_t{64});
  EXPECT_EQ(news - before, 2);

  Counter counter;
  const Context context = Context::cpu({.allocator = counter.allocator()});
  const Array array = context.array({3, 2}, ElementType::float32);
  EXPECT_EQ(counter.calls, 1);
}

template <class T>
void check_training(Form form, const Momentum& momentum, Structure structure = Structure::full,
                    const Damping& damping = {}) {
  SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << to_string(form)
                                  << ", momentum " << momentum.index() << ", "
                                  << to_string(element_type_of<T>));
  constexpr std::size_t samples = 40;
  Counter counter;
  // gelu keeps one more array a layer than the others.
  FullyConnected net(
      Context::cpu({.allocator = counter.allocator()}),
      {.sizes = {7, 9, 5, 3}, .activation = Activation::gelu, .type = element_type_of<T>});
  Random random(3);
  Tensor<T> inputs(random.table(samples, 7));
  Tensor<T> coefficients(random.numbers(samples));
  std::vector<std::int32_t> labels(samples);
  for (std::size_t n = 0; n < samples; ++n) labels[n] = static_cast<std::int32_t>(n % 3);
  NaturalGradient optimizer(net.parameters(), {.damping = damping,
                                               .momentum = momentum,
                                               .weight_decay = 0.1,
                                               .structure = structure,
                                               .form = form});
  LayerScores scores(net.parameters());
  const auto train = [&](std::int64_t count) {
    const ConstView batch_labels(labels.data(), {count, 1});
    net.forward(inputs.view().row_range(0, count));
    net.backward(batch_labels);
    net.add_to(scores, {.samples = count, .coefficients = coefficients.view().row_range(0, count)});
    optimizer.step(scores);
  };
  train(samples);
  Tensor<T> direction_memory = zeros<T>(net.parameters().size());
  const View direction = direction_memory.view();
  for (std::int64_t count : {40, 40, 23, 1, 40}) {
    const ConstView batch = inputs.view().row_range(0, count);
    const ConstView batch_labels(labels.data(), {count, 1});
    expect_no_allocation(counter, "forward", [&] { net.forward(batch); });
    expect_no_allocation(counter, "backward", [&] { net.backward(batch_labels); });
    expect_no_allocation(counter, "begin and add", [&] { net.add_to(scores, {.samples = count}); });
    expect_no_allocation(counter, "step", [&] { optimizer.step(scores); });
    expect_no_allocation(counter, "report", [&] { optimizer.report(); });
    expect_no_allocation(counter, "direction", [&] { optimizer.direction(scores, direction); });
    expect_no_allocation(counter, "direction's report", [&] { optimizer.direction_report(); });
  }
  // Nor does a failing one.
  labels[0] = -1;
  net.forward(inputs.view());
  net.backward(ConstView(labels.data(), {samples, 1}));
  net.add_to(scores, {.samples = samples});
  expect_no_allocation(counter, "failing step", [&] { optimizer.step(scores); });
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
}

TEST(allocations, nor_does_training_with_sampled_rows) {
  for (Form form : {Form::primal, Form::dual}) {
    Counter counter;
    FullyConnected net(Context::cpu({.allocator = counter.allocator()}), {.sizes = {7, 9, 3}});
    Tensor<float> inputs(Random(3).table(40, 7));
    const std::vector<std::int32_t> labels(40, 1);
    NaturalGradient optimizer(net.parameters(), {.momentum = HeavyBall{}, .form = form});
    LayerScores data(net.parameters());
    LayerScores sampled(net.parameters(), {.kind = FisherKind::sampled});
    const auto train = [&](std::int64_t count, std::int64_t draws) {
      net.forward(inputs.view().row_range(0, count));
      net.backward(ConstView(labels.data(), {count, 1}));
      net.sample(draws);
      net.add_to(data, {.samples = count});
      net.add_sampled_to(sampled, {.samples = count * draws});
      optimizer.step({.fisher = sampled, .gradient = data});
    };
    train(40, 2);
    for (std::int64_t count : {40, 23, 1, 40}) {
      for (std::int64_t draws : {2, 1}) {
        expect_no_allocation(counter, to_string(form), [&] { train(count, draws); });
      }
    }
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  }
}

TEST(allocations, training_allocates_nothing_after_the_first_step) {
  for (Form form : {Form::primal, Form::dual}) {
    for (const Momentum& momentum : momenta) {
      check_training<float>(form, momentum);
      check_training<double>(form, momentum);
    }
  }
}

TEST(allocations, nor_does_it_with_a_part_of_the_matrix) {
  for (const Momentum& momentum : momenta) {
    for (Form form : {Form::primal, Form::dual}) {
      check_training<float>(form, momentum, Structure::block_diagonal);
    }
    check_training<float>(Form::primal, momentum, Structure::diagonal);
  }
}

TEST(allocations, nor_does_it_with_rules_that_compare_losses) {
  std::vector<NaturalGradient::Options> rules;
  const Damping adapting{.absolute = 0.1, .rule = LevenbergMarquardt{}};
  for (Form form : {Form::primal, Form::dual}) {
    rules.push_back({.step = Backtracking{.trials = 3}, .weight_decay = 0.1, .form = form});
    rules.push_back({.step = KlTrustRegion{.trials = 3}, .form = form});
    rules.push_back({.damping = adapting, .l2 = 0.1, .form = form});
    rules.push_back({.damping = adapting,
                     .step = QuadraticModel{},
                     .momentum = NoMomentum{},
                     .structure = Structure::block_diagonal,
                     .form = form});
  }
  for (const NaturalGradient::Options& options : rules) {
    SCOPED_TRACE(testing::Message() << "rule " << options.step.index());
    Counter counter;
    FullyConnected net(Context::cpu({.allocator = counter.allocator()}), {.sizes = {7, 9, 3}});
    Tensor<float> inputs(Random(3).table(40, 7));
    Tensor<double> log_p = zeros<double>(40);
    const std::vector<std::int32_t> labels(40, 1);
    NaturalGradient optimizer(net.parameters(), options);
    LayerScores data(net.parameters());
    LayerScores sampled(net.parameters(), {.kind = FisherKind::sampled});
    const auto train = [&](std::int64_t count) {
      const ConstView batch = inputs.view().row_range(0, count);
      const ConstView batch_labels(labels.data(), {count, 1});
      net.forward(batch);
      net.backward(batch_labels);
      net.sample(2);
      net.add_to(data, {.samples = count});
      net.add_sampled_to(sampled, {.samples = count * 2});
      struct Measured {
        FullyConnected& net;
        const ConstView& batch;
        const ConstView& labels;
        const View log_p;
      } measured{net, batch, batch_labels, log_p.view().row_range(0, count)};
      optimizer.step({.fisher = sampled,
                      .gradient = data,
                      .loss =
                          [&measured](const View& result) {
                            measured.net.forward(measured.batch);
                            measured.net.log_likelihood(measured.labels, measured.log_p);
                            double sum = 0;
                            for (std::int64_t n = 0; n < measured.log_p.rows(); ++n) {
                              sum -= measured.log_p.as<double>()[n];
                            }
                            *result.as<double>() = sum / static_cast<double>(measured.log_p.rows());
                          },
                      .kl = [](const View& result) { *result.as<double>() = 0; }});
    };
    train(40);
    for (std::int64_t count : {40, 23, 1, 40}) {
      expect_no_allocation(counter, "a step", [&] { train(count); });
    }
    const Outcome outcome = optimizer.report().outcome;
    EXPECT_TRUE(outcome == Outcome::accepted || outcome == Outcome::rejected);
  }
}

TEST(allocations, nor_does_it_with_a_budget) {
  for (Form form : {Form::primal, Form::dual}) {
    SCOPED_TRACE(to_string(form));
    Counter counter;
    FullyConnected net(Context::cpu({.allocator = counter.allocator()}), {.sizes = {7, 9, 3}});
    Tensor<float> inputs(Random(3).table(40, 7));
    const std::vector<std::int32_t> labels(40, 1);
    NaturalGradient optimizer(net.parameters(), {.form = form, .memory_budget = 1 << 30});
    LayerScores data(net.parameters());
    LayerScores exact(net.parameters(), {.kind = FisherKind::exact});
    const auto train = [&](std::int64_t count) {
      const ConstView batch_labels(labels.data(), {count, 1});
      net.forward(inputs.view().row_range(0, count));
      net.backward(batch_labels);
      net.compute_exact(batch_labels);
      net.add_to(data, {.samples = count});
      net.add_exact_to(exact, {.samples = count});
      optimizer.step({.fisher = exact, .gradient = data});
    };
    // Each other shape is planned, once.
    for (std::int64_t count : {40, 23, 40}) {
      train(count);
      for (int k = 0; k < 3; ++k) {
        expect_no_allocation(counter, "a step", [&] { train(count); });
      }
    }
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    // A larger batch than the budget allows is refused behind one that it allows, and again.
    const std::int64_t enough = optimizer.plan({.fisher = exact, .gradient = data}).bytes;
    NaturalGradient limited(net.parameters(), {.form = form, .memory_budget = enough});
    limited.step({.fisher = exact, .gradient = data});
    Tensor<float> more(Random(4).table(400, 7));
    const std::vector<std::int32_t> more_labels(400, 1);
    net.forward(more.view());
    net.backward(ConstView(more_labels.data(), {400, 1}));
    net.compute_exact(ConstView(more_labels.data(), {400, 1}));
    net.add_to(data, {.samples = 400});
    net.add_exact_to(exact, {.samples = 400});
    for (int k = 0; k < 2; ++k) {
      EXPECT_THROW(limited.step({.fisher = exact, .gradient = data}), MemoryError);
    }
  }
}

TEST(allocations, nor_does_it_with_a_damping_in_units) {
  for (Form form : {Form::primal, Form::dual}) {
    for (Structure structure : {Structure::full, Structure::block_diagonal}) {
      check_training<float>(form, Spring{}, structure, {.scaling = DampingScaling::tensor});
    }
  }
}

TEST(allocations, nor_does_it_over_dense_rows) {
  for (Form form : {Form::primal, Form::dual}) {
    SCOPED_TRACE(to_string(form));
    Counter counter;
    Random random(4);
    Tensor<float> theta(random.numbers(30));
    Parameters parameters(Context::cpu({.allocator = counter.allocator()}));
    parameters.add(theta.view());
    Tensor<float> rows(random.table(50, 30));
    DenseScores scores(parameters);
    NaturalGradient optimizer(parameters, {.form = form});
    scores.begin(rows.view());
    optimizer.step(scores);
    for (std::int64_t count : {50, 7, 50}) {
      const ConstView batch = rows.view().row_range(0, count);
      expect_no_allocation(counter, "begin", [&] { scores.begin(batch); });
      expect_no_allocation(counter, "step", [&] { optimizer.step(scores); });
    }
  }
}

TEST(allocations, a_matrix_that_was_solved_before_allocates_nothing) {
  for (Form form : {Form::primal, Form::dual}) {
    SCOPED_TRACE(to_string(form));
    Counter counter;
    const LayeredBatch<float> batch({.layers = {{.inputs = 4, .outputs = 3}}, .samples = 20},
                                    Context::cpu({.allocator = counter.allocator()}));
    const LayerScores scores = batch.scores();
    FisherMatrix fisher(batch.parameters, {.form = form});
    Tensor<float> direction = zeros<float>(fisher.size());
    fisher.accumulate(scores);
    fisher.solve(Coefficients{}, direction.view());
    expect_no_allocation(counter, "solve", [&] {
      fisher.set_damping({.absolute = 2});
      fisher.solve(Coefficients{}, direction.view());
    });
    const View view = direction.view();
    expect_no_allocation(counter, "quadratic form", [&] { fisher.quadratic_form(view); });
  }
}

TEST(allocations, what_finds_no_memory_changes_nothing) {
  for (Form form : {Form::primal, Form::dual}) {
    SCOPED_TRACE(to_string(form));
    Counter counter;
    const LayeredBatch<double> batch({.layers = {{.inputs = 4, .outputs = 3}}, .samples = 50},
                                     Context::cpu({.allocator = counter.allocator()}));
    LayerScores scores(batch.parameters);
    batch.fill(scores, {.samples = 20});
    NaturalGradient optimizer(batch.parameters, {.form = form});
    FisherMatrix fisher(batch.parameters, {.form = form});
    counter.exhausted = true;
    const auto theta = batch.theta_memory();
    EXPECT_THROW(optimizer.step(scores), MemoryError);
    EXPECT_THROW(fisher.accumulate(scores), MemoryError);
    EXPECT_EQ(fisher.samples(), 0);
    EXPECT_THROW(optimizer.report(), ArgumentError);
    EXPECT_EQ(batch.theta_memory(), theta);
    counter.exhausted = false;
    optimizer.step(scores);
    EXPECT_EQ(optimizer.report().step, 1);
    fisher.accumulate(scores);

    Tensor<double> before = zeros<double>(batch.parameters.size());
    Tensor<double> after = zeros<double>(batch.parameters.size());
    scores.gradient(before.view());
    counter.exhausted = true;
    EXPECT_THROW(batch.fill(scores, {.samples = 50}), MemoryError);
    EXPECT_EQ(scores.samples(), 20);
    scores.gradient(after.view());
    EXPECT_TRUE(same_bits(after.memory(), before.memory()));
    counter.exhausted = false;
  }
}

}  // namespace

}  // namespace natgrad::tests
