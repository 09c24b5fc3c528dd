#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// Densities where something is wrong: variances that collapse, components without data, samples
// outside of the support, options and operands that do not fit. No NaN reaches the parameters.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr ElementType float64 = ElementType::float64;

/// A density at theta, its samples, and one step on them.
struct Fit {
  Context context = test_context();
  Density density;
  Array x;
  Array gradient;

  Fit(const Density::Options& options, const Numbers& theta, const Numbers& samples)
      : density(context, options) {
    density.write(theta);
    x = context.array(
        {static_cast<std::int64_t>(samples.size()) / density.columns(), density.columns()},
        float64);
    context.write(samples.data(), x);
    gradient = context.array({density.parameters().size(), 1}, float64);
  }

  Outcome step(double damping, FisherKind kind) {
    density.compute(x);
    density.gradient(gradient);
    DenseScores data(density.parameters());
    DenseScores exact(density.parameters(), {.kind = FisherKind::exact});
    NaturalGradient optimizer(
        density.parameters(),
        {.damping = {.absolute = damping}, .step = FixedRate{0.5}, .momentum = NoMomentum{}});
    if (kind == FisherKind::exact) {
      density.compute_exact();
      density.add_exact_to(exact);
      optimizer.step(Batch{.fisher = exact, .gradient = Gradient{gradient}});
    } else {
      density.add_to(data);
      optimizer.step(data);
    }
    return optimizer.report().outcome;
  }
};

void expect_unmoved(const Density::Options& options, const Numbers& theta, const Numbers& samples,
                    double damping, Outcome outcome) {
  for (const FisherKind kind : {FisherKind::exact, FisherKind::empirical}) {
    Fit fit(options, theta, samples);
    EXPECT_EQ(fit.step(damping, kind), outcome) << to_string(kind);
    EXPECT_EQ(fit.density.read(), theta);
  }
}

TEST(densities, theta_outside_of_its_domain_moves_nothing) {
  expect_unmoved({.family = DensityFamily::gaussian_scale}, {0, -1}, {1, 2}, 0.1,
                 Outcome::not_finite);
  expect_unmoved({.family = DensityFamily::gaussian_scale}, {0, 0}, {1, 2}, 0.1,
                 Outcome::not_finite);
  expect_unmoved({.family = DensityFamily::gaussian_natural}, {0, 0.5}, {1, 2}, 0.1,
                 Outcome::not_finite);
}

template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(densities, what_cannot_be_observed_is_named) {
  const auto statistic = [](double x, std::span<double> t) { t[0] = x; };
  Support support = Support::finite({0, 1, 2}, 1, statistic);
  const auto error = [&](const Support& of, const std::vector<double>& samples) {
    return message_of([&] { of.observe(samples); });
  };
  EXPECT_EQ(support.observe(std::vector<double>{0, 2}), (std::vector<double>{0, 2}));
  EXPECT_TRUE(support.observe({}).empty());
  EXPECT_EQ(error(support, {0, 1, 1.5, nan}),
            "observe: samples[2] = 1.5, must be a point of the support that has a weight > 0");
  EXPECT_NE(error(support, {nan}).find("samples[0] = nan, must be a point"), std::string::npos);
  EXPECT_THROW(support.observe(std::vector<double>{3}), ArgumentError);
  support.weights[1] = 0;
  EXPECT_NE(error(support, {0, 1}).find("samples[1] = 1, must be"), std::string::npos);
  support.points.push_back(1);  // again, with a weight
  support.weights.push_back(1);
  EXPECT_EQ(support.observe(std::vector<double>{1}), (std::vector<double>{1}));

  const Support interval = Support::on_interval(-1, 1, 3, 1, statistic);
  EXPECT_EQ(interval.observe(std::vector<double>{-1, 1}), (std::vector<double>{-1, 1}));
  for (const double outside : {1.01, -2.0, nan, std::numeric_limits<double>::infinity()}) {
    EXPECT_NE(error(interval, {0, outside}).find("observe: samples[1] = "), std::string::npos);
    EXPECT_NE(error(interval, {0, outside}).find(", must be in [-1, 1]"), std::string::npos);
  }
  const Support logarithm =
      Support::on_interval(0, 1, 3, 1, [](double x, std::span<double> t) { t[0] = std::log(x); });
  EXPECT_EQ(error(logarithm, {1, 0}),
            "observe: statistic 0 of samples[1] = 0 is -inf, must be finite and of size <= 1e+150");
}

