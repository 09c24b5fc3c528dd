#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <limits>

// Every way to break a contract of the optimizer and its loop: one clear error each, nothing
// changed.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using W = Workplace;

TEST(contracts, optimizers) {
  expect_errors({
      bad<OptionError>("rate 0", ".step rate = 0, must be finite and > 0",
                       [](W& w) { optimizer_with(w, {.step = FixedRate{0}}); }),
      bad<OptionError>("infinite rate", ".step rate = inf",
                       [](W& w) { optimizer_with(w, {.step = FixedRate{inf}}); }),
      bad<OptionError>("negative damping", ".damping.relative = -0.5",
                       [](W& w) { optimizer_with(w, {.damping = {.relative = -0.5}}); }),
      bad<OptionError>("momentum 1", ".momentum decay = 1, must be >= 0 and < 1",
                       [](W& w) { optimizer_with(w, {.momentum = HeavyBall{1}}); }),
      bad<OptionError>("negative spring", ".momentum decay = -0.1",
                       [](W& w) { optimizer_with(w, {.momentum = Spring{-0.1}}); }),
      bad<OptionError>("no spring at all", ".momentum decay = nan",
                       [](W& w) { optimizer_with(w, {.momentum = Spring{nan}}); }),
      bad<OptionError>(
          "a decay that overshoots", ".weight_decay = 4, must be finite, >= 0 and <= 1 / rate",
          [](W& w) { optimizer_with(w, {.step = FixedRate{0.5}, .weight_decay = 4}); }),
      bad<OptionError>(
          "all wrong options at once", "; .weight_decay = -1",
          [](W& w) { optimizer_with(w, {.damping = {.absolute = nan}, .weight_decay = -1}); }),
      bad<ArgumentError>("no parameters", "optimizer: the parameters are empty",
                         [](W&) { NaturalGradient(Parameters(Context::cpu())); }),
      bad<ArgumentError>("foreign scores", "step: the scores are of other parameters",
                         [](W& w) { w.optimizer.step(w.foreign.scores()); }),
      bad<ArgumentError>("scores without rows", "step: the scores have no rows",
                         [](W& w) { w.optimizer.step(DenseScores(w.batch.parameters)); }),
      bad<ArgumentError>("scores without layers", "step: the set has no layers",
                         [](W& w) { w.optimizer.step(w.begun()); }),
      bad<ArgumentError>("a part of the batch", "hold 6 of 9 samples; a step takes the whole batch",
                         [](W& w) { w.optimizer.step(w.batch.scores({.batch_samples = 9})); }),
      bad<ArgumentError>("report of nothing", "no step was taken yet",
                         [](W& w) { optimizer_with(w, {}).report(); }),
      bad<ArgumentError>("parameters that have grown", "grown from 3 to 5",
                         [](W& w) {
                           Parameters parameters(Context::cpu());
                           Tensor<float> theta(Numbers(5, 0.0));
                           parameters.add(theta.view().row_range(0, 3));
                           NaturalGradient optimizer(parameters);
                           DenseScores scores(parameters);
                           scores.begin(w.floats(2, 3));
                           optimizer.step(scores);
                           parameters.add(theta.view().row_range(3, 2));
                           scores.begin(w.floats(2, 5));
                           optimizer.step(scores);
                         }),
  });
}

template <class Change>
auto options_with(const Change& change) {
  return [change](Workplace& w) {
    NaturalGradient::Options options;
    change(options);
    optimizer_with(w, options);
  };
}

using O = NaturalGradient::Options;

