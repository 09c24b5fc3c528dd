#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cfenv>
#include <cstdint>
#include <string>
#include <vector>

// A program may trap divisions by zero, overflows and invalid operations: no accepted step raises
// one.

namespace natgrad::tests {

namespace {

class Traps {
 public:
  Traps() { std::feclearexcept(FE_ALL_EXCEPT); }
  /// What was raised since.
  static int raised() { return std::fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW); }
};

void expect_quiet(const std::string& what, const NaturalGradient::Options& options, FisherKind kind,
                  const RowSet& set, bool gradient) {
  SCOPED_TRACE(what);
  const LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 12});
  NaturalGradient optimizer(batch.parameters, options);
  std::vector<double> g(static_cast<std::size_t>(batch.parameters.size()), 0.5);
  std::vector<double> c(12);
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = static_cast<double>(i) - 5;
  RowSet with_coefficients = set;
  if (set.centering == Centering::rows || kind != FisherKind::empirical) {
    with_coefficients.coefficients = ConstView(c.data(), {12, 1});
  }
  const LayerScores scores = batch.scores(with_coefficients, {.kind = kind});
  Batch step{.fisher = scores};
  if (gradient) {
    step.gradient = Gradient{ConstView(g.data(), {static_cast<std::int64_t>(g.size()), 1})};
  }
  optimizer.step(step);
  const Traps traps;
  optimizer.step(step);
  EXPECT_EQ(traps.raised(), 0);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
}

TEST(traps, no_accepted_step_raises_a_floating_point_exception) {
  for (Form form : {Form::primal, Form::dual}) {
    const std::string name = to_string(form);
    const Damping damping{.absolute = 1e-2};
    expect_quiet(name + ", plain", {.damping = damping, .form = form}, FisherKind::empirical, {},
                 false);
    expect_quiet(name + ", gradient, KL",
                 {.damping = damping, .step = KlTrustRegion{}, .form = form}, FisherKind::exact, {},
                 true);
    expect_quiet(
        name + ", heavy ball, max_norm",
        {.damping = damping, .max_norm = 1, .momentum = HeavyBall{}, .l2 = 0.1, .form = form},
        FisherKind::empirical, {}, false);
    expect_quiet(name + ", schedule",
                 {.damping = damping,
                  .schedule = {RateDecay::cosine, 10},
                  .weight_decay = 0.1,
                  .form = form},
                 FisherKind::residual, {}, false);
    expect_quiet(name + ", centred", {.damping = damping, .form = form}, FisherKind::sampled,
                 {.centering = Centering::rows}, false);
    expect_quiet(name + ", centred for the Fisher",
                 {.damping = damping, .momentum = NoMomentum{}, .form = form},
                 FisherKind::empirical, {.centering = Centering::fisher_only}, false);
    expect_quiet(name + ", refined", {.damping = damping, .form = form, .refinement = 2},
                 FisherKind::empirical, {}, false);
  }
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    const std::string name = to_string(structure);
    for (const double damping : {0.0, 1e-2}) {
      const NaturalGradient::Options options{
          .damping = {.absolute = damping}, .momentum = NoMomentum{}, .structure = structure};
      expect_quiet(name + ", plain", options, FisherKind::residual, {}, false);
      expect_quiet(name + ", gradient", options, FisherKind::exact, {}, true);
      expect_quiet(name + ", centred", options, FisherKind::sampled, {.centering = Centering::rows},
                   false);
    }
  }
  for (bool refined : {false, true}) {
    expect_quiet("refined gradient",
                 {.damping = {.absolute = 1e-2}, .form = Form::dual, .refinement = refined ? 1 : 0},
                 FisherKind::exact, {}, true);
  }
  expect_quiet("damping 0", {.damping = {.absolute = 0}, .momentum = NoMomentum{}},
               FisherKind::residual, {}, false);
}

}  // namespace

}  // namespace natgrad::tests
