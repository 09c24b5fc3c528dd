#include "natgrad/natgrad.hpp"
#include "support/layered_batch.hpp"
#include "support/loop.hpp"
#include "support/parted_training.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

// Parameters whose tensors the caller replaces between steps.

namespace natgrad::tests {

namespace {

/// New tensors of the same numbers, with rows apart; the old ones become NaN.
std::vector<Tensor<double>> replace(PartedTraining& run) {
  std::vector<Tensor<double>> fresh;
  for (std::size_t i = 0; i < run.batch.theta.size(); ++i) {
    fresh.emplace_back(run.batch.theta[i].table(), 3);
    run.batch.parameters.rebind({static_cast<int>(i)}, fresh.back().view());
  }
  for (Tensor<double>& old : run.batch.theta) {
    const Table table = old.table();
    for (std::size_t i = 0; i < table.rows; ++i) {
      for (std::size_t j = 0; j < table.columns; ++j) old(i, j) = nan;
    }
  }
  return fresh;
}

void expect_same_numbers(const std::vector<Tensor<double>>& a, const LayeredBatch<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].numbers(), b.theta[i].numbers()) << "tensor " << i;
  }
}

TEST(rebind, goes_on_with_the_new_tensors_and_the_old_momentum) {
  for (const Structure structure :
       {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
    for (const bool parts : {false, true}) {
      SCOPED_TRACE(testing::Message() << to_string(structure) << (parts ? " in parts" : ""));
      const Parted setup{{.damping = damping,
                          .momentum = HeavyBall{0.7},
                          .weight_decay = 0.1,
                          .l2 = 0.2,
                          .rate_factors = {{{0}, 2}},
                          .structure = structure}};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      for (PartedTraining* one : {&run, &undisturbed}) {
        one->draw();
        one->optimizer.step(one->part(0, 41));
        one->draw();
        if (parts) one->accumulate({30});
      }
      const std::vector<Tensor<double>> fresh = replace(run);
      for (PartedTraining* one : {&run, &undisturbed}) {
        if (parts) {
          one->optimizer.accumulate(one->part(30, 11));
          one->optimizer.step();
        } else {
          one->optimizer.step(one->part(0, 41));
        }
      }
      expect_same_numbers(fresh, undisturbed.batch);
      EXPECT_EQ(run.batch.parameters.rebinds(), 4);
    }
  }
}

TEST(rebind, is_followed_by_first_order_steps_and_trials) {
  const Parted setup{{.damping = damping, .step = Backtracking{}, .momentum = NoMomentum{}}};
  PartedTraining run(setup);
  PartedTraining undisturbed(setup);
  const auto step = [](PartedTraining& one) {
    one.draw();
    Batch batch = one.part(0, 41);
    const Context context = one.batch.parameters.context();
    double loss = 2;  // falls, so that the first trial passes
    batch.loss = [&](const View& result) {
      context.write(&loss, result);
      loss /= 2;
    };
    one.optimizer.step(batch);
  };
  step(run);
  step(undisturbed);
  const std::vector<Tensor<double>> fresh = replace(run);
  step(run);
  step(undisturbed);
  expect_same_numbers(fresh, undisturbed.batch);
  FirstOrder sgd(run.batch.parameters, {});
  FirstOrder other(undisturbed.batch.parameters, {});
  Tensor<double> gradient(Random(1).numbers(23));
  sgd.step(gradient.view());
  other.step(gradient.view());
  expect_same_numbers(fresh, undisturbed.batch);
}

TEST(rebind, refuses_what_does_not_fit) {
  PartedTraining run({{.damping = damping}});
  Parameters parameters = run.batch.parameters;
  Tensor<double> wide(Table(3, 5));
  Tensor<float> single(Table(3, 4));
  EXPECT_THROW(parameters.rebind({0}, wide.view()), ShapeError);
  EXPECT_THROW(parameters.rebind({0}, single.view()), TypeError);
  EXPECT_THROW(parameters.rebind({7}, wide.view()), ArgumentError);
  EXPECT_THROW(parameters.rebind({0}, View()), ArgumentError);
  EXPECT_THROW(parameters.rebind({1}, run.batch.theta[0].view().row_range(0, 3)), Error);
  EXPECT_THROW(
      parameters.rebind(
          {3}, {run.batch.theta[0].view().as<double>(), {2, 1}, {.device = test_device()}}),
      ArgumentError);
  EXPECT_EQ(parameters.rebinds(), 0);
  parameters.rebind({0}, run.batch.theta[0].view());  // its own place
  EXPECT_EQ(parameters.tensor({0}).data(), run.batch.theta[0].view().data());
}

}  // namespace

}  // namespace natgrad::tests