TEST(densities, a_support_that_does_not_fit_observes_nothing) {
  const auto statistic = [](double x, std::span<double> t) { t[0] = x; };
  const auto error = [&](const auto& change) {
    Support support = Support::finite({0, 1, 2}, 1, statistic);
    change(support);
    return message_of([&] { support.observe(std::vector<double>{1}); });
  };
  EXPECT_EQ(error([](Support& s) { s.weights.pop_back(); }),
            "observe: .support.weights: their number = 2, must be that of the points");
  EXPECT_NE(error([](Support& s) { s.statistics = 0; }).find(".support.statistics = 0"),
            std::string::npos);
  EXPECT_NE(error([](Support& s) { s.statistics = -1; }).find(".support.statistics = -1"),
            std::string::npos);
  EXPECT_NE(error([](Support& s) { s.statistic = nullptr; }).find("a function"), std::string::npos);
  EXPECT_NE(error([](Support& s) { s.points = s.weights = {}; }).find("their number = 0"),
            std::string::npos);
}

/// Weights of whatever order give the same F and KL divergence; densities are with respect to them.
TEST(densities, weights_may_be_tiny_or_huge_but_not_denormal) {
  const Context context = test_context();
  const auto of_weight = [&](double weight) {
    Support support =
        Support::finite({0, 1, 2, 5}, 1, [](double x, std::span<double> t) { t[0] = x / 5; });
    for (double& w : support.weights) w *= weight;
    Density density(context, {.family = DensityFamily::exponential, .support = support});
    density.write(Numbers{0.7});
    density.compute_exact();
    DenseScores exact(density.parameters(), {.kind = FisherKind::exact});
    density.add_exact_to(exact);
    FisherMatrix fisher(density.parameters());
    fisher.accumulate(exact);
    const Numbers other{-3};
    const Array theta = context.array({1, 1}, float64);
    const Array kl = context.array({1, 1}, float64);
    context.write(other.data(), theta);
    density.kl(density.values(), theta, kl);
    return Numbers{fisher.trace(), host_copy<double>(context, kl)[0]};
  };
  const Numbers usual = of_weight(1);
  ASSERT_GT(usual[0], 0);
  ASSERT_GT(usual[1], 0);
  for (const double weight : {2.3e-308, 1e-200, 1e200, 1.7e308}) {
    const Numbers same = of_weight(weight);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(within(same[i], usual[i], 1e-12 * usual[i])) << weight << ": " << i;
    }
  }
  for (const double weight : {1e-310, 4.9e-324}) {
    EXPECT_NE(message_of([&] { of_weight(weight); }).find("must be 0, or finite and >= 2.3e-308"),
              std::string::npos);
  }
}

/// A step in other units of the statistic is the same step, up to the largest that are taken.
TEST(densities, statistics_may_be_large_within_bounds) {
  const auto in_units = [](double unit, ElementType type) {
    return Density::Options{
        .family = DensityFamily::exponential,
        .support = Support::finite({0, 1, 2}, 1,
                                   [unit](double x, std::span<double> t) { t[0] = unit * x; }),
        .type = type};
  };
  const auto step = [&](double unit) {
    Fit fit(in_units(unit, float64), {0}, {0, unit, unit, unit});
    EXPECT_EQ(fit.step(0, FisherKind::exact), Outcome::accepted) << unit;
    return fit.density.read()[0] * unit;
  };
  const double usual = step(1);
  EXPECT_TRUE(within(step(0x1p490), usual, 1e-12));  // 3e147
  EXPECT_TRUE(within(step(0x1p-490), usual, 1e-12));
  const Context context = test_context();
  const auto made = [&](double unit, ElementType type) {
    return message_of([&] { const Density density(context, in_units(unit, type)); });
  };
  EXPECT_EQ(made(1e200, float64),
            "density: .support.statistic writes 1e+200, must be finite and of size <= 1e+150 in "
            "float64");
  EXPECT_NE(made(1e38, ElementType::float32).find("of size <= 1e+37 in float32"),
            std::string::npos);
  EXPECT_EQ(made(4e36, ElementType::float32), "nothing was thrown");
}

