#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>

// Every way to break a contract of the public interface: one clear error each, nothing changed.
// Here: rows and their checks.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using W = Workplace;

TEST(contracts, sets_of_rows) {
  expect_errors({
      bad<OptionError>("no samples", ".samples = 0, must be > 0", [](W& w) { w.scores.begin({}); }),
      bad<OptionError>("negative samples", ".samples = -3",
                       [](W& w) { w.scores.begin({.samples = -3}); }),
      bad<OptionError>("a part larger than the whole", ".batch_samples = 5 < .samples = 6",
                       [](W& w) { w.scores.begin({.samples = 6, .batch_samples = 5}); }),
      bad<OptionError>("scale 0", ".scale = 0",
                       [](W& w) { w.scores.begin({.samples = 6, .scale = 0}); }),
      bad<OptionError>("scale nan", ".scale = nan",
                       [](W& w) { w.scores.begin({.samples = 6, .scale = nan}); }),
      bad<OptionError>(
          "no centring of these", ".centering = 77, must be one of its 3 enumerators",
          [](W& w) { w.scores.begin({.samples = 6, .centering = static_cast<Centering>(77)}); }),
      bad<OptionError>("dense rows centred in no way of these", ".centering = 3, must be one of",
                       [](W& w) {
                         w.dense.begin(w.dense_rows.view(),
                                       {.centering = static_cast<Centering>(3)});
                       }),
      bad<OptionError>(
          "rows of an unknown kind", "scores: .kind = 103, must be one of its 4",
          [](W& w) { DenseScores(w.batch.parameters, {.kind = static_cast<FisherKind>(103)}); }),
      bad<OptionError>(
          "layers of an unknown kind", "scores: .kind = 4, must be one of its 4",
          [](W& w) { LayerScores(w.batch.parameters, {.kind = static_cast<FisherKind>(4)}); }),
      bad<ShapeError>("too few weights", ".weights is 5 x 1, expected 6 x 1",
                      [](W& w) { w.scores.begin({.samples = 6, .weights = w.floats(5)}); }),
      bad<TypeError>("integer weights", ".weights is int32, expected float32",
                     [](W& w) { w.scores.begin({.samples = 6, .weights = w.labels(6)}); }),
      bad<DeviceError>("weights elsewhere", ".weights is 6 x 1 float32 on cuda",
                       [](W& w) { w.scores.begin({.samples = 6, .weights = W::elsewhere(6)}); }),
      bad<ShapeError>("too few coefficients", ".coefficients is 5 x 1, expected 6 x 1",
                      [](W& w) { w.scores.begin({.samples = 6, .coefficients = w.floats(5)}); }),
      bad<ShapeError>("coefficients in a row", ".coefficients is 1 x 6, expected 6 x 1",
                      [](W& w) { w.scores.begin({.samples = 6, .coefficients = w.floats(1, 6)}); }),
      bad<TypeError>("integer coefficients", ".coefficients is int32",
                     [](W& w) { w.scores.begin({.samples = 6, .coefficients = w.labels(6)}); }),
      bad<ArgumentError>("dense rows missing", "rows is missing",
                         [](W& w) { w.dense.begin(ConstView()); }),
      bad<ShapeError>("dense strides beyond the BLAS", "beyond the BLAS's 32-bit interface",
                      [](W& w) {
                        w.dense.begin({w.wide.view().as<float>(),
                                       {2, 17},
                                       {.leading_dimension = std::int64_t{1} << 31}});
                      }),
      bad<OptionError>("no dense rows", ".samples = 0",
                       [](W& w) { w.dense.begin(w.floats(0, 17)); }),
      bad<ShapeError>("dense rows too short", "rows is 2 x 16, expected 2 x 17",
                      [](W& w) { w.dense.begin(w.floats(2, 16)); }),
      bad<ShapeError>("fewer dense rows than samples", "rows is 6 x 17, expected 7 x 17",
                      [](W& w) { w.dense.begin(w.dense_rows.view(), {.samples = 7}); }),
      bad<TypeError>("dense rows of another type", "rows is float64, expected float32",
                     [](W& w) { w.dense.begin(w.float64s(2, 17)); }),
      bad<ShapeError>("dense rows with bad weights", ".weights is 5 x 1",
                      [](W& w) { w.dense.begin(w.dense_rows.view(), {.weights = w.floats(5)}); }),
      bad<DeviceError>("dense rows elsewhere", "rows is 6 x 17 float32 on cuda",
                       [](W& w) { w.dense.begin(W::elsewhere(6, 17)); }),
  });
}

