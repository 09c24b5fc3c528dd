#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/likelihood_net.hpp"
#include "support/plain.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// What the net does beside the theory (tests/theory): loss and divergence of callables, exact rows
// in parts, saturated and broken outputs, drawn targets, memory.

namespace natgrad::tests {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

FullyConnected::Options options_of(Likelihood likelihood,
                                   std::vector<std::int64_t> sizes = {3, 4, 2}) {
  return {.sizes = std::move(sizes),
          .likelihood = likelihood,
          .sigma = 0.7,
          .type = ElementType::float64};
}

template <class Body>
void for_likelihoods(const Body& body) {
  for (const EnumeratorName<Likelihood>& row : likelihood_names) {
    SCOPED_TRACE(row.name);
    body(row.value);
  }
}

TEST(likelihoods, loss_and_divergence_of_callables_are_sums_over_the_rows) {
  for_likelihoods([](Likelihood likelihood) {
    LikelihoodNet model(options_of(likelihood), 7);
    model.net.keep_outputs();
    model.set_theta(Random(3).numbers(model.size()));
    model.net.forward(model.inputs.view());
    Tensor<double> result = zeros<double>(1);
    const double loss = model.net.evaluate(model.targets.view()).loss;
    model.net.loss_to(model.targets.view(), result.view());
    const double rounding = sum_bound(20, ElementType::float64, std::abs(loss) + 1);
    EXPECT_TRUE(within(result(0), loss, rounding));

    Tensor<double> log_p = zeros<double>(7);
    model.net.log_likelihood(model.targets.view(), log_p.view());
    Tensor<double> weights(Numbers{1, 2, 0, 0.5, 3, 1, 0});
    double weighted = 0;
    for (std::size_t n = 0; n < 7; ++n) weighted -= weights(n) * log_p(n);
    model.net.loss_to(model.targets.view(), result.view(), weights.view());
    EXPECT_TRUE(within(result(0), weighted, 10 * rounding));

    // The divergence of each row by itself makes the mean and the weighted sum.
    double mean = 0;
    double sum = 0;
    for (std::size_t n = 0; n < 7; ++n) {
      Numbers only(7, 0.0);
      only[n] = 1;
      Tensor<double> own(only);
      model.net.kl_to(result.view(), own.view());
      EXPECT_GT(result(0), 0);
      mean += result(0) / 7;
      sum += result(0) * weights(n);
    }
    model.net.kl_to(result.view(), weights.view());
    EXPECT_TRUE(within(result(0), sum, sum_bound(10, ElementType::float64, sum)));
    EXPECT_TRUE(within(model.kl(), mean, sum_bound(10, ElementType::float64, mean)));
    model.net.keep_outputs();
    EXPECT_EQ(model.kl(), 0);
  });
}

TEST(likelihoods, figures_are_accuracy_or_squared_error) {
  const Tensor<double> zero_input = zeros<double>(1);
  const auto evaluate = [&](FullyConnected::Options options, const Table& y) {
    FullyConnected net(test_context(), std::move(options));
    const View bias = net.parameters().tensor({1});
    const Numbers start = bias.size() == 2 ? Numbers{0.5, -1} : Numbers{1};
    net.parameters().context().write(start.data(), bias);
    Tensor<double> inputs = zero_input;
    net.forward(inputs.view());
    Targets targets(net.options().likelihood, y);
    return net.evaluate(targets.view());
  };
  Table two(1, 2);
  two.elements = {1, 1};
  Table one(1, 1);
  one.elements = {3};
  const auto bernoulli = evaluate(options_of(Likelihood::bernoulli, {1, 2}), two);
  EXPECT_EQ(bernoulli.accuracy, 0.5);
  EXPECT_TRUE(std::isnan(bernoulli.squared_error));
  const auto gaussian = evaluate(options_of(Likelihood::gaussian, {1, 2}), two);
  EXPECT_EQ(gaussian.squared_error, (0.25 + 4) / 2);
  EXPECT_TRUE(std::isnan(gaussian.accuracy));
  EXPECT_EQ(evaluate(options_of(Likelihood::gaussian_scale, {1, 2}), one).squared_error, 6.25);
  EXPECT_TRUE(within(evaluate(options_of(Likelihood::poisson, {1, 1}), one).squared_error,
                     (3 - std::exp(1.0)) * (3 - std::exp(1.0)), 1e-14));
}

/// Row 3: the exact Fisher matrix of parts that state their whole is that of the whole.
TEST(likelihoods, exact_rows_in_parts_are_those_of_the_whole) {
  for_likelihoods([](Likelihood likelihood) {
    LikelihoodNet model(options_of(likelihood), 7);
    const Table whole = dense_fisher(model.exact());
    for (Form form : {Form::primal, Form::dual}) {
      FisherMatrix fisher(model.net.parameters(), {.form = form, .samples = 14});
      std::int64_t first = 0;
      for (std::int64_t count : {4, 3}) {
        model.net.forward(model.inputs.view().row_range(first, count));
        model.net.compute_exact(model.targets.view().row_range(first, count));
        LayerScores scores(model.net.parameters(), {.kind = FisherKind::exact});
        model.net.add_exact_to(scores, {.samples = count, .batch_samples = 7});
        EXPECT_EQ(scores.samples(), 2 * count);
        EXPECT_EQ(scores.batch_samples(), 14);
        fisher.accumulate(scores);
        first += count;
      }
      Tensor<double> parts(Table(model.size(), model.size()));
      fisher.to_dense(parts.view());
      EXPECT_TRUE(relative_error_within(parts.numbers(), whole.elements,
                                        sum_bound(60, ElementType::float64, 10)));
    }
  });
}

/// Outputs far beyond what exp tells from 0 and 1, against their targets and with them.
TEST(likelihoods, saturated_outputs_give_no_nan) {
  for (Likelihood likelihood : {Likelihood::categorical, Likelihood::bernoulli}) {
    for (ElementType type : {ElementType::float32, ElementType::float64}) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + " " + to_string(type));
      FullyConnected net(test_context(), {.sizes = {1, 2}, .likelihood = likelihood, .type = type});
      const Context& context = net.parameters().context();
      const std::vector<float> narrow{1000, -1000};
      const std::vector<double> wide{1000, -1000};
      const bool single = type == ElementType::float32;
      context.write(single ? static_cast<const void*>(narrow.data()) : wide.data(),
                    net.parameters().tensor({1}));
      Tensor<float> narrow_inputs(Table(2, 1));
      Tensor<double> wide_inputs(Table(2, 1));
      net.forward(single ? narrow_inputs.view() : wide_inputs.view());
      SharedVector<std::int32_t> labels{0, 1};
      Table y(2, 2);
      y.elements = {1, 0, 0, 1};
      Tensor<float> narrow_y(y);
      Tensor<double> wide_y(y);
      const View targets = likelihood == Likelihood::categorical ? shared_view(labels, {2, 1})
                           : single                              ? narrow_y.view()
                                                                 : wide_y.view();
      net.compute_exact(targets);
      LayerScores exact(net.parameters(), {.kind = FisherKind::exact});
      net.add_exact_to(exact, {.samples = 2});
      // The second sample is wrong in both outputs, by a probability of 1.
      if (!single) {
        net.backward(targets);
        Tensor<double> gradient = zeros<double>(4);
        net.gradient(gradient.view());
        EXPECT_TRUE(relative_error_within(gradient_of(exact), gradient.numbers(), 1e-12));
      }
      NaturalGradient optimizer(net.parameters(), {.damping = {.absolute = 1e-2}});
      optimizer.step(exact);
      EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    }
  }
}