TEST(densities, samples_that_are_not_finite_move_nothing) {
  const Support support =
      Support::finite({0, 1, 2}, 1, [](double x, std::span<double> t) { t[0] = x; });
  expect_unmoved({.family = DensityFamily::exponential, .support = support}, {0.3}, {0, 1, nan},
                 0.1, Outcome::not_finite);
  expect_unmoved({}, {0, 0}, {1, nan}, 0.1, Outcome::not_finite);
  expect_unmoved({.family = DensityFamily::mixture, .components = 2}, {0, -1, 1, 0, 0},
                 {std::numeric_limits<double>::infinity(), 1}, 0.1, Outcome::not_finite);
}

/// All samples are one number: the scale falls by about a quarter a step, and where the scores
/// overflow the step ends, parameters as they were.
TEST(densities, a_variance_collapses_until_its_scores_overflow) {
  Fit fit({}, {1, 0}, {1, 1, 1});
  for (int step = 0; step < 20; ++step) {
    EXPECT_EQ(fit.step(0, FisherKind::exact), Outcome::accepted);
    EXPECT_TRUE(std::isfinite(fit.density.read()[1]));
  }
  EXPECT_TRUE(within(fit.density.read()[1], -20 * 0.25, 1e-12));
  expect_unmoved({}, {1, -400}, {1, 1.5}, 0, Outcome::not_finite);
}

/// A component that no sample is near has no score, and moves nowhere; undamped F is singular once
/// its weight is at the level of rounding.
TEST(densities, a_component_without_data_stays) {
  const Density::Options options{.family = DensityFamily::mixture, .components = 2};
  Fit fit(options, {0, 0, 100, 0, 0}, {-1, 0, 0.5, 1});
  EXPECT_EQ(fit.step(0.1, FisherKind::empirical), Outcome::accepted);
  const Numbers after = fit.density.read();
  EXPECT_GT(after[0], 0);
  EXPECT_EQ(after[2], 100);
  EXPECT_EQ(after[4], 0);
  Fit exact(options, {0, 0, 100, 0, 0}, {-1, 0, 0.5, 1});
  EXPECT_EQ(exact.step(0.1, FisherKind::exact), Outcome::accepted);
  EXPECT_EQ(exact.density.read()[2], 100);
  Fit singular(options, {800, 0, 3, 0, 0}, {-1, 0, 0.5, 1});
  EXPECT_EQ(singular.step(0, FisherKind::exact), Outcome::not_positive_definite);
  EXPECT_EQ(singular.density.read(), (Numbers{800, 0, 3, 0, 0}));
}

TEST(densities, dependent_statistics_make_a_singular_fisher) {
  const Support support = Support::finite({0, 1, 2, 5}, 2, [](double x, std::span<double> t) {
    t[0] = x;
    t[1] = 1 - 2 * x;
  });
  const std::vector<double> samples = support.observe(std::vector<double>{0, 1, 5});
  Fit undamped({.family = DensityFamily::exponential, .support = support}, {0.1, 0}, samples);
  EXPECT_EQ(undamped.step(0, FisherKind::exact), Outcome::not_positive_definite);
  Fit damped({.family = DensityFamily::exponential, .support = support}, {0.1, 0}, samples);
  EXPECT_EQ(damped.step(0.1, FisherKind::exact), Outcome::accepted);
}

