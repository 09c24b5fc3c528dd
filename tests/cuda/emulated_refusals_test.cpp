#include "cuda/emulated_contracts.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

// What holds after a device has refused one kernel, library call or allocation, each in turn.

namespace natgrad::tests {

namespace {

using device_refusals = EmulatedContracts;

/// Whether `work` met a refusal: that of the n-th kernel or library call from now.
bool is_refused(int n, const std::function<void()>& work) {
  bool refused = false;
  emulated_cuda::fail_work(n);
  try {
    work();
  } catch (const DeviceError&) {
    refused = true;
  }
  emulated_cuda::fail_work(0);
  return refused;
}

TEST_F(device_refusals, a_first_step_that_is_refused_loses_no_option) {
  for (int n = 1;; ++n) {
    const LayeredBatch<double> batch(net);
    NaturalGradient optimizer(batch.parameters,
                              {.damping = {.absolute = 0.5}, .step = FixedRate{0.25}});
    const LayerScores scores = batch.scores();
    const bool refused = is_refused(n, [&] { optimizer.step(scores); });
    optimizer.step(scores);
    const StepReport report = optimizer.report();
    EXPECT_EQ(report.outcome, Outcome::accepted);
    EXPECT_EQ(report.damping, 0.5) << n;
    EXPECT_EQ(report.rate, 0.25) << n;
    if (!refused) {
      EXPECT_GT(n, 30) << "nothing was refused";
      break;
    }
  }
}

/// A batch in two parts, centred, whose gradient comes with the rows.
class Parts {
 public:
  Parts() {
    for (auto [part, first, count] : {std::tuple{&first_, 0, 5}, std::tuple{&second_, 5, 4}}) {
      batch_.fill(*part,
                  {.samples = count,
                   .batch_samples = 9,
                   .coefficients = coefficients_.view().row_range(first, count),
                   .centering = Centering::rows},
                  first);
    }
  }
  const Parameters& parameters() const { return batch_.parameters; }
  std::vector<std::vector<double>> theta() const { return batch_.theta_memory(); }
  const LayerScores& first() const { return first_; }
  const LayerScores& second() const { return second_; }

 private:
  LayeredBatch<double> batch_{net};
  Tensor<double> coefficients_{Numbers{1, -2, 3, 0, 5, -1, 2, 4, -3}};
  LayerScores first_{batch_.parameters};
  LayerScores second_{batch_.parameters};
};

/// Whatever is refused of its second part or its step, a batch is as it was before or dropped.
TEST_F(device_refusals, a_part_that_is_refused_is_not_counted) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const NaturalGradient::Options options = {.damping = {.absolute = 0.1}, .form = form};
    const Parts undisturbed;
    NaturalGradient expected(undisturbed.parameters(), options);
    expected.accumulate(undisturbed.first());
    expected.accumulate(undisturbed.second());
    expected.step();
    int n = 1;
    for (;; ++n) {
      const Parts parts;
      NaturalGradient optimizer(parts.parameters(), options);
      optimizer.accumulate(parts.first());
      if (!is_refused(n, [&] { optimizer.accumulate(parts.second()); })) break;
      try {
        optimizer.accumulate(parts.second());
        optimizer.step();
      } catch (const ArgumentError& error) {  // dropped
        EXPECT_NE(std::string(error.what()).find("4 of 9 samples"), std::string::npos) << n;
        optimizer.discard();
        optimizer.accumulate(parts.first());
        optimizer.accumulate(parts.second());
        optimizer.step();
      }
      EXPECT_EQ(parts.theta(), undisturbed.theta()) << n;
    }
    EXPECT_GT(n, 4) << "nothing was refused";
    for (n = 1;; ++n) {
      const Parts parts;
      NaturalGradient optimizer(parts.parameters(), options);
      optimizer.accumulate(parts.first());
      optimizer.accumulate(parts.second());
      const auto before = parts.theta();
      if (!is_refused(n, [&] { optimizer.step(); })) break;
      EXPECT_THROW(optimizer.step(), ArgumentError) << "the batch is gone, " << n;
      if (parts.theta() != before) continue;  // it was refused behind the update
      optimizer.accumulate(parts.first());
      optimizer.accumulate(parts.second());
      optimizer.step();
      EXPECT_EQ(parts.theta(), undisturbed.theta()) << n;
    }
    EXPECT_GT(n, 10) << "nothing was refused";
  }
}

TEST_F(device_refusals, a_fisher_matrix_that_is_refused_counts_nothing_twice) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const FisherMatrix::Options options = {.form = form, .damping = {.absolute = 0.1}};
    const Parts parts;
    Tensor<double> direction = zeros<double>(parts.parameters().size());
    const auto solve = [&](FisherMatrix& fisher) {
      fisher.solve(Coefficients{}, direction.view());
      return direction.numbers();
    };
    FisherMatrix undisturbed(parts.parameters(), options);
    undisturbed.accumulate(parts.first());
    undisturbed.accumulate(parts.second());
    const Numbers expected = solve(undisturbed);
    int n = 1;
    for (;; ++n) {
      FisherMatrix fisher(parts.parameters(), options);
      fisher.accumulate(parts.first());
      if (!is_refused(n, [&] { fisher.accumulate(parts.second()); })) break;
      if (fisher.samples() == 0) fisher.accumulate(parts.first());
      EXPECT_EQ(fisher.samples(), 5) << n;
      fisher.accumulate(parts.second());
      EXPECT_EQ(solve(fisher), expected) << n;
    }
    EXPECT_GT(n, 4) << "nothing was refused";
    for (n = 1;; ++n) {
      FisherMatrix fisher(parts.parameters(), options);
      fisher.accumulate(parts.first());
      fisher.accumulate(parts.second());
      if (!is_refused(n, [&] { solve(fisher); })) break;
      EXPECT_EQ(solve(fisher), expected) << n;
    }
    EXPECT_GT(n, 10) << "nothing was refused";
  }
}

