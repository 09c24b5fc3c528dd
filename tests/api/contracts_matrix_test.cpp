#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

// Every way to break a contract of the public interface: one clear error each, nothing changed.
// Here: Fisher matrices, centring, accuracy.

namespace natgrad::tests {

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using W = Workplace;

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

TEST(contracts, statistics_of_a_fisher_matrix) {
  const auto empty = [](W& w) { return fisher_with(w, {}); };
  const auto discard = [](Outcome) {};
  expect_errors({
      bad<ArgumentError>("eigenvalues of nothing", "spectrum: no rows were accumulated",
                         [=](W& w) { empty(w).spectrum(); }),
      bad<ArgumentError>("inverse of nothing", "inverse diagonal: no rows were accumulated",
                         [=](W& w) { discard(empty(w).inverse_diagonal(w.direction.view())); }),
      bad<ArgumentError>("inverse in units", "inverse diagonal: is that of F + lambda I",
                         [=](W& w) {
                           FisherMatrix scaled(w.batch.parameters,
                                               {.damping = {.scaling = DampingScaling::tensor}});
                           scaled.accumulate(w.scores);
                           discard(scaled.inverse_diagonal(w.direction.view()));
                         }),
      bad<ArgumentError>("no diagonal", "inverse diagonal is missing",
                         [=](W& w) { discard(w.primal.inverse_diagonal({})); }),
      bad<ShapeError>("inverse of another size", "inverse diagonal is 16 x 1, expected 17 x 1",
                      [=](W& w) { discard(w.dual.inverse_diagonal(w.floats(16))); }),
      bad<TypeError>("inverse in integers", "inverse diagonal is int32, expected float32",
                     [=](W& w) { discard(w.dual.inverse_diagonal(w.labels(17))); }),
      bad<ShapeError>("inverse with a stride", "must be contiguous",
                      [=](W& w) { discard(w.dual.inverse_diagonal(w.padded.view())); }),
      bad<DeviceError>("inverse elsewhere", "17 x 1 float32 on cuda",
                       [=](W& w) { discard(w.dual.inverse_diagonal(W::elsewhere(17))); }),
      bad<ArgumentError>(
          "least norm of nothing", "least norm: no rows were accumulated",
          [=](W& w) { discard(empty(w).least_norm({w.floats(17)}, 0, w.direction.view())); }),
      bad<OptionError>(
          "negative tolerance", "least norm: tolerance = -1, must be >= 0",
          [=](W& w) { discard(w.dual.least_norm({w.floats(17)}, -1, w.direction.view())); }),
      bad<OptionError>(
          "tolerance that is no number", "least norm: tolerance = nan",
          [=](W& w) { discard(w.dual.least_norm({w.floats(17)}, nan, w.direction.view())); }),
      bad<OptionError>("least norm times nan", "least norm: gradient .scale = nan",
                       [=](W& w) {
                         discard(w.primal.least_norm({.view = w.floats(17), .scale = nan}, 0,
                                                     w.direction.view()));
                       }),
      bad<ShapeError>(
          "least norm of another size", "least norm: gradient is 3 x 1",
          [=](W& w) { discard(w.primal.least_norm({w.floats(3)}, 0, w.direction.view())); }),
      bad<TypeError>(
          "least norm of another type", "least norm: gradient is float64",
          [=](W& w) { discard(w.primal.least_norm({w.float64s(17)}, 0, w.direction.view())); }),
      bad<ArgumentError>("no direction of least norm", "least norm: direction is missing",
                         [=](W& w) { discard(w.primal.least_norm({w.floats(17)}, 0, {})); }),
      bad<ShapeError>("several directions of one gradient",
                      "solve: gradient is 17 x 1, expected 2 x 17",
                      [](W& w) { w.primal.solve(Gradient{w.floats(17)}, w.floats(2, 17)); }),
      bad<ShapeError>("one direction of several gradients",
                      "solve: direction is 17 x 1, expected 2 x 17",
                      [](W& w) { w.primal.solve(Gradient{w.floats(2, 17)}, w.direction.view()); }),
      bad<ShapeError>("directions and gradients of other numbers",
                      "solve: direction is 1 x 17, expected 2 x 17",
                      [](W& w) { w.primal.solve(Gradient{w.floats(2, 17)}, w.floats(1, 17)); }),
      bad<ShapeError>("no right-hand side", "solve: gradient is 0 x 17, expected 1 x 17",
                      [](W& w) { w.primal.solve(Gradient{w.floats(0, 17)}, w.floats(0, 17)); }),
      bad<TypeError>("several gradients of another type", "solve: gradient is float64",
                     [](W& w) { w.primal.solve(Gradient{w.float64s(2, 17)}, w.floats(2, 17)); }),
      bad<ArgumentError>(
          "gradients that overlap their directions", "overlaps gradient",
          [](W& w) {
            w.primal.solve(Gradient{w.floats(2, 17)}, View(w.wide.view().as<float>() + 6, {2, 17}));
          }),
  });
  const Spectrum spectrum{.size = 1, .eigenvalues = {1}};
  EXPECT_THROW(spectrum.rank(-1), OptionError);
  EXPECT_THROW(spectrum.rank(nan), OptionError);
  EXPECT_THROW(spectrum.condition(-1), OptionError);
  EXPECT_THROW(spectrum.condition(inf), OptionError);
  EXPECT_THROW(spectrum.log_determinant(nan), OptionError);
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

}  // namespace

}  // namespace natgrad::tests