/// Adds the first layer, changed, to a set that has begun.
template <class Change>
auto adding(const Change& change) {
  return [change](Workplace& w) {
    LayerScores scores = w.begun();
    LayerScores::Layer layer = w.layer();
    change(w, layer);
    scores.add(layer);
  };
}

using L = LayerScores::Layer;

TEST(contracts, layers) {
  expect_errors({
      bad<ArgumentError>("before begin", "no set was begun",
                         [](W& w) { LayerScores(w.batch.parameters).add(w.layer()); }),
      bad<ArgumentError>("nothing named", "neither .weight nor .bias",
                         adding([](W&, L& l) { l.weight = l.bias = {}; })),
      bad<ArgumentError>("one segment twice", "one segment",
                         adding([](W&, L& l) { l.bias = l.weight; })),
      bad<ArgumentError>("a weight that is the bias of another use",
                         "is the .bias here and the .weight of another use",
                         [](W& w) {
                           LayerScores scores(w.batch.parameters);
                           scores.begin({.samples = 6});
                           const L l = w.layer();
                           scores.add(l);
                           scores.add({.bias = l.weight, .output_score = l.output_score});
                         }),
      bad<ArgumentError>("shared rows that overlap",
                         "segment 0 is used by rows 2 to 5 and by rows 0 to 6",
                         [](W& w) {
                           L l = w.layer();
                           l.rows = {.first = 2, .count = 3};
                           l.input = l.input.row_range(0, 3);
                           l.output_score = l.output_score.row_range(0, 3);
                           w.scores.add(l);
                         }),
      bad<ArgumentError>(
          "a shared bias that overlaps", "segment 1 is used by rows 0 to 3 and by rows 0 to 6",
          [](W& w) {
            w.scores.add(
                {.bias = w.layer().bias, .output_score = w.floats(3, 2), .rows = {.count = 3}});
          }),
      bad<ArgumentError>("unknown weight", "segment 7 of 4 does not exist",
                         adding([](W&, L& l) { l.weight = {7}; })),
      bad<ShapeError>("terms that were not announced",
                      ".input is 12 x 3, expected 6 x 3 for 6 rows",
                      adding([](W& w, L& l) { l.input = w.floats(12, 3); })),
      bad<ShapeError>("terms that are not there",
                      ".input is 6 x 3, expected 12 x 3 for 6 rows of 2 terms",
                      adding([](W&, L& l) { l.terms = 2; })),
      bad<ShapeError>("terms that do not divide the rows",
                      ".output_score is 13 x 2, expected 12 x 2", adding([](W& w, L& l) {
                        l.terms = 2;
                        l.input = w.floats(12, 3);
                        l.output_score = w.floats(13, 2);
                      })),
      bad<OptionError>("no terms", "segment 0: .terms = 0, must be > 0",
                       adding([](W&, L& l) { l.terms = 0; })),
      bad<OptionError>("negative terms", ".terms = -3", adding([](W&, L& l) { l.terms = -3; })),
      bad<OptionError>("a bias of unknown terms",
                       "segment 0: .bias_terms = 50, must be one of its 2 enumerators (0 to 1)",
                       adding([](W&, L& l) { l.bias_terms = static_cast<Bias>(50); })),
      bad<ShapeError>("terms beyond counting", "6 rows of 4611686018427387904 terms are too many",
                      adding([](W&, L& l) { l.terms = std::int64_t{1} << 62; })),
      bad<OptionError>("rows outside the set", ".rows = 3 from 4 is not a part of the set's 6 rows",
                       adding([](W&, L& l) { l.rows = {.first = 4, .count = 3}; })),
      bad<OptionError>("rows before the set", ".rows = 3 from -1",
                       adding([](W&, L& l) { l.rows = {.first = -1, .count = 3}; })),
      bad<OptionError>("rows after the set", ".rows = 0 from 6",
                       adding([](W&, L& l) { l.rows = {.first = 6}; })),
      bad<OptionError>("rows an input that do not divide",
                       ".rows_per_input = 4, must be > 0 and divide",
                       adding([](W&, L& l) { l.rows_per_input = 4; })),
      bad<OptionError>("no rows an input", ".rows_per_input = 0",
                       adding([](W&, L& l) { l.rows_per_input = 0; })),
      bad<ArgumentError>("rows an input without a weight",
                         ".rows_per_input is given without a .weight", adding([](W& w, L& l) {
                           l = {
                               .bias = l.bias, .output_score = w.floats(6, 2), .rows_per_input = 2};
                         })),
      bad<ShapeError>(
          "strides beyond the BLAS", "beyond the BLAS's 32-bit interface", adding([](W& w, L& l) {
            l.terms = 2;
            l.input = {
                w.wide.view().as<float>(), {12, 3}, {.leading_dimension = std::int64_t{1} << 31}};
          })),
      bad<ShapeError>("narrow input", "segment 0: .input is 6 x 2, expected 6 x 3",
                      adding([](W& w, L& l) { l.input = w.floats(6, 2); })),
      bad<ShapeError>("few output scores", ".output_score is 5 x 2, expected 6 x 2",
                      adding([](W& w, L& l) { l.output_score = w.floats(5, 2); })),
      bad<ArgumentError>("no output score", ".output_score is missing",
                         adding([](W&, L& l) { l.output_score = {}; })),
      bad<ArgumentError>("no input", ".input is missing", adding([](W&, L& l) { l.input = {}; })),
      bad<ArgumentError>("input without weight", ".input is given without a .weight",
                         adding([](W&, L& l) { l.weight = {}; })),
      bad<ShapeError>("another layer's bias", "bias segment 3 has 3 elements, its weight 2 outputs",
                      adding([](W&, L& l) { l.bias = {3}; })),
      bad<ShapeError>("a bias shorter than its weight",
                      "layer: bias segment 1 has 2 elements, its weight 3 outputs",
                      adding([](W& w, L& l) {
                        l = w.batch.layers[1];
                        l.bias = {1};
                      })),
      bad<TypeError>("input of another type", ".input is float64, expected float32",
                     adding([](W& w, L& l) { l.input = w.float64s(6, 3); })),
      bad<DeviceError>("output score elsewhere", ".output_score is 6 x 2 float32 on cuda",
                       adding([](W&, L& l) { l.output_score = W::elsewhere(6, 2); })),
      bad<ArgumentError>("a parameter that came after begin", "begin",
                         [](W& w) {
                           Parameters parameters(Context::cpu());
                           parameters.add(w.floats(2, 3));
                           LayerScores scores(parameters);
                           scores.begin({.samples = 6});
                           const Segment late = parameters.add(w.padded.view().row_range(0, 2));
                           scores.add({.bias = late, .output_score = w.floats(6, 2)});
                         }),
      bad<ArgumentError>("gradient without rows", "the scores have no rows",
                         [](W& w) { LayerScores(w.batch.parameters).gradient(w.floats(17)); }),
      bad<ArgumentError>("gradient without layers", "the set has no layers",
                         [](W& w) { w.begun().gradient(w.floats(17)); }),
      bad<ShapeError>("gradient of another size", "gradient is 16 x 1, expected 17 x 1",
                      [](W& w) { w.scores.gradient(w.floats(16)); }),
      bad<TypeError>("gradient of another type", "gradient is float64",
                     [](W& w) { w.scores.gradient(w.float64s(17)); }),
      bad<ArgumentError>("gradient over the rows", "overlaps",
                         [](W& w) {
                           w.dense.gradient(View(w.dense_rows.view().as<float>() + 20, {17, 1}));
                         }),
      bad<ShapeError>("check of another size", "check: gradient is 16 x 1",
                      [](W& w) { w.scores.check(w.floats(16)); }),
      bad<ShapeError>("check of too few views", "gradient has 1 views for 4 segments",
                      [](W& w) {
                        const ConstView one[] = {w.floats(2, 3)};
                        w.scores.check(one);
                      }),
      bad<ShapeError>(
          "check of misshapen views", "gradient of segment 1 is 3 x 1, expected 2 x 1",
          [](W& w) {
            const ConstView parts[] = {w.floats(2, 3), w.floats(3), w.floats(3, 2), w.floats(3)};
            w.scores.check(parts);
          }),
  });
}

