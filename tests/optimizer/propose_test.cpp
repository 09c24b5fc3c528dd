#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/parted_training.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

// Steps that are handed out instead of taken.

namespace natgrad::tests {

namespace {

/// Adds P numbers to the tensors, as a caller would.
void add(const LayeredBatch<double>& batch, const Numbers& step) {
  const Context& context = batch.parameters.context();
  const Array all = context.array({batch.parameters.size(), 1}, ElementType::float64);
  batch.parameters.gather(all);
  std::vector<double> theta = host_copy<double>(context, all);
  for (std::size_t i = 0; i < theta.size(); ++i) theta[i] += step[i];
  context.write(theta.data(), all);
  batch.parameters.scatter(all);
  context.synchronize();
}

TEST(propose, hands_out_the_step_that_would_have_been_taken) {
  for (const Form form : forms) {
    for (const Momentum& momentum : momenta) {
      for (const bool frozen : {false, true}) {
        SCOPED_TRACE(testing::Message() << to_string(form) << ", momentum " << momentum.index());
        Parted setup{{.damping = damping,
                      .step = KlTrustRegion{.radius = 1e-3},
                      .schedule = {.decay = RateDecay::linear, .steps = 5},
                      .max_norm = 0.5,
                      .momentum = momentum,
                      .rate_factors = {{{1}, 2}},
                      .form = form}};
        if (frozen) setup.options.rate_factors.push_back({{2}, 0});
        PartedTraining handed(setup);
        PartedTraining taken(setup);
        Tensor<double> step = zeros<double>(23);
        for (int i = 0; i < 4; ++i) {
          handed.draw();
          taken.draw();
          const Numbers before = handed.batch.theta_numbers();
          if (i % 2 == 0) {
            handed.optimizer.propose(handed.part(0, 41), step.view());
            taken.optimizer.step(taken.part(0, 41));
          } else {
            handed.accumulate({30, 11});
            handed.optimizer.propose(step.view());
            taken.accumulate({30, 11});
            taken.optimizer.step();
          }
          EXPECT_EQ(handed.batch.theta_numbers(), before) << "the parameters moved";
          add(handed.batch, step.numbers());
          EXPECT_TRUE(relative_error_within(handed.batch.theta_numbers(),
                                            taken.batch.theta_numbers(), same));
          expect_same_report(handed.optimizer.report(), taken.optimizer.report());
          EXPECT_EQ(handed.optimizer.report().step, i + 1);
        }
      }
    }
  }
}

TEST(propose, leaves_output_and_momentum_where_a_step_fails) {
  const Parted setup{{.damping = damping, .momentum = HeavyBall{0.7}}};
  PartedTraining run(setup);
  PartedTraining undisturbed(setup);
  run.draw();
  undisturbed.draw();
  Tensor<double> step(Numbers(23, 7.0));
  run.optimizer.propose(run.part(0, 41), step.view());
  Tensor<double> expected(Numbers(23, 7.0));
  undisturbed.optimizer.propose(undisturbed.part(0, 41), expected.view());
  run.weights(3) = nan;
  run.optimizer.propose(run.part(0, 41), step.view());
  EXPECT_EQ(run.optimizer.report().outcome, Outcome::not_finite);
  EXPECT_EQ(step.numbers(), expected.numbers());
  run.weights(3) = undisturbed.weights(3);
  run.optimizer.propose(run.part(0, 41), step.view());
  undisturbed.optimizer.propose(undisturbed.part(0, 41), expected.view());
  EXPECT_EQ(step.numbers(), expected.numbers());
}

TEST(propose, of_ten_failures_throws_as_a_step_does) {
  PartedTraining run({{.damping = damping}});
  run.draw();
  run.weights(3) = nan;
  Tensor<double> step = zeros<double>(23);
  const auto propose = [&] {
    run.optimizer.propose(run.part(0, 41), step.view());
    synchronize_device();
  };
  const auto eleven = [&] {
    for (int i = 0; i < 11; ++i) propose();
  };
  EXPECT_THROW(eleven(), StepFailed);
}

TEST(propose, refuses_what_tries_parameters_and_outputs_that_do_not_fit) {
  PartedTraining run({{.damping = damping, .step = Backtracking{}}});
  run.draw();
  Tensor<double> step = zeros<double>(23);
  Batch batch = run.part(0, 41);
  batch.loss = [](const View&) { FAIL() << "it was called"; };
  expect_refused("propose: ", [&] { run.optimizer.propose(batch, step.view()); });
  PartedTraining fixed({{.damping = damping}});
  fixed.draw();
  Tensor<double> wrong = zeros<double>(22);
  EXPECT_THROW(fixed.optimizer.propose(fixed.part(0, 41), wrong.view()), ShapeError);
  EXPECT_THROW(fixed.optimizer.propose(fixed.part(0, 41), View()), ArgumentError);
  EXPECT_THROW(fixed.optimizer.propose(step.view()), ArgumentError);
  EXPECT_THROW(fixed.optimizer.report(), ArgumentError) << "no step was made";
}

}  // namespace

}  // namespace natgrad::tests
