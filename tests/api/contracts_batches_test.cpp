#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

// Every way to break a contract of a batch, its parts, its direction and its plan: one clear error
// each, nothing changed.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using W = Workplace;

template <class Make>
auto stepping(const Make& make) {
  return [make](Workplace& w) { w.optimizer.step({.fisher = w.scores, .gradient = make(w)}); };
}

LayerScores centred(Workplace& w, Centering centering, bool coefficients) {
  return w.part(0, 6,
                {.coefficients = coefficients ? ConstView(w.floats(6)) : ConstView(),
                 .centering = centering});
}

TEST(contracts, batches) {
  expect_errors({
      bad<ShapeError>("gradient of another size", "step: gradient is 16 x 1, expected 17 x 1",
                      stepping([](W& w) { return Gradient{w.floats(16)}; })),
      bad<ShapeError>("gradient in a row", "step: gradient is 1 x 17",
                      stepping([](W& w) { return Gradient{w.floats(1, 17)}; })),
      bad<ShapeError>("gradient with gaps", "must be contiguous",
                      stepping([](W& w) { return Gradient{w.padded.view()}; })),
      bad<TypeError>("gradient of another type", "step: gradient is float64, expected float32",
                     stepping([](W& w) { return Gradient{w.float64s(17)}; })),
      bad<DeviceError>("gradient elsewhere", "gradient is 17 x 1 float32 on cuda",
                       stepping([](W&) { return Gradient{W::elsewhere(17)}; })),
      bad<ArgumentError>("no gradient", "step: gradient is missing",
                         stepping([](W&) { return Gradient{}; })),
      bad<OptionError>("gradient times nan", "step: gradient .scale = nan, must be finite",
                       stepping([](W& w) {
                         return Gradient{w.floats(17), nan};
                       })),
      bad<OptionError>("gradient times infinity", ".scale = inf", stepping([](W& w) {
                         return Gradient{w.floats(17), inf};
                       })),
      bad<ArgumentError>("gradient of foreign rows", "step: gradient: the scores are of other",
                         [](W& w) {
                           const LayerScores rows = w.foreign.scores();
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
      bad<ArgumentError>("gradient of no rows", "step: gradient: the scores have no rows",
                         [](W& w) {
                           const LayerScores rows(w.batch.parameters);
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
      bad<ArgumentError>("gradient of rows without layers", "step: gradient: the set has no layers",
                         [](W& w) {
                           const LayerScores rows = w.begun();
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
      bad<ArgumentError>("gradient of a part", "the rows of .gradient are 4 of 6 samples",
                         [](W& w) {
                           const LayerScores rows = w.part(0, 4);
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
      bad<ArgumentError>("gradient of centred rows", "the rows of .gradient are not centred",
                         [](W& w) {
                           const LayerScores rows = centred(w, Centering::rows, true);
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
      bad<ArgumentError>("a gradient beside maximum likelihood of centred rows",
                         "Centering::fisher_only goes with the rows' own gradient",
                         [](W& w) {
                           optimizer_with(w, {.momentum = NoMomentum{}})
                               .step({.fisher = centred(w, Centering::fisher_only, false),
                                      .gradient = Gradient{w.floats(17)}});
                         }),
      bad<ArgumentError>("centred for the Fisher alone, with SPRING",
                         "goes with neither SPRING nor .l2",
                         [](W& w) { w.optimizer.step(centred(w, Centering::fisher_only, false)); }),
      bad<ArgumentError>("centred for the Fisher alone, with a penalty", "nor .l2",
                         [](W& w) {
                           optimizer_with(w, {.momentum = NoMomentum{}, .l2 = 1})
                               .step(centred(w, Centering::fisher_only, false));
                         }),
      bad<ArgumentError>("centred maximum likelihood", "have the gradient 0; give coefficients",
                         [](W& w) { w.optimizer.step(centred(w, Centering::rows, false)); }),
      bad<ArgumentError>("the mean of sampled rows",
                         "step: the mean of sampled rows is no gradient of the data",
                         [](W& w) { w.optimizer.step(w.batch.scores({}, {FisherKind::sampled})); }),
      bad<ArgumentError>("a KL of empirical rows", "step: KlTrustRegion needs rows of the Fisher",
                         [](W& w) { optimizer_with(w, {.step = KlTrustRegion{}}).step(w.scores); }),
      bad<ArgumentError>("a gradient in the dual form without damping", "needs damping > 0",
                         [](W& w) {
                           optimizer_with(w, {.damping = {.absolute = 0}, .form = Form::dual})
                               .step({.fisher = w.scores, .gradient = Gradient{w.floats(17)}});
                         }),
      bad<ArgumentError>("a gradient of few rows without damping", "needs damping > 0",
                         [](W& w) {
                           optimizer_with(w, {.damping = {.absolute = 0}})
                               .step({.fisher = w.scores, .gradient = Gradient{w.floats(17)}});
                         }),
      bad<ArgumentError>("a row without layers", "no layer of the set covers row 3 of 6",
                         [](W& w) {
                           LayerScores rows = w.begun();
                           rows.add({.bias = {1}, .output_score = w.floats(3, 2), .rows = {0, 3}});
                           rows.add({.bias = {3}, .output_score = w.floats(2, 3), .rows = {4, 2}});
                           w.optimizer.step(rows);
                         }),
      bad<OptionError>("layers centred for maximum likelihood, with coefficients",
                       "Centering::fisher_only goes with maximum likelihood, without .coefficients",
                       [](W& w) {
                         w.scores.begin({.samples = 6,
                                         .coefficients = w.floats(6),
                                         .centering = Centering::fisher_only});
                       }),
      bad<OptionError>("dense rows centred for maximum likelihood, with coefficients",
                       "without .coefficients; centre the rows",
                       [](W& w) {
                         w.dense.begin(w.dense_rows.view(), {.coefficients = w.floats(6),
                                                             .centering = Centering::fisher_only});
                       }),
      bad<ArgumentError>("gradient of centred maximum likelihood", "gradient: centred rows",
                         [](W& w) { centred(w, Centering::rows, false).gradient(w.floats(17)); }),
      bad<ArgumentError>(
          "gradient of a part of centred rows",
          "centred rows need the whole batch, these are 4 of 6",
          [](W& w) {
            w.part(0, 4,
                   {.batch_samples = 6, .coefficients = w.floats(4), .centering = Centering::rows})
                .gradient(w.direction.view());
          }),
      bad<ArgumentError>("a matrix of rows differently centred",
                         ".centering of the set differs from that of the sets before",
                         [](W& w) { w.primal.accumulate(centred(w, Centering::rows, true)); }),
  });
}

/// A call on each of the optimizers that are in the middle of a batch.
template <class Exception, class OfOne>
void expect_error_of_both(std::vector<BadCall>& calls, const char* what, const char* text,
                          const OfOne& call) {
  calls.push_back(bad<Exception>(what, text, [call](W& w) { call(w, w.gathering); }));
  calls.push_back(bad<Exception>(what, text, [call](W& w) { call(w, w.gathering_primal); }));
}

TEST(contracts, parts) {
  using N = NaturalGradient;
  std::vector<BadCall> calls;
  const auto both = [&]<class Exception>(const Exception*, const char* what, const char* text,
                                         const auto& call) {
    expect_error_of_both<Exception>(calls, what, text, call);
  };
  constexpr const ArgumentError* argument = nullptr;
  both(argument, "a step too early", "step: 4 of 6 samples are accumulated; a step takes the whole",
       [](W&, N& n) { n.step(); });
  both(argument, "a step of other rows",
       "4 rows are accumulated; step() takes them, discard() drops",
       [](W& w, N& n) { n.step(w.scores); });
  both(argument, "too many rows", "accumulate: 4 rows and 3 more are beyond the batch's 6",
       [](W& w, N& n) { n.accumulate(w.part(0, 3)); });
  both(argument, "another batch",
       "accumulate: .batch_samples differs from that of the parts before",
       [](W& w, N& n) { n.accumulate(w.part(4, 2, {.batch_samples = 7})); });
  both(argument, "another kind", "the kind of the rows differs", [](W& w, N& n) {
    n.accumulate(
        w.part(4, 2, {.batch_samples = 6, .coefficients = w.floats(2)}, {FisherKind::exact}));
  });
  both(argument, "another centre", "accumulate: .centering differs", [](W& w, N& n) {
    n.accumulate(w.part(
        4, 2, {.batch_samples = 6, .coefficients = w.floats(2), .centering = Centering::rows}));
  });
  both(argument, "another gradient", "the source of the gradient differs", [](W& w, N& n) {
    n.accumulate({.fisher = w.part(4, 2), .gradient = Gradient{w.floats(17)}});
  });
  both(static_cast<const ShapeError*>(nullptr), "a gradient of another size",
       "accumulate: gradient is 3 x 1", [](W& w, N& n) {
         n.accumulate({.fisher = w.part(4, 2), .gradient = Gradient{w.floats(3)}});
       });
  both(argument, "foreign rows", "accumulate: the scores are of other parameters",
       [](W& w, N& n) { n.accumulate(w.foreign.scores({.samples = 2, .batch_samples = 6})); });
  both(argument, "no rows", "accumulate: the scores have no rows",
       [](W& w, N& n) { n.accumulate(LayerScores(w.batch.parameters)); });
  both(argument, "no layers", "accumulate: the set has no layers",
       [](W& w, N& n) { n.accumulate(w.begun()); });
  both(argument, "a file of half a batch",
       "save: 4 rows are accumulated; step() or discard() first",
       [](W&, N& n) { save("/nowhere/at/all", n); });
  both(argument, "memory of another batch", "reserve: 4 rows are accumulated",
       [](W&, N& n) { n.reserve(n.plan(ScoresShape{.samples = 50, .batch_samples = 100})); });
  calls.push_back(bad<ArgumentError>("a step of nothing", "step: nothing was accumulated",
                                     [](W& w) { w.optimizer.step(); }));
  calls.push_back(
      bad<ArgumentError>("what was discarded", "step: nothing was accumulated", [](W& w) {
        NaturalGradient optimizer(w.batch.parameters);
        optimizer.accumulate(w.scores);
        optimizer.discard();
        optimizer.step();
      }));
  calls.push_back(bad<ArgumentError>(
      "a part with a KL of empirical rows", "accumulate: KlTrustRegion needs",
      [](W& w) { optimizer_with(w, {.step = KlTrustRegion{}}).accumulate(w.scores); }));
  expect_errors(calls);
}

TEST(contracts, directions_and_plans) {
  expect_errors({
      bad<ShapeError>("direction of another size", "direction is 16 x 1, expected 17 x 1",
                      [](W& w) { w.optimizer.direction(w.scores, w.floats(16)); }),
      bad<ShapeError>("direction with gaps", "direction is 17 x 1 float32 on cpu with leading",
                      [](W& w) { w.optimizer.direction(w.scores, w.padded.view()); }),
      bad<TypeError>("direction of another type", "direction is float64, expected float32",
                     [](W& w) { w.optimizer.direction(w.scores, w.float64s(17)); }),
      bad<DeviceError>("direction elsewhere", "direction is 17 x 1 float32 on cuda",
                       [](W& w) { w.optimizer.direction(w.scores, W::elsewhere(17)); }),
      bad<ArgumentError>("no direction", "direction is missing",
                         [](W& w) { w.optimizer.direction(w.scores, View()); }),
      bad<ArgumentError>("direction over the parameters", "overlaps segment 0",
                         [](W& w) {
                           float* theta = w.batch.theta[0].view().as<float>();
                           w.optimizer.direction(w.scores, View(theta, {17, 1}));
                         }),
      bad<ArgumentError>("direction of a part", "direction: the scores hold 4 of 6 samples",
                         [](W& w) { w.optimizer.direction(w.part(0, 4), w.direction.view()); }),
      bad<ArgumentError>(
          "direction of foreign rows", "direction: the scores are of other parameters",
          [](W& w) { w.optimizer.direction(w.foreign.scores(), w.direction.view()); }),
      bad<TypeError>("direction of a gradient of another type", "direction: gradient is float64",
                     [](W& w) {
                       w.optimizer.direction(
                           {.fisher = w.scores, .gradient = Gradient{w.float64s(17)}},
                           w.direction.view());
                     }),
      bad<MemoryError>(
          "direction beyond the budget", "optimizer: .memory_budget = 1 (1 bytes)",
          [](W& w) {
            optimizer_with(w, {.memory_budget = 1}).direction(w.scores, w.direction.view());
          }),
      bad<ArgumentError>("report of no direction", "no direction was computed yet",
                         [](W& w) { optimizer_with(w, {}).direction_report(); }),
      bad<OptionError>("plan of nothing", "plan: .samples = 0, must be > 0",
                       [](W& w) { w.optimizer.plan(ScoresShape{}); }),
      bad<OptionError>(
          "plan of a part larger than the whole", "plan: .batch_samples = 5, must be 0",
          [](W& w) { w.optimizer.plan(ScoresShape{.samples = 6, .batch_samples = 5}); }),
      bad<OptionError>("plan of negative inputs", "a layer's .inputs = -1, must be >= 0",
                       [](W& w) {
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{-1, 2}}});
                       }),
      bad<OptionError>("plan of no outputs", "a layer's .outputs = 0, must be > 0",
                       [](W& w) {
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{3, 0}}});
                       }),
      bad<OptionError>("plan of no terms", "a layer's .terms = 0, must be > 0",
                       [](W& w) {
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{3, 2, 0}}});
                       }),
      bad<OptionError>("plan of rows that are not there", "a layer's .rows = 7, must be 0 to",
                       [](W& w) {
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{3, 2, 1, 7}}});
                       }),
      bad<OptionError>("plan of rows an input that do not divide",
                       "a layer's .rows_per_input = 4, must be > 0 and divide its rows",
                       [](W& w) {
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{3, 2, 1, 0, 4}}});
                       }),
      bad<MemoryError>("plan of uncountable terms", "is more bytes than an address can count",
                       [](W& w) {
                         const std::int64_t most = std::int64_t{1} << 62;
                         w.optimizer.plan(ScoresShape{.samples = 6, .layers = {{3, 2, most}}});
                       }),
      bad<MemoryError>(
          "plan of uncountable rows", "rows are more bytes than an address can count",
          [](W& w) { w.optimizer.plan(ScoresShape{.samples = std::int64_t{1} << 39}); }),
      bad<MemoryError>("plan of an uncountable gram", "more bytes than an address can count",
                       [](W& w) {
                         optimizer_with(w, {.form = Form::dual})
                             .plan(ScoresShape{.samples = std::int64_t{1} << 36});
                       }),
      bad<MemoryError>("plan of sums that are uncountable", "more bytes than an address can count",
                       [](W& w) {
                         NaturalGradient(w.batch.parameters, {.form = Form::dual})
                             .plan(ScoresShape{.samples = 1,
                                               .batch_samples = 1000000000,
                                               .layers = {{1, 1, 400000000}}});
                       }),
      bad<ArgumentError>("plan of foreign rows", "plan: the scores are of other parameters",
                         [](W& w) { w.optimizer.plan(Batch{.fisher = w.foreign.scores()}); }),
      bad<ArgumentError>(
          "plan of no rows", "plan: the scores have no rows",
          [](W& w) { w.optimizer.plan(Batch{.fisher = LayerScores(w.batch.parameters)}); }),
      bad<OptionError>("reserve of no plan", "plan: .samples = 0",
                       [](W& w) { w.optimizer.reserve({}); }),
      bad<MemoryError>("reserve beyond the budget", "is less than the plan of a batch of 9 rows",
                       [](W& w) {
                         optimizer_with(w, {.memory_budget = 1})
                             .reserve(w.optimizer.plan(ScoresShape{.samples = 9}));
                       }),
      bad<ArgumentError>("plan of parameters that have grown", "grown from 3 to 5",
                         [](W& w) {
                           Parameters parameters(Context::cpu());
                           Tensor<float> theta(Numbers(5, 0.0));
                           parameters.add(theta.view().row_range(0, 3));
                           NaturalGradient optimizer(parameters);
                           DenseScores scores(parameters);
                           scores.begin(w.floats(2, 3));
                           optimizer.step(scores);
                           parameters.add(theta.view().row_range(3, 2));
                           optimizer.plan(ScoresShape{.samples = 2});
                         }),
  });
}

}  // namespace

}  // namespace natgrad::tests