/// A set of six rows, of which rows 2 and 3 have no layer.
LayerScores with_a_hole(Workplace& w) {
  LayerScores scores = w.begun();
  const Segment bias = w.layer().bias;
  scores.add({.bias = bias, .output_score = w.floats(2, 2), .rows = {.count = 2}});
  scores.add({.bias = bias, .output_score = w.floats(2, 2), .rows = {.first = 4}});
  return scores;
}

TEST(contracts, rows_that_no_layer_covers) {
  constexpr const char* text = "no layer of the set covers row 2 of 6";
  expect_errors({
      bad<ArgumentError>("their gradient", text,
                         [](W& w) { with_a_hole(w).gradient(w.direction.view()); }),
      bad<ArgumentError>("their check", text, [](W& w) { with_a_hole(w).check(w.floats(17)); }),
      bad<ArgumentError>("their step", text, [](W& w) { w.optimizer.step(with_a_hole(w)); }),
      bad<ArgumentError>("their direction", text,
                         [](W& w) { w.optimizer.direction(with_a_hole(w), w.direction.view()); }),
      bad<ArgumentError>("their part of a batch", text,
                         [](W& w) { w.optimizer.accumulate(with_a_hole(w)); }),
      bad<ArgumentError>("their matrix", text, [](W& w) { w.primal.accumulate(with_a_hole(w)); }),
      bad<ArgumentError>("their gradient for another Fisher matrix", text,
                         [](W& w) {
                           const LayerScores gradient = with_a_hole(w);
                           w.optimizer.step({.fisher = w.scores, .gradient = gradient});
                         }),
  });
}