struct Broken {
  Likelihood likelihood;
  double target;
};

TEST(likelihoods, targets_outside_the_support_change_nothing) {
  for (const Broken& broken : {Broken{Likelihood::categorical, 2},
                               {Likelihood::categorical, -1},
                               {Likelihood::bernoulli, 1.5},
                               {Likelihood::bernoulli, -0.1},
                               {Likelihood::poisson, -1},
                               {Likelihood::poisson, 0.5},
                               {Likelihood::gaussian, infinity},
                               {Likelihood::gaussian_scale, -infinity}}) {
    SCOPED_TRACE(std::string(to_string(broken.likelihood)) + " " + std::to_string(broken.target));
    LikelihoodNet model(options_of(broken.likelihood), 5);
    const ConstView drawn = model.net.options().likelihood == Likelihood::categorical
                                ? ConstView()
                                : model.targets.view();
    Table y(5, drawn.empty() ? 1 : static_cast<std::size_t>(drawn.columns()));
    y(3, 0) = broken.target;
    Targets bad(broken.likelihood, y);
    const Numbers theta = model.theta();
    NaturalGradient optimizer(model.net.parameters());
    LayerScores data(model.net.parameters());
    model.net.backward(bad.view());
    model.net.add_to(data, {.samples = 5});
    optimizer.step(data);
    EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
    model.net.compute_exact(bad.view());
    LayerScores exact(model.net.parameters(), {.kind = FisherKind::exact});
    model.net.add_exact_to(exact, {.samples = 5});
    optimizer.step(exact);
    EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
    EXPECT_EQ(optimizer.report().not_finite, NotFinite::coefficients);
    EXPECT_EQ(model.theta(), theta);
    Tensor<double> loss = zeros<double>(1);
    model.net.loss_to(bad.view(), loss.view());
    EXPECT_TRUE(std::isnan(loss(0)));
  }
}

