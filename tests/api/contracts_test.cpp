#include "models/head.hpp"
#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

// Every way to break a contract of the public interface: one clear error each, nothing changed.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using W = Workplace;

TEST(contracts, views_and_contexts) {
  expect_errors({
      bad<ArgumentError>("null data", "2 x 3 float32 on cpu is null",
                         [](W&) {
                           ConstView(static_cast<float*>(nullptr), {2, 3});
                         }),
      bad<ArgumentError>("misaligned data", "2 x 3 float32 on cpu is not aligned",
                         [](W& w) {
                           const auto* bytes =
                               reinterpret_cast<const std::byte*>(w.wide.view().as<float>());
                           ConstView(bytes + 1, ElementType::float32, {2, 3});
                         }),
      bad<ShapeError>("negative rows", "-2 x 3 is negative",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {-2, 3});
                      }),
      bad<ShapeError>("leading dimension", "leading dimension 2 < 3 columns",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {2, 3}, {.leading_dimension = 2});
                      }),
      bad<ShapeError>("negative leading dimension", "leading dimension -5 < 3",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {2, 3}, {.leading_dimension = -5});
                      }),
      bad<ShapeError>("more than can be addressed", "more bytes than an address can count",
                      [](W& w) {
                        constexpr std::int64_t many = std::int64_t{1} << 32;
                        ConstView(w.wide.view().as<float>(), {many, many});
                      }),
      bad<ShapeError>("a row of more bytes than can be counted, where there is none",
                      "more bytes than an address can count",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        ConstView(w.wide.view().as<float>(), {0, 3}, {.leading_dimension = many});
                      }),
      bad<ShapeError>("rows beyond all counting", "9223372036854775807 rows from row 2 on",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        w.dense_rows.view().row_range(2, many);
                      }),
      bad<ShapeError>("from a row beyond all counting", "0 rows from row 9223372036854775807 on",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        w.dense_rows.view().row_range(many, 0);
                      }),
      bad<TypeError>("elements of an unknown type", "77 is no element type",
                     [](W& w) {
                       View(static_cast<void*>(w.wide.view().as<float>()),
                            static_cast<ElementType>(77), {2, 3});
                     }),
      bad<TypeError>("an array of an unknown type", "3 is no element type",
                     [](W& w) {
                       w.batch.parameters.context().array({2, 3}, static_cast<ElementType>(3));
                     }),
      bad<ShapeError>("rows outside", "3 rows from row 5 on of 6 x 17",
                      [](W& w) { w.dense_rows.view().row_range(5, 3); }),
      bad<ShapeError>("negative rows outside", "3 rows from row -1 on",
                      [](W& w) { w.dense_rows.view().row_range(-1, 3); }),
      bad<TypeError>("read as another type", "read as float64",
                     [](W& w) { w.dense_rows.view().as<double>(); }),
      bad<ShapeError>("an array of negative size", "negative",
                      [](W& w) {
                        w.batch.parameters.context().array({-1, 2}, ElementType::float32);
                      }),
      bad<MemoryError>("no memory", "no memory for 2 x 3 float64 on cpu, 48 bytes",
                       [](W&) {
                         const Allocator none{
                             .allocate = [](std::size_t, void*) { return nullptr; },
                             .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<MemoryError>("an allocator that throws", "48 bytes: the allocator threw std::bad_alloc",
                       [](W&) {
                         const Allocator none{.allocate = [](std::size_t, void*) -> void* {
                                                throw std::bad_alloc();
                                              },
                                              .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<MemoryError>("an allocator that throws anything", "48 bytes: the allocator threw",
                       [](W&) {
                         const Allocator none{
                             .allocate = [](std::size_t, void*) -> void* { throw 7; },
                             .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<OptionError>("half an allocator", "both allocate and deallocate",
                       [](W&) {
                         Context::cpu(
                             {.allocator = {.allocate = {},
                                            .deallocate = [](void*, std::size_t, void*) {}}});
                       }),
      bad<ArgumentError>("write without an array", "array is missing",
                         [](W& w) {
                           const float value = 1;
                           w.batch.parameters.context().write(&value, View());
                         }),
      bad<ArgumentError>("write from null", "host memory is null",
                         [](W& w) { w.batch.parameters.context().write(nullptr, w.floats(3)); }),
      bad<ShapeError>("read with gaps", "leading dimension 3, but must be contiguous",
                      [](W& w) {
                        float values[17];
                        w.batch.parameters.context().read(w.padded.view(), values);
                      }),
      bad<DeviceError>("read from elsewhere", "on cuda 0, but the context is on cpu",
                       [](W& w) {
                         float value = 0;
                         w.batch.parameters.context().read(W::elsewhere(1), &value);
                       }),
  });
}

TEST(contracts, a_device_that_is_not_there) {
  if (Context::best().device().kind == DeviceKind::cuda) GTEST_SKIP() << "there is a CUDA device";
  expect_errors({
      bad<DeviceError>("no CUDA device", "context: ", [](W&) { Context::cuda(); }),
  });
}

TEST(contracts, parameters) {
  expect_errors({
      bad<ArgumentError>("no tensor", "theta is missing",
                         [](W& w) { w.batch.parameters.add(View(), "theta"); }),
      bad<ArgumentError>("no elements", "theta is 0 x 3: it has no elements",
                         [](W& w) { w.batch.parameters.add(w.floats(0, 3), "theta"); }),
      bad<TypeError>("integers", "theta is int32",
                     [](W& w) { w.batch.parameters.add(w.labels(3), "theta"); }),
      bad<TypeError>("another type", "segment 4 is float64, expected float32",
                     [](W& w) { w.batch.parameters.add(w.float64s(3)); }),
      bad<ArgumentError>(
          "the same memory again", "overlaps segment 0",
          [](W& w) { w.batch.parameters.add(w.batch.theta[0].view().row_range(1, 1)); }),
      bad<DeviceError>("elsewhere", "theta is 3 x 1 float32 on cuda",
                       [](W& w) { w.batch.parameters.add(W::elsewhere(3), "theta"); }),
      bad<ArgumentError>("unknown segment", "segment 4 of 4 does not exist",
                         [](W& w) { w.batch.parameters.tensor({4}); }),
      bad<ArgumentError>("no segment", "segment -1 of 4",
                         [](W& w) { w.batch.parameters.offset({}); }),
      bad<ArgumentError>("no segment's name", "segment -1 of 4",
                         [](W& w) { w.batch.parameters.name({}); }),
      bad<ShapeError>("part of too much", "part: array is 40 x 1, expected 17 x 1",
                      [](W& w) { w.batch.parameters.part({0}, w.floats(40)); }),
      bad<ShapeError>("part with gaps", "must be contiguous",
                      [](W& w) { w.batch.parameters.part({0}, w.padded.view()); }),
      bad<TypeError>("gather into another type", "gather: array is float64, expected float32",
                     [](W& w) { w.batch.parameters.gather(w.float64s(17)); }),
      bad<ShapeError>("scatter too little", "scatter: array is 16 x 1, expected 17 x 1",
                      [](W& w) { w.batch.parameters.scatter(w.floats(16)); }),
      bad<ArgumentError>("scatter nothing", "scatter: array is missing",
                         [](W& w) { w.batch.parameters.scatter(View()); }),
  });
}

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

FisherMatrix fisher_with(const Workplace& w, const FisherMatrix::Options& options) {
  return FisherMatrix(w.batch.parameters, options);
}

TEST(contracts, fisher_matrices) {
  expect_errors({
      bad<OptionError>("negative damping", ".damping.absolute = -1, must be finite and >= 0",
                       [](W& w) { fisher_with(w, {.damping = {.absolute = -1}}); }),
      bad<OptionError>("no damping at all", ".damping.relative = nan",
                       [](W& w) { fisher_with(w, {.damping = {.relative = nan}}); }),
      bad<OptionError>("negative samples", ".samples = -1",
                       [](W& w) { fisher_with(w, {.samples = -1}); }),
      bad<OptionError>("a second wrong option", "; .tile_rows = 0, must be > 0",
                       [](W& w) { fisher_with(w, {.samples = -1, .tile_rows = 0}); }),
      bad<ArgumentError>("no parameters", "the parameters are empty",
                         [](W&) { FisherMatrix(Parameters(Context::cpu())); }),
      bad<OptionError>("infinite damping", ".damping.absolute = inf",
                       [](W& w) { w.dual.set_damping({.absolute = inf}); }),
      bad<ArgumentError>("foreign scores", "of other parameters",
                         [](W& w) { w.primal.accumulate(w.foreign.scores()); }),
      bad<ArgumentError>("scores without rows", "the scores have no rows",
                         [](W& w) { w.primal.accumulate(LayerScores(w.batch.parameters)); }),
      bad<ShapeError>("too many rows", "6 rows kept and 6 more are beyond .samples = 10",
                      [](W& w) { w.dual.accumulate(w.scores); }),
      bad<ShapeError>(
          "too many rows at once", "6 rows are beyond .samples = 5",
          [](W& w) { fisher_with(w, {.form = Form::dual, .samples = 5}).accumulate(w.scores); }),
      bad<ArgumentError>(
          "solve without rows", "solve: no rows were accumulated",
          [](W& w) { fisher_with(w, {}).solve(Coefficients{}, w.direction.view()); }),
      bad<ShapeError>("direction of another size", "solve: direction is 40 x 1, expected 17 x 1",
                      [](W& w) { w.dual.solve(Coefficients{}, w.floats(40)); }),
      bad<TypeError>("direction of another type", "direction is float64, expected float32",
                     [](W& w) { w.primal.solve(Coefficients{}, w.float64s(17)); }),
      bad<ShapeError>("coefficients of another size", "coefficients is 5 x 1, expected 6 x 1",
                      [](W& w) { w.dual.solve(Coefficients{w.floats(5)}, w.direction.view()); }),
      bad<ArgumentError>(
          "coefficients in the primal form", "the primal form keeps no rows",
          [](W& w) { w.primal.solve(Coefficients{w.floats(6)}, w.direction.view()); }),
      bad<ArgumentError>("gradient in the dual form without damping", "needs damping > 0",
                         [](W& w) {
                           FisherMatrix fisher(w.batch.parameters,
                                               {.form = Form::dual, .damping = {.absolute = 0}});
                           fisher.accumulate(w.scores);
                           fisher.solve(Gradient{w.floats(17)}, w.direction.view());
                         }),
      bad<ShapeError>("gradient of another size", "solve: gradient is 16 x 1",
                      [](W& w) { w.primal.solve(Gradient{w.floats(16)}, w.direction.view()); }),
      bad<ArgumentError>("no gradient", "solve: gradient is missing",
                         [](W& w) { w.primal.solve(Gradient{}, w.direction.view()); }),
      bad<OptionError>("gradient times nan", "scale = nan",
                       [](W& w) {
                         w.primal.solve(Gradient{.view = w.floats(17), .scale = nan},
                                        w.direction.view());
                       }),
      bad<ArgumentError>("apply in place", "product (17 x 1 float32 on cpu) overlaps v",
                         [](W& w) { w.dual.apply(w.direction.view(), w.direction.view()); }),
      bad<ShapeError>("apply to too much", "apply: v is 40 x 1",
                      [](W& w) { w.dual.apply(w.floats(40), w.direction.view()); }),
      bad<DeviceError>("a form of what is elsewhere", "v is 17 x 1 float32 on cuda",
                       [](W& w) { w.primal.quadratic_form(W::elsewhere(17)); }),
      bad<ShapeError>("diagonal of another size", "diagonal is 3 x 1",
                      [](W& w) { w.dual.diagonal(w.floats(3)); }),
      bad<ShapeError>("dense of another shape", "matrix is 2 x 17, expected 17 x 17",
                      [](W& w) { w.primal.to_dense(w.floats(2, 17)); }),
      bad<TypeError>("dense integers", "matrix is int32",
                     [](W& w) {
                       std::vector<std::int32_t> matrix(17 * 17);
                       w.dual.to_dense(View(matrix.data(), {17, 17}));
                     }),
      bad<ArgumentError>("trace of nothing", "trace: no rows",
                         [](W& w) { fisher_with(w, {}).trace(); }),
      bad<ArgumentError>("report of nothing", "nothing was solved yet",
                         [](W& w) { fisher_with(w, {}).report(); }),
      bad<ArgumentError>("parameters that have grown", "grown from 3 to 5",
                         [](W& w) {
                           Parameters parameters(Context::cpu());
                           Tensor<float> theta(Numbers(5, 0.0));
                           parameters.add(theta.view().row_range(0, 3));
                           DenseScores scores(parameters);
                           scores.begin(w.floats(2, 3));
                           FisherMatrix fisher(parameters);
                           fisher.accumulate(scores);
                           parameters.add(theta.view().row_range(3, 2));
                           Tensor<float> direction(Numbers(5, 0.0));
                           fisher.solve(Coefficients{}, direction.view());
                         }),
  });
}

NaturalGradient optimizer_with(const Workplace& w, const NaturalGradient::Options& options) {
  return NaturalGradient(w.batch.parameters, options);
}

LayerScores centred(const Workplace& w, Centering centering, const View& coefficients = {}) {
  return w.batch.scores({.coefficients = coefficients, .centering = centering});
}

/// Maximum likelihood has no centred gradient, and `fisher_only` goes with nothing else.
TEST(contracts, centring) {
  constexpr const char* zero = "centred rows of maximum likelihood (no .coefficients)";
  constexpr const char* alone = "goes with maximum likelihood";
  expect_errors({
      bad<ArgumentError>("centred maximum likelihood", zero,
                         [](W& w) { w.optimizer.step(centred(w, Centering::rows)); }),
      bad<ArgumentError>("a part of it", zero,
                         [](W& w) { w.optimizer.accumulate(centred(w, Centering::rows)); }),
      bad<ArgumentError>(
          "its direction", zero,
          [](W& w) { w.optimizer.direction(centred(w, Centering::rows), w.direction.view()); }),
      bad<ArgumentError>("its gradient", zero,
                         [](W& w) { centred(w, Centering::rows).gradient(w.direction.view()); }),
      bad<ArgumentError>("its solve", zero,
                         [](W& w) {
                           FisherMatrix fisher = fisher_with(w, {});
                           fisher.accumulate(centred(w, Centering::rows));
                           fisher.solve(Coefficients{}, w.direction.view());
                         }),
      bad<ArgumentError>("a centred part's gradient", "centred rows need the whole batch",
                         [](W& w) {
                           w.batch
                               .scores({.batch_samples = 9,
                                        .coefficients = w.floats(6),
                                        .centering = Centering::rows})
                               .gradient(w.direction.view());
                         }),
      bad<ArgumentError>(
          "sets centred differently", ".centering of the set differs",
          [](W& w) { w.primal.accumulate(centred(w, Centering::rows, w.floats(6))); }),
      bad<OptionError>("fisher_only with coefficients", alone,
                       [](W& w) { centred(w, Centering::fisher_only, w.floats(6)); }),
      bad<ArgumentError>("fisher_only with other coefficients", alone,
                         [](W& w) {
                           FisherMatrix fisher = fisher_with(w, {.form = Form::dual});
                           fisher.accumulate(centred(w, Centering::fisher_only));
                           fisher.solve(Coefficients{w.floats(6)}, w.direction.view());
                         }),
      bad<ArgumentError>("fisher_only with a gradient", alone,
                         [](W& w) {
                           FisherMatrix fisher = fisher_with(w, {});
                           fisher.accumulate(centred(w, Centering::fisher_only));
                           fisher.solve(Gradient{w.floats(17)}, w.direction.view());
                         }),
      bad<ArgumentError>("fisher_only with a step's gradient", "goes with the rows' own gradient",
                         [](W& w) {
                           const LayerScores scores = centred(w, Centering::fisher_only);
                           optimizer_with(w, {.momentum = NoMomentum{}})
                               .step({.fisher = scores, .gradient = Gradient{w.floats(17)}});
                         }),
      bad<ArgumentError>("fisher_only with other rows", "goes with the rows' own gradient",
                         [](W& w) {
                           const LayerScores scores = centred(w, Centering::fisher_only);
                           optimizer_with(w, {.momentum = NoMomentum{}})
                               .step({.fisher = scores, .gradient = w.scores});
                         }),
      bad<ArgumentError>(
          "fisher_only with SPRING", "neither SPRING nor .l2",
          [](W& w) {
            optimizer_with(w, {.momentum = Spring{0.5}}).step(centred(w, Centering::fisher_only));
          }),
      bad<ArgumentError>("fisher_only with a penalty", "neither SPRING nor .l2",
                         [](W& w) {
                           optimizer_with(w, {.momentum = NoMomentum{}, .l2 = 0.1})
                               .step(centred(w, Centering::fisher_only));
                         }),
      bad<ArgumentError>("centred rows of a gradient", "the rows of .gradient are not centred",
                         [](W& w) {
                           const LayerScores rows = centred(w, Centering::rows, w.floats(6));
                           w.optimizer.step({.fisher = w.scores, .gradient = rows});
                         }),
  });
}

/// Rows of which c_n = 1 means nothing, in every call that would take S^T r for a gradient.
TEST(contracts, rows_without_a_gradient) {
  struct Kind {
    FisherKind kind;
    const char* text;
  };
  std::vector<BadCall> calls;
  for (const Kind& k : {Kind{FisherKind::sampled, "is no gradient of the data"},
                        Kind{FisherKind::exact, "F_out^(-1/2) times the score of the outputs"},
                        Kind{FisherKind::residual, ".coefficients = -residual_n"}}) {
    const auto refused = [&](const char* what, const auto& call) {
      calls.push_back(bad<ArgumentError>(what, k.text, [kind = k.kind, call](W& w) {
        call(w, w.batch.scores({}, {.kind = kind}));
      }));
    };
    refused("a step", [](W& w, const LayerScores& rows) { w.optimizer.step(rows); });
    refused("a part", [](W& w, const LayerScores& rows) { w.optimizer.accumulate(rows); });
    refused("a direction",
            [](W& w, const LayerScores& rows) { w.optimizer.direction(rows, w.direction.view()); });
    refused("a plan", [](W& w, const LayerScores& rows) { w.optimizer.plan({.fisher = rows}); });
    refused("a gradient", [](W& w, const LayerScores& rows) { rows.gradient(w.direction.view()); });
    refused("a check", [](W& w, const LayerScores& rows) { rows.check(w.floats(17)); });
    for (Form form : {Form::primal, Form::dual}) {
      refused("a solve", [form](W& w, const LayerScores& rows) {
        FisherMatrix fisher = fisher_with(w, {.form = form});
        fisher.accumulate(rows);
        fisher.solve(Gradient{w.floats(17)}, Tensor<float>(Numbers(17, 0.0)).view());
        fisher.solve(Coefficients{}, w.direction.view());
      });
    }
    calls.push_back(
        bad<OptionError>("centred for the Fisher alone",
                         "rows is no gradient of the data; centre them by", [kind = k.kind](W& w) {
                           w.batch.scores({.centering = Centering::fisher_only}, {.kind = kind});
                         }));
  }
  expect_errors(calls);
}

TEST(contracts, accuracy_options) {
  expect_errors({
      bad<OptionError>("negative refinement", ".refinement = -1, must be 0 to 1000",
                       [](W& w) { fisher_with(w, {.refinement = -1}); }),
      bad<OptionError>("an integer Gram", ".gram_type = int32",
                       [](W& w) { fisher_with(w, {.gram_type = ElementType::int32}); }),
      bad<OptionError>("an optimizer's negative refinement", ".refinement = -1",
                       [](W& w) { optimizer_with(w, {.refinement = -1}); }),
      bad<OptionError>("an optimizer's integer Gram", ".gram_type = int32",
                       [](W& w) { optimizer_with(w, {.gram_type = ElementType::int32}); }),
      bad<OptionError>("negative penalty", ".l2 = -1", [](W& w) { optimizer_with(w, {.l2 = -1}); }),
      bad<ArgumentError>("a gradient without damping", "needs damping > 0",
                         [](W& w) {
                           optimizer_with(w, {.damping = {.absolute = 0}})
                               .step({.fisher = w.scores, .gradient = Gradient{w.floats(17)}});
                         }),
      bad<ShapeError>(
          "a gradient of another size", "gradient is 16 x 1, expected 17 x 1",
          [](W& w) { w.optimizer.step({.fisher = w.scores, .gradient = Gradient{w.floats(16)}}); }),
      bad<OptionError>(
          "a gradient times nan", ".scale = nan",
          [](W& w) {
            w.optimizer.step({.fisher = w.scores, .gradient = Gradient{w.floats(17), nan}});
          }),
      bad<ArgumentError>(
          "a gradient of sampled rows", "is no gradient of the data",
          [](W& w) { w.optimizer.step(w.batch.scores({}, {.kind = FisherKind::sampled})); }),
  });
}

FullyConnected net_of(std::vector<std::int64_t> sizes, ElementType type = ElementType::float32) {
  return FullyConnected(Context::cpu(), {.sizes = std::move(sizes), .type = type});
}

TEST(contracts, models) {
  expect_errors({
      bad<OptionError>("one size", ".sizes has 1 entries", [](W&) { net_of({3}); }),
      bad<OptionError>("a layer without units", ".sizes has 0, must be > 0",
                       [](W&) {
                         net_of({3, 0, 2});
                       }),
      bad<OptionError>(
          "an activation that is none", ".activation = 99, must be",
          [](W&) {
            FullyConnected(Context::cpu(), {.sizes = {3, 2}, .activation = Activation{99}});
          }),
      bad<OptionError>("a type that is none", ".type = unknown, must be",
                       [](W&) {
                         net_of({3, 2}, ElementType{77});
                       }),
      bad<OptionError>("a likelihood that is none", "likelihood = 99, must be",
                       [](W&) {
                         Head(Context::cpu(), {.likelihood = Likelihood{99},
                                               .outputs = 3,
                                               .type = ElementType::float32,
                                               .key = 0});
                       }),
      bad<MemoryError>("a net beyond counting", ".sizes, samples and draws make more bytes",
                       [](W&) {
                         net_of({std::int64_t{1} << 40, std::int64_t{1} << 40});
                       }),
      bad<MemoryError>("a net beyond memory", "weights of .sizes are 4611686018427387908 bytes",
                       [](W&) {
                         net_of({std::int64_t{1} << 60, 1});
                       }),
      bad<OptionError>("an integer net", ".type = int32",
                       [](W&) {
                         net_of({3, 2}, ElementType::int32);
                       }),
      bad<ArgumentError>("no inputs", "inputs is missing", [](W& w) { w.net.forward(View()); }),
      bad<ShapeError>("inputs without rows", "no rows",
                      [](W& w) { w.net.forward(w.floats(0, 3)); }),
      bad<ShapeError>("narrow inputs", "inputs is 6 x 2, expected 6 x 3",
                      [](W& w) { w.net.forward(w.floats(6, 2)); }),
      bad<TypeError>("inputs of another type", "inputs is float64, expected float32",
                     [](W& w) { w.net.forward(w.float64s(6, 3)); }),
      bad<DeviceError>("inputs elsewhere", "inputs is 6 x 3 float32 on cuda",
                       [](W& w) { w.net.forward(W::elsewhere(6, 3)); }),
      bad<ArgumentError>("outputs too early", "outputs: call forward first",
                         [](W&) {
                           net_of({3, 2}).outputs();
                         }),
      bad<ArgumentError>("backward too early", "backward: call forward first",
                         [](W& w) {
                           net_of({3, 2}).backward(w.labels(6));
                         }),
      bad<ArgumentError>("evaluate too early", "evaluate: call forward first",
                         [](W& w) {
                           net_of({3, 2}).evaluate(w.labels(6));
                         }),
      bad<ShapeError>("too few labels", "labels is 5 x 1, expected 6 x 1",
                      [](W& w) { w.net.backward(w.labels(5)); }),
      bad<TypeError>("labels that are no integers", "labels is float32, expected int32",
                     [](W& w) { w.net.evaluate(w.floats(6)); }),
      bad<ArgumentError>("log likelihood too early", "log_likelihood: call forward first",
                         [](W& w) {
                           net_of({3, 2}).log_likelihood(w.labels(6), w.float64s(6));
                         }),
      bad<ShapeError>("log likelihood of fewer labels", "log_likelihood: labels is 5 x 1",
                      [](W& w) { w.net.log_likelihood(w.labels(5), w.float64s(6)); }),
      bad<ShapeError>("log likelihood of fewer rows", "log_p is 5 x 1, expected 6 x 1",
                      [](W& w) { w.net.log_likelihood(w.labels(6), w.float64s(5)); }),
      bad<TypeError>("log likelihood in float", "log_p is float32, expected float64",
                     [](W& w) { w.net.log_likelihood(w.labels(6), w.floats(6)); }),
      bad<DeviceError>("log likelihood elsewhere", "log_p is 6 x 1 float32 on cuda",
                       [](W& w) { w.net.log_likelihood(w.labels(6), W::elsewhere(6)); }),
      bad<ArgumentError>(
          "log likelihood over a weight", "overlaps a weight",
          [](W& w) {
            void* weight = w.net.parameters().tensor({0}).data();
            w.net.log_likelihood(w.labels(6), {weight, ElementType::float64, {6, 1}});
          }),
      bad<ShapeError>("gradient of another size", "gradient is 3 x 1",
                      [](W& w) { w.net.gradient(w.floats(3)); }),
      bad<ArgumentError>("gradient too early", "call forward and backward first",
                         [](W& w) {
                           net_of({3, 2}).gradient(w.floats(8));
                         }),
      bad<ArgumentError>("scores too early", "call forward and backward first",
                         [](W& w) {
                           net_of({3, 2}).add_to(w.net_scores, {.samples = 6});
                         }),
      bad<ShapeError>("a set of another size", "5 samples, the last forward 6 rows",
                      [](W& w) { w.net.add_to(w.net_scores, {.samples = 5}); }),
      bad<ArgumentError>("a gradient over a weight", "overlaps a weight",
                         [](W& w) {
                           const Parameters& parameters = w.net.parameters();
                           w.net.gradient({parameters.tensor({0}).data(),
                                           parameters.type(),
                                           {parameters.size(), 1}});
                         }),
      bad<ArgumentError>("scores of other parameters", "other parameters",
                         [](W& w) { w.net.add_to(w.scores, {.samples = 6}); }),
  });
}

TEST(contracts, labels_drawn_from_a_model) {
  constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t beyond = (std::int64_t{1} << 53) + 1;
  const auto sampled = [](const Parameters& parameters) {
    return LayerScores(parameters, {.kind = FisherKind::sampled});
  };
  expect_errors({
      bad<ArgumentError>("sample too early", "sample: call forward first",
                         [](W&) {
                           net_of({3, 2}).sample();
                         }),
      bad<ArgumentError>("labels before they are drawn",
                         "sampled_labels: call forward and sample first",
                         [](W& w) { w.net.sampled_labels(); }),
      bad<ArgumentError>("sampled scores too early",
                         "add_sampled_to: call forward and sample first",
                         [&](W& w) {
                           LayerScores scores = sampled(w.net.parameters());
                           w.net.add_sampled_to(scores, {.samples = 6});
                         }),
      bad<OptionError>("no draws", "sample: draws = 0, must be > 0", [](W& w) { w.net.sample(0); }),
      bad<OptionError>("negative draws", "sample: draws = -2, must be > 0",
                       [](W& w) { w.net.sample(-2); }),
      bad<OptionError>("draws beyond counting", "6 times it be counted in 64 bits",
                       [](W& w) { w.net.sample(many); }),
      bad<MemoryError>("draws beyond bytes", "draws make more bytes than an address can count",
                       [](W& w) { w.net.sample(many / 6); }),
      bad<ArgumentError>("scores of another kind",
                         "add_sampled_to: the scores are empirical, must be of FisherKind::sampled",
                         [](W& w) {
                           w.net.sample();
                           w.net.add_sampled_to(w.net_scores, {.samples = 6});
                         }),
      bad<ArgumentError>("sampled scores of other parameters",
                         "add_sampled_to: the scores are of other parameters",
                         [&](W& w) {
                           w.net.sample();
                           LayerScores scores = sampled(w.batch.parameters);
                           w.net.add_sampled_to(scores, {.samples = 6});
                         }),
      bad<ShapeError>("samples without their draws",
                      "the set has 6 samples, the last forward 6 rows of 2 draws",
                      [&](W& w) {
                        w.net.sample(2);
                        LayerScores scores = sampled(w.net.parameters());
                        w.net.add_sampled_to(scores, {.samples = 6});
                      }),
      bad<ArgumentError>("labels drawn of the forward before",
                         "sampled_labels: call forward and sample first",
                         [](W& w) {
                           FullyConnected net = net_of({3, 2});
                           net.forward(w.floats(6, 3));
                           net.sample();
                           net.forward(w.floats(6, 3));
                           net.sampled_labels();
                         }),
      bad<OptionError>("a negative counter", "set_draw_counter: -1, must be >= 0 and <= 2^53",
                       [](W& w) { w.net.set_draw_counter(-1); }),
      bad<OptionError>("a counter that double cannot count",
                       "set_draw_counter: 9007199254740993, must be",
                       [](W& w) { w.net.set_draw_counter(beyond); }),
      bad<OptionError>("bytes of negative samples", "bytes of -1 samples and 0 draws, must be >= 0",
                       [](W& w) { FullyConnected::bytes(w.net.options(), -1); }),
      bad<OptionError>("bytes of negative draws", "bytes of 6 samples and -1 draws",
                       [](W& w) { FullyConnected::bytes(w.net.options(), 6, -1); }),
      bad<OptionError>("bytes of no net", ".sizes has 0 entries",
                       [](W&) { FullyConnected::bytes({}, 6); }),
      bad<MemoryError>("bytes of too many samples", "more bytes than an address can count",
                       [](W& w) { FullyConnected::bytes(w.net.options(), many); }),
      bad<MemoryError>("bytes of too many draws", "more bytes than an address can count",
                       [](W& w) { FullyConnected::bytes(w.net.options(), 6, many); }),
  });
}

}  // namespace

}  // namespace natgrad::tests