TEST(contracts, options_of_the_loop) {
  expect_errors({
      bad<OptionError>("no radius", ".step radius = 0, must be finite and > 0",
                       options_with([](O& o) { o.step = KlTrustRegion{.radius = 0}; })),
      bad<OptionError>("infinite radius", ".step radius = inf",
                       options_with([](O& o) { o.step = KlTrustRegion{.radius = inf}; })),
      bad<OptionError>("no largest rate", ".step max_rate = 0, must be finite and > 0",
                       options_with([](O& o) { o.step = KlTrustRegion{.max_rate = 0}; })),
      bad<OptionError>("a largest rate of nan", ".step max_rate = nan",
                       options_with([](O& o) { o.step = KlTrustRegion{.max_rate = nan}; })),
      bad<OptionError>("a schedule without steps", ".schedule steps = 0, must be > 0",
                       options_with([](O& o) { o.schedule = {.decay = RateDecay::linear}; })),
      bad<OptionError>(
          "a schedule of negative steps", ".schedule steps = -7",
          options_with([](O& o) { o.schedule = {.decay = RateDecay::cosine, .steps = -7}; })),
      bad<OptionError>("no norm", ".max_norm = 0, must be > 0",
                       options_with([](O& o) { o.max_norm = 0; })),
      bad<OptionError>("a norm of nan", ".max_norm = nan",
                       options_with([](O& o) { o.max_norm = nan; })),
      bad<OptionError>("negative penalty", ".l2 = -1, must be finite and >= 0",
                       options_with([](O& o) { o.l2 = -1; })),
      bad<OptionError>("infinite penalty", ".l2 = inf", options_with([](O& o) { o.l2 = inf; })),
      bad<OptionError>("negative rate factor", ".rate_factors = -2, must be finite and >= 0",
                       options_with([](O& o) {
                         o.rate_factors = {{{0}, -2}};
                       })),
      bad<OptionError>("infinite rate factor", ".rate_factors = inf", options_with([](O& o) {
                         o.rate_factors = {{{0}, inf}};
                       })),
      bad<OptionError>("a decay factor of nan", ".weight_decay_factors = nan",
                       options_with([](O& o) {
                         o.weight_decay_factors = {{{0}, nan}};
                       })),
      bad<OptionError>("a decay factor that overshoots",
                       ".weight_decay = 1, must be finite, >= 0 and <= 1 / rate",
                       options_with([](O& o) {
                         o.weight_decay = 1;
                         o.weight_decay_factors = {{{0}, 5}};
                       })),
      bad<OptionError>("a decay that overshoots at the largest rate", ".weight_decay = 0.5",
                       options_with([](O& o) {
                         o.step = KlTrustRegion{.max_rate = 3};
                         o.weight_decay = 0.5;
                       })),
      bad<ArgumentError>("a rate factor of no segment",
                         ".rate_factors names segment 4 of 4, which does not exist",
                         options_with([](O& o) {
                           o.rate_factors = {{{4}, 2}};
                         })),
      bad<ArgumentError>("two factors of one tensor", ".rate_factors names segment 0 twice",
                         options_with([](O& o) {
                           o.rate_factors = {{{0}, 2}, {{0}, 0.5}};
                         })),
      bad<ArgumentError>("a decay factor of no segment", ".weight_decay_factors names segment -1",
                         options_with([](O& o) {
                           o.weight_decay_factors = {{{}, 2}};
                         })),
      bad<ArgumentError>("all frozen", ".rate_factors freeze every parameter",
                         options_with([](O& o) {
                           o.rate_factors = {{{0}, 0}, {{1}, 0}, {{2}, 0}, {{3}, 0}};
                         })),
      bad<OptionError>("negative refinement", ".refinement = -1, must be 0 to 1000",
                       options_with([](O& o) { o.refinement = -1; })),
      bad<OptionError>("a gram of integers",
                       ".gram_type = int32, must be float64 or the parameters'",
                       options_with([](O& o) { o.gram_type = ElementType::int32; })),
      bad<OptionError>("a gram narrower than the parameters",
                       ".gram_type = float32, must be float64",
                       [](W& w) {
                         Parameters parameters(Context::cpu());
                         parameters.add(w.float64s(3));
                         NaturalGradient(parameters, {.gram_type = ElementType::float32});
                       }),
      bad<OptionError>("a budget of nothing", ".memory_budget = 0, must be > 0 bytes",
                       options_with([](O& o) { o.memory_budget = 0; })),
      bad<OptionError>("a negative budget", ".memory_budget = -1",
                       options_with([](O& o) { o.memory_budget = -1; })),
      bad<OptionError>("all of them at once", "; .refinement = -1", options_with([](O& o) {
                         o.l2 = nan;
                         o.refinement = -1;
                       })),
      bad<OptionError>("set: rate 0", ".step rate = 0", [](W& w) { w.optimizer.set_rate(0); }),
      bad<OptionError>("set: rate nan", ".step rate = nan",
                       [](W& w) { w.optimizer.set_rate(nan); }),
      bad<OptionError>("set: a largest rate of nothing", ".step max_rate = -1",
                       [](W& w) { optimizer_with(w, {.step = KlTrustRegion{}}).set_rate(-1); }),
      bad<OptionError>("set: a rate that the decay overshoots", ".weight_decay = 1",
                       [](W& w) { optimizer_with(w, {.weight_decay = 1}).set_rate(1.5); }),
      bad<OptionError>("set: negative damping", ".damping.absolute = -1",
                       [](W& w) { w.optimizer.set_damping({.absolute = -1}); }),
      bad<OptionError>("set: both dampings", "; .damping.relative = nan",
                       [](W& w) { w.optimizer.set_damping({.absolute = inf, .relative = nan}); }),
  });
}

/// A step with a gradient of its own.
}  // namespace

}  // namespace natgrad::tests