TEST(densities, wrong_options_are_named) {
  const Context context = test_context();
  const auto made = [&](const Density::Options& options) {
    return message_of([&] { const Density density(context, options); });
  };
  EXPECT_EQ(made({.dimensions = 2, .components = 3, .kl_draws = 0}),
            "density: .dimensions = 2, must be 1 for this family; .components = 3, must be 1 for "
            "this family; .kl_draws = 0, must be > 0");
  EXPECT_EQ(made({.family = DensityFamily::mixture, .dimensions = 0, .components = 0}),
            "density: .dimensions = 0, must be > 0 and <= 2^20; .components = 0, must be > 0 and "
            "<= 2^20");
  // P would overflow 64 bits, K D and D^2 too.
  constexpr std::int64_t many = std::int64_t{1} << 40;
  const std::string both =
      made({.family = DensityFamily::mixture, .dimensions = many, .components = many});
  EXPECT_NE(both.find(".dimensions = "), std::string::npos);
  EXPECT_NE(both.find(".components = "), std::string::npos);
  EXPECT_NE(both.find("must be > 0 and <= 2^20"), std::string::npos);
  EXPECT_NE(made({.family = DensityFamily::gaussian_cholesky, .dimensions = many}).find("<= 2^20"),
            std::string::npos);
  EXPECT_THROW(
      Density::bytes({.family = DensityFamily::mixture, .dimensions = many, .components = many}, 1),
      OptionError);
  EXPECT_NE(made({.family = static_cast<DensityFamily>(77)}).find(".family = 77"),
            std::string::npos);
  EXPECT_NE(made({.type = ElementType::int32}).find("a float"), std::string::npos);
  Density::Options options{.family = DensityFamily::exponential};
  EXPECT_NE(made(options).find(".support.statistics"), std::string::npos);
  options.support = Support::finite({0, 1}, 1, [](double, std::span<double> t) { t[0] = nan; });
  EXPECT_NE(made(options).find("must be finite"), std::string::npos);
  options.support.statistics = many;
  EXPECT_NE(made(options).find(".support.statistics"), std::string::npos);
  options.support.statistics = 1;
  options.support.weights = {0, 0};
  EXPECT_NE(made(options).find("the largest"), std::string::npos);
  options.support.weights = {-1, 1};
  EXPECT_NE(made(options).find(".support.weights = -1"), std::string::npos);
  EXPECT_THROW(Support::on_interval(1, 1, 1, 1, nullptr), OptionError);
}

/// The (P, P) arrays of exact rows are there from the first compute_exact on.
TEST(densities, exact_rows_take_memory_where_they_are_asked_for) {
  const Support support =
      Support::finite({0, 1, 2}, 1, [](double x, std::span<double> t) { t[0] = x; });
  for (const ElementType type : {ElementType::float32, ElementType::float64}) {
    for (const EnumeratorName<DensityFamily>& row : density_table) {
      SCOPED_TRACE(std::string(row.name) + " " + to_string(type));
      Density::Options options{.family = row.value, .type = type};
      if (row.value == DensityFamily::gaussian_cholesky) options.dimensions = 3;
      if (row.value == DensityFamily::mixture) options.components = 3;
      if (row.value == DensityFamily::exponential) options.support = support;
      std::int64_t held = 0;
      {
        const Allocator allocator{.allocate = [&held](std::size_t size, void*) -> void* {
                                    held += static_cast<std::int64_t>(size);
                                    return allocate_shared(size);
                                  },
                                  .deallocate =
                                      [&held](void* memory, std::size_t size, void*) {
                                        held -= static_cast<std::int64_t>(size);
                                        free_shared(memory, size);
                                      }};
        Density density(test_context({.allocator = allocator}), options);
        EXPECT_EQ(held, Density::bytes(options, 0));
        density.compute_sampled(5);
        EXPECT_EQ(held, Density::bytes(options, 0, 5));
        density.compute_exact();
        EXPECT_EQ(held, Density::bytes(options, {.draws = 5, .exact = true}));
        const std::int64_t P = density.parameters().size();
        EXPECT_EQ(held - Density::bytes(options, 0, 5), P * P * (8 + size_of(type)));
        density.compute_exact();
        EXPECT_EQ(held, Density::bytes(options, {.draws = 5, .exact = true}));
      }
      EXPECT_EQ(held, 0);
    }
  }
}