TEST_F(device_refusals, a_net_forgets_a_batch_that_is_refused) {
  const Context context = test_context();
  FullyConnected net(context, {.sizes = {3, 4, 2}});
  Tensor<float> inputs(Random(1).table(5, 3));
  const Array labels = context.array({5, 1}, ElementType::int32);
  context.write(std::vector<std::int32_t>(5, 1).data(), labels);
  int n = 1;
  for (; is_refused(n, [&] { net.forward(inputs.view()); }); ++n) {
    EXPECT_THROW(net.outputs(), ArgumentError) << n;
  }
  EXPECT_GT(n, 3) << "nothing was refused";
  net.backward(labels);
  LayerScores scores(net.parameters());
  for (n = 1; is_refused(n, [&] { net.backward(labels); }); ++n) {
    EXPECT_THROW(net.add_to(scores, {.samples = 5}), ArgumentError) << n;
  }
  EXPECT_GT(n, 3) << "nothing was refused";
  LayerScores sampled(net.parameters(), {.kind = FisherKind::sampled});
  for (n = 1; is_refused(n, [&] { net.sample(); }); ++n) {
    EXPECT_THROW(net.add_sampled_to(sampled, {.samples = 5}), ArgumentError) << n;
  }
  EXPECT_GT(n, 3) << "nothing was refused";
}

TEST_F(device_refusals, a_callback_that_throws_with_the_device_broken_is_heard) {
  const LayeredBatch<double> batch(net);
  const LayerScores scores = batch.scores();
  const auto log_likelihood = [](const View&) {
    emulated_cuda::fail_work(1);
    throw std::runtime_error("a kernel of the caller failed");
  };
  EXPECT_THROW(check_scores(scores, log_likelihood), std::runtime_error);
  EXPECT_NO_THROW(batch.scores()) << "what restores the parameters was not refused";
}

/// Every allocation of what follows a reset fails in turn, that of another centring too.
TEST_F(device_refusals, a_fisher_matrix_without_memory_begins_anew) {
  const LayeredBatch<double> batch(net);
  Tensor<double> coefficients(Numbers{1, -2, 3, 0, 5, -1, 2, 4, -3});
  const LayerScores plain = batch.scores();
  const LayerScores centred =
      batch.scores({.coefficients = coefficients.view(), .centering = Centering::rows});
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const FisherMatrix::Options options = {.form = form, .damping = {.absolute = 0.1}};
    Tensor<double> direction = zeros<double>(batch.parameters.size());
    const auto solve = [&](FisherMatrix& fisher) {
      if (fisher.samples() == 0) fisher.accumulate(centred);
      fisher.solve(Coefficients{}, direction.view());
      EXPECT_EQ(fisher.report().outcome, Outcome::accepted);
      return direction.numbers();
    };
    FisherMatrix undisturbed(batch.parameters, options);
    const Numbers expected = solve(undisturbed);
    bool failed = true;
    for (int n = 1; failed; ++n) {
      FisherMatrix fisher(batch.parameters, options);
      fisher.accumulate(plain);
      fisher.reset();
      emulated_cuda::fail_allocation(n);
      failed = false;
      try {
        solve(fisher);
      } catch (const MemoryError&) {
        failed = true;
      }
      emulated_cuda::fail_allocation(0);
      EXPECT_EQ(solve(fisher), expected) << "allocation " << n;
      EXPECT_TRUE(failed || n > 1) << "nothing was allocated";
    }
  }
}

/// Every allocation of the first steps fails in turn: the optimizer is as before, and its next step
/// that of an optimizer which met no failure.
TEST_F(device_refusals, a_step_without_memory_changes_nothing) {
  for (const Form form : {Form::dual, Form::primal}) {
    const LayeredBatch<double> undisturbed(net);
    NaturalGradient expected(undisturbed.parameters, {.momentum = HeavyBall{0.5}, .form = form});
    const LayerScores undisturbed_scores = undisturbed.scores();
    expected.step(undisturbed_scores);
    const auto moved = undisturbed.theta_memory();
    for (int n = 1;; ++n) {
      const LayeredBatch<double> batch(net);
      NaturalGradient optimizer(batch.parameters, {.momentum = HeavyBall{0.5}, .form = form});
      const LayerScores scores = batch.scores();
      const auto theta = batch.theta_memory();
      emulated_cuda::fail_allocation(n);
      bool failed = false;
      try {
        optimizer.step(scores);
      } catch (const MemoryError&) {
        failed = true;
      }
      emulated_cuda::fail_allocation(0);
      if (!failed) {
        EXPECT_GT(n, 3) << "nothing was made to fail";
        break;
      }
      EXPECT_EQ(batch.theta_memory(), theta);
      optimizer.step(scores);
      EXPECT_EQ(batch.theta_memory(), moved) << "after allocation " << n << " had failed";
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
