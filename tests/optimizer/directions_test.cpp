#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/parted_training.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

// Directions that are handed out: against the formulas written plainly and the steps of an
// optimizer.

namespace natgrad::tests {

namespace {

using Source = ScoresShape::Source;

TEST(loop, a_direction_is_that_of_the_formula_and_changes_nothing) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
      const Parted setup{{.damping = damping,
                          .step = KlTrustRegion{.radius = 1e-3},
                          .schedule = {.decay = RateDecay::linear, .steps = 5},
                          .momentum = momentum,
                          .weight_decay = 0.1,
                          .rate_factors = {{{0}, 2}},
                          .form = form}};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      for (int step = 0; step < 3; ++step) {
        run.draw();
        undisturbed.draw();
        const Table S = weighted(run.batch.rows, run.weights.numbers());
        const Numbers r = right_hand_side(run.weights.numbers(), run.coefficients.numbers());
        const double lambda = 0.05 + 0.3 * trace(gram(S)) / 23;
        const Numbers d = damped_direction(S, lambda, r);
        Tensor<double> direction = zeros<double>(23);
        run.optimizer.direction(run.part(0, 41), direction.view());
        EXPECT_TRUE(relative_error_within(direction.numbers(), d, same));
        const SolveReport report = run.optimizer.direction_report();
        EXPECT_EQ(report.outcome, Outcome::accepted);
        EXPECT_EQ(report.form, form);
        EXPECT_TRUE(within(report.damping, lambda, same * lambda));
        EXPECT_TRUE(report.residual <= same);
        EXPECT_TRUE(report.error_bound > 0 && report.error_bound <= same);
        const Numbers rows = multiply(S, d);
        EXPECT_TRUE(within(report.quadratic_form, dot(rows, rows), 10 * same * dot(rows, rows)));

        run.optimizer.step(run.part(0, 41));
        undisturbed.optimizer.step(undisturbed.part(0, 41));
        expect_same_bits(run.batch, undisturbed.batch);
        EXPECT_EQ(run.optimizer.report().step, step + 1);
        EXPECT_EQ(run.optimizer.report().rate, undisturbed.optimizer.report().rate);
      }
    }
  }
}

TEST(loop, a_direction_of_any_gradient_is_that_of_a_step) {
  for (Form form : forms) {
    for (Source source : {Source::rows, Source::numbers, Source::other_rows}) {
      for (Centering centering : {Centering::none, Centering::rows}) {
        const Parted setup{{.damping = damping,
                            .step = FixedRate{1},
                            .momentum = NoMomentum{},
                            .l2 = 0.2,
                            .form = form},
                           source,
                           centering};
        PartedTraining run(setup);
        run.draw();
        Tensor<double> direction = zeros<double>(23);
        const Numbers before = run.batch.theta_numbers();
        run.optimizer.direction(run.part(0, 41), direction.view());
        EXPECT_EQ(run.batch.theta_numbers(), before);
        run.optimizer.step(run.part(0, 41));
        EXPECT_TRUE(relative_error_within(run.batch.theta_numbers(),
                                          sum(1, before, direction.numbers()), same));
      }
    }
  }
}

TEST(loop, a_direction_does_not_disturb_parts_that_wait) {
  for (Form form : forms) {
    for (Centering centering : {Centering::none, Centering::rows}) {
      const Parted setup{{.damping = damping, .form = form}, Source::rows, centering};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      run.draw();
      undisturbed.draw();
      run.accumulate({30});
      Tensor<double> direction = zeros<double>(23);
      run.optimizer.direction(run.part(0, 41), direction.view());
      run.optimizer.accumulate(run.part(30, 11));
      run.optimizer.direction(run.part(0, 41), direction.view());
      run.optimizer.step();
      undisturbed.accumulate({30, 11});
      undisturbed.optimizer.step();
      expect_same_bits(run.batch, undisturbed.batch);
    }
  }
}

TEST(loop, a_direction_that_fails_leaves_the_output) {
  for (Form form : forms) {
    PartedTraining run({{.damping = damping, .form = form}});
    PartedTraining undisturbed({{.damping = damping, .form = form}});
    run.draw();
    undisturbed.draw();
    Tensor<double> direction(Numbers(23, 7.0));
    run.weights(3) = nan;
    run.optimizer.direction(run.part(0, 41), direction.view());
    EXPECT_EQ(run.optimizer.direction_report().outcome, Outcome::not_finite);
    EXPECT_EQ(direction.numbers(), Numbers(23, 7.0));
    run.weights(3) = undisturbed.weights(3);
    run.optimizer.step(run.part(0, 41));
    undisturbed.optimizer.step(undisturbed.part(0, 41));
    expect_same_bits(run.batch, undisturbed.batch);
    EXPECT_EQ(run.optimizer.report().failures_in_a_row, 0);
  }
}

TEST(loop, a_direction_of_ten_failures_does_not_throw) {
  PartedTraining run({{.damping = damping}});
  run.draw();
  run.weights(3) = nan;
  Tensor<double> direction = zeros<double>(23);
  for (int i = 0; i < 12; ++i) run.optimizer.direction(run.part(0, 41), direction.view());
  EXPECT_EQ(run.optimizer.direction_report().outcome, Outcome::not_finite);
}

}  // namespace

}  // namespace natgrad::tests