/// log sigma = -400: 1 / sigma^2 overflows in double.
TEST(likelihoods, a_variance_that_collapsed_changes_nothing) {
  LikelihoodNet model(options_of(Likelihood::gaussian_scale, {3, 2}), 5);
  Numbers theta = model.theta();
  theta.back() = -400;
  model.set_theta(theta);
  model.net.forward(model.inputs.view());
  NaturalGradient optimizer(model.net.parameters());
  LayerScores data(model.net.parameters());
  model.net.backward(model.targets.view());
  model.net.add_to(data, {.samples = 5});
  optimizer.step(data);
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  optimizer.step(model.exact());
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_finite);
  EXPECT_EQ(model.theta(), theta);
}

/// Moments of drawn targets against those of the distribution; Poisson at rates that are summed and
/// at rates that are not.
TEST(likelihoods, drawn_targets_have_mean_and_variance) {
  constexpr std::int64_t draws = sanitized ? 4000 : 40000;
  struct Case {
    Likelihood likelihood;
    Numbers z;
    double mean, variance, fourth;  // the fourth central moment
  };
  const auto normal = [](Likelihood likelihood, Numbers z, double mean, double sigma) {
    return Case{likelihood, std::move(z), mean, sigma * sigma, 3 * std::pow(sigma, 4)};
  };
  const auto poisson = [](double rate) {
    return Case{Likelihood::poisson, {std::log(rate)}, rate, rate, rate * (1 + 3 * rate)};
  };
  for (const Case& c :
       {Case{Likelihood::bernoulli, {std::log(3.0)}, 0.75, 3.0 / 16, 0.75 / 256 + 0.25 * 81 / 256},
        normal(Likelihood::gaussian, {1.5}, 1.5, 0.7),
        normal(Likelihood::gaussian_scale, {-1, std::log(2.0)}, -1, 2), poisson(0.1), poisson(4),
        poisson(250), poisson(260), poisson(1e4)}) {
    SCOPED_TRACE(std::string(to_string(c.likelihood)) + " " + std::to_string(c.mean));
    FullyConnected net(test_context(),
                       options_of(c.likelihood, {1, static_cast<std::int64_t>(c.z.size())}));
    net.parameters().context().write(c.z.data(), net.parameters().tensor({1}));
    Tensor<double> inputs = zeros<double>(1);
    net.forward(inputs.view());
    net.sample(draws);
    const Numbers y = host_copy<double>(net.parameters().context(), net.sampled_targets());
    double mean = 0;
    double variance = 0;
    for (double value : y) mean += value / draws;
    for (double value : y) variance += (value - mean) * (value - mean) / draws;
    EXPECT_TRUE(within(mean, c.mean, 4 * std::sqrt(c.variance / draws)));
    EXPECT_TRUE(
        within(variance, c.variance, 4 * std::sqrt((c.fourth - c.variance * c.variance) / draws)));
  }
}