TEST(densities, operands_that_do_not_fit_are_refused) {
  Fit fit({.family = DensityFamily::mixture, .dimensions = 2, .components = 2}, Numbers(9, 0.1),
          {0, 1, 2, 3});
  Density& density = fit.density;
  const Array log_p = fit.context.array({2, 1}, float64);
  const Array three = fit.context.array({2, 3}, float64);
  const Array narrow = fit.context.array({2, 2}, ElementType::float32);
  EXPECT_THROW(density.log_likelihood(three, log_p), ShapeError);
  EXPECT_THROW(density.log_likelihood(narrow, log_p), TypeError);
  EXPECT_THROW(density.log_likelihood(fit.x, three), ShapeError);
  EXPECT_THROW(density.compute(fit.context.array({0, 2}, float64)), Error);
  EXPECT_THROW(density.gradient(fit.gradient), ArgumentError);
  EXPECT_THROW(density.rows(), ArgumentError);
  DenseScores scores(density.parameters());
  DenseScores sampled(density.parameters(), {.kind = FisherKind::sampled});
  EXPECT_THROW(density.add_to(scores), ArgumentError);
  EXPECT_THROW(density.add_sampled_to(sampled), ArgumentError);
  density.compute_sampled(3);
  EXPECT_THROW(density.add_sampled_to(scores), ArgumentError);
  EXPECT_NO_THROW(density.add_sampled_to(sampled));
  EXPECT_FALSE(density.has_exact());
  EXPECT_NE(message_of([&] { density.compute_exact(); }).find("compute_sampled"),
            std::string::npos);
  EXPECT_THROW(density.sample(0), OptionError);
  EXPECT_THROW(density.set_draw_counter(-1), OptionError);
  EXPECT_THROW(density.write(Numbers(3, 0.0)), ShapeError);
  Density other(fit.context, {.family = DensityFamily::mixture, .dimensions = 2, .components = 2});
  DenseScores foreign(other.parameters());
  density.compute(fit.x);
  EXPECT_THROW(density.add_to(foreign), ArgumentError);
}

TEST(densities, draws_follow_from_key_and_counter_alone) {
  for (const EnumeratorName<DensityFamily>& row : density_table) {
    if (row.value == DensityFamily::exponential) continue;
    SCOPED_TRACE(row.name);
    const Context context = test_context();
    const auto made = [&](std::uint64_t key) {
      return Density(context, {.family = row.value, .key = key});
    };
    const auto drawn = [&](Density& density, std::int64_t samples) {
      return host_copy<double>(context, density.sample(samples));
    };
    Density density = made(5);
    const Numbers first = drawn(density, 7);
    const Numbers second = drawn(density, 7);
    EXPECT_NE(first, second);
    EXPECT_EQ(density.draw_counter(), 2);
    density.set_draw_counter(1);
    EXPECT_EQ(drawn(density, 7), second);
    density.set_draw_counter(0);
    const Numbers shorter = drawn(density, 3);
    EXPECT_EQ(shorter, Numbers(first.begin(), first.begin() + 3));
    Density other = made(6);
    EXPECT_NE(drawn(other, 7), first);
  }
}

/// Float parameters, samples and rows: the numbers of double, rounded.
TEST(densities, float_is_double_rounded) {
  const Context context = test_context();
  Density wide(context, {.family = DensityFamily::mixture, .components = 2});
  Density narrow(context,
                 {.family = DensityFamily::mixture, .components = 2, .type = ElementType::float32});
  const std::vector<float> samples = {-1.5F, 0.25F, 2};
  const std::vector<double> exact(samples.begin(), samples.end());
  const Array x = context.array({3, 1}, ElementType::float32);
  const Array exact_x = context.array({3, 1}, float64);
  context.write(samples.data(), x);
  context.write(exact.data(), exact_x);
  narrow.compute(x);
  wide.compute(exact_x);
  const auto rows = host_copy<float>(context, narrow.rows());
  const auto exact_rows = host_copy<double>(context, wide.rows());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i], static_cast<float>(exact_rows[i])) << i;
  }
  EXPECT_EQ(narrow.read(), wide.read());
}

}  // namespace

}  // namespace natgrad::tests