LikelihoodCheck check_with(const Scores& scores, const LikelihoodCheck::Options& options) {
  return check_scores(
      scores, [](const View&) { ADD_FAILURE() << "called"; }, options);
}

TEST(contracts, score_checks) {
  expect_errors({
      bad<OptionError>("no directions", ".directions = 0, must be 1 to 1000",
                       [](W& w) { check_with(w.scores, {.directions = 0}); }),
      bad<OptionError>("negative step", ".step = -0.5, must be >= 0 and < 1",
                       [](W& w) { check_with(w.scores, {.step = -0.5}); }),
      bad<OptionError>("a step as long as the parameters", ".step = 1, must be",
                       [](W& w) { check_with(w.scores, {.step = 1}); }),
      bad<OptionError>("no step at all", ".step = nan",
                       [](W& w) { check_with(w.scores, {.step = nan}); }),
      bad<OptionError>("infinite tolerance", ".tolerance = inf",
                       [](W& w) { check_with(w.scores, {.tolerance = inf}); }),
      bad<OptionError>("all wrong options at once", "; .tolerance = -1",
                       [](W& w) { check_with(w.scores, {.directions = -1, .tolerance = -1}); }),
      bad<ArgumentError>("no function", "check_scores: log_likelihood is empty",
                         [](W& w) { check_scores(w.scores, LogLikelihood()); }),
      bad<ArgumentError>("no rows", "check_scores: the scores have no rows",
                         [](W& w) { check_with(LayerScores(w.batch.parameters), {}); }),
      bad<ArgumentError>("no layers", "check_scores: the set has no layers",
                         [](W& w) { check_with(w.begun(), {}); }),
      bad<MemoryError>("no memory", "no memory",
                       [](W& w) {
                         bool refuse = false;
                         const Allocator limited{
                             .allocate = [&](std::size_t bytes, void*) -> void* {
                               return refuse ? nullptr
                                             : std::aligned_alloc(64, (bytes + 63) & ~63UL);
                             },
                             .deallocate = [](void* p, std::size_t, void*) { std::free(p); }};
                         Tensor<float> theta(Numbers(17, 1.0));
                         Parameters parameters(Context::cpu({.allocator = limited}));
                         parameters.add(theta.view());
                         DenseScores scores(parameters);
                         scores.begin(w.dense_rows.view());
                         refuse = true;
                         check_with(scores, {});
                       }),
      bad<ArgumentError>("parameters that have grown", "grown from 3 to 5",
                         [](W& w) {
                           Parameters parameters(Context::cpu());
                           Tensor<float> theta(Numbers(5, 0.0));
                           parameters.add(theta.view().row_range(0, 3));
                           DenseScores scores(parameters);
                           scores.begin(w.floats(2, 3));
                           parameters.add(theta.view().row_range(3, 2));
                           check_with(scores, {});
                         }),
  });
}

}  // namespace

}  // namespace natgrad::tests