/// What the context's allocator has given out and not taken back.
struct Held {
  std::int64_t bytes = 0;
  std::int64_t calls = 0;
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Allocator allocator() {
    return {.allocate = [this](std::size_t size, void*) -> void* {
              if (static_cast<std::int64_t>(size) > most) return nullptr;
              bytes += static_cast<std::int64_t>(size);
              ++calls;
              return allocate_shared(size);
            },
            .deallocate =
                [this](void* memory, std::size_t size, void*) {
                  bytes -= static_cast<std::int64_t>(size);
                  free_shared(memory, size);
                }};
  }
};

TEST(likelihoods, exact_rows_take_the_memory_that_the_net_says) {
  for_likelihoods([](Likelihood likelihood) {
    Held held;
    FullyConnected net(test_context({.allocator = held.allocator()}),
                       options_of(likelihood, {5, 3, 4}));
    Tensor<double> inputs(Random(1).table(20, 5));
    net.forward(inputs.view());
    net.sample();
    EXPECT_EQ(held.bytes, FullyConnected::bytes(net.options(), 20, 1));
    const ConstView targets = net.sampled_targets();
    net.compute_exact(targets);
    EXPECT_EQ(held.bytes,
              FullyConnected::bytes(net.options(), {.samples = 20, .draws = 1, .exact = true}));
    net.keep_outputs();
    const std::int64_t all = FullyConnected::bytes(
        net.options(), {.samples = 20, .draws = 1, .exact = true, .keeps_outputs = true});
    EXPECT_EQ(held.bytes, all);
    // The callables of a step allocate nothing.
    const std::int64_t calls = held.calls;
    net.forward(inputs.view());
    Tensor<double> result = zeros<double>(1);
    net.kl_to(result.view());
    EXPECT_EQ(result(0), 0);
    net.sample();
    net.loss_to(net.sampled_targets(), result.view());
    net.compute_exact(net.sampled_targets());
    EXPECT_EQ(held.calls, calls);
    EXPECT_EQ(held.bytes, all);
  });
}

TEST(likelihoods, exact_rows_without_room_name_the_way_out) {
  Held held;
  FullyConnected net(test_context({.allocator = held.allocator()}),
                     options_of(Likelihood::categorical, {5, 30}));
  Tensor<double> inputs(Random(1).table(20, 5));
  net.forward(inputs.view());
  net.sample();
  held.most = 20 * 30 * 8;
  try {
    net.compute_exact(net.sampled_targets());
    FAIL() << "there was no room";
  } catch (const MemoryError& error) {
    EXPECT_NE(std::string(error.what()).find("FisherKind::sampled takes one row a sample"),
              std::string::npos)
        << error.what();
  }
  held.most = std::numeric_limits<std::int64_t>::max();
  net.compute_exact(net.sampled_targets());

  LayerScores exact(net.parameters(), {.kind = FisherKind::exact});
  net.add_exact_to(exact, {.samples = 20});
  NaturalGradient optimizer(net.parameters(), {.memory_budget = 10000});
  try {
    optimizer.step(exact);
    FAIL() << "the plan is larger";
  } catch (const MemoryError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("rows of FisherKind::sampled, one draw a sample, are 1/30 of these"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace

}  // namespace natgrad::tests
