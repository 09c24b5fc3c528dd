#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/emulated_cuda/control.hpp"
#include "support/layered_batch.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

// What the library promises of a device, where the emulated one can count it or make it fail.

namespace natgrad::tests {

namespace {

const BatchShape net = {.layers = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}},
                        .samples = 9};

/// The emulated device as it is at first, whatever the test has made of it.
class EmulatedContracts : public testing::Test {
 protected:
  void TearDown() override {
    emulated_cuda::set_devices(1);
    emulated_cuda::set_driver_version(CUDART_VERSION);
    emulated_cuda::set_compute_capability(8);
    emulated_cuda::fail_allocation(0);
    emulated_cuda::fail_work(0);
    emulated_cuda::set_device_memory(emulated_cuda::usual_device_memory);
    emulated_cuda::fail_handle(0);
    emulated_cuda::fail_factorization(0);
  }
};

using steady_state = EmulatedContracts;
using device_contracts = EmulatedContracts;

template <class Expected>
void expect_error(const std::function<void()>& call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (const Expected& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

void expect_no_waiting(const NaturalGradient::Options& options) {
  const LayeredBatch<float> batch(net);
  NaturalGradient optimizer(batch.parameters, options);
  LayerScores scores(batch.parameters);
  batch.fill(scores);
  optimizer.step(scores);
  synchronize_device();
  const emulated_cuda::Counters before = emulated_cuda::counters();
  for (int i = 0; i < 20; ++i) {
    batch.fill(scores);
    optimizer.step(scores);
    optimizer.reports();
  }
  const emulated_cuda::Counters after = emulated_cuda::counters();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.frees, before.frees);
  EXPECT_EQ(after.synchronizations, before.synchronizations);
  EXPECT_EQ(after.host_copies, before.host_copies) << "reports are written by a kernel";
  EXPECT_GT(after.launches, before.launches + 20 * 20);
  EXPECT_EQ(optimizer.report().step, 21);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
}

TEST_F(steady_state, a_step_neither_waits_nor_allocates_nor_copies) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    expect_no_waiting({.form = form});
    expect_no_waiting({.step = KlTrustRegion{.radius = 1e-3, .allow_empirical = true},
                       .momentum = HeavyBall{0.5},
                       .weight_decay = 0.01,
                       .l2 = 0.1,
                       .form = form,
                       .refinement = 2});
  }
}

TEST_F(device_contracts, a_factorization_that_fails_is_an_outcome) {
  const LayeredBatch<double> batch(net);
  NaturalGradient optimizer(batch.parameters, {.momentum = HeavyBall{0.5}});
  const LayerScores scores = batch.scores();
  optimizer.step(scores);
  const auto theta = batch.theta_memory();
  emulated_cuda::fail_factorization(2);
  optimizer.step(scores);
  EXPECT_EQ(optimizer.report().outcome, Outcome::not_positive_definite);
  EXPECT_EQ(batch.theta_memory(), theta);
  optimizer.step(scores);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
}

TEST_F(device_contracts, eigenvalues_that_are_not_found_are_an_outcome) {
  const LayeredBatch<float> batch(net);
  for (const Form form : {Form::primal, Form::dual}) {
    FisherMatrix fisher(batch.parameters, {.form = form});
    fisher.accumulate(batch.scores());
    emulated_cuda::fail_factorization(2);
    const Spectrum none = fisher.spectrum();
    EXPECT_EQ(none.outcome, Outcome::not_finite);
    EXPECT_TRUE(none.eigenvalues.empty());
    fisher.reset();
    fisher.accumulate(batch.scores());
    EXPECT_EQ(fisher.spectrum().outcome, Outcome::accepted);
  }
}

/// By what a direction differs with TF32 allowed, relatively.
double change_by_tf32(const Scores& scores, NaturalGradient::Options options) {
  options.damping = {.absolute = 0.1};
  const auto direction = [&](bool allowed) {
    options.allow_tf32 = allowed;
    NaturalGradient optimizer(scores.parameters(), options);
    Tensor<float> d = zeros<float>(scores.parameters().size());
    optimizer.direction(scores, d.view());
    EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted);
    return d.numbers();
  };
  return relative_error(direction(true), direction(false));
}

TEST_F(device_contracts, tf32_is_taken_where_it_is_allowed_and_nowhere_else) {
  const LayeredBatch<float> batch(net);
  Tensor<float> rows(batch.rows);
  DenseScores dense(batch.parameters);
  dense.begin(rows.view(), {});
  const LayerScores layers = batch.scores();
  for (const Scores* scores :
       {static_cast<const Scores*>(&layers), static_cast<const Scores*>(&dense)}) {
    const double change = change_by_tf32(*scores, {.form = Form::dual});
    EXPECT_TRUE(change > 1e-5 && change < 1e-2) << change;
    const double refined = change_by_tf32(*scores, {.form = Form::dual, .refinement = 4});
    EXPECT_TRUE(refined < 1e-6) << refined;
    EXPECT_EQ(change_by_tf32(*scores, {.form = Form::primal}), 0);
    EXPECT_EQ(change_by_tf32(*scores, {.form = Form::dual, .gram_type = ElementType::float64}), 0);
  }
  emulated_cuda::set_compute_capability(7);
  const LayeredBatch<float> older(net);
  EXPECT_EQ(change_by_tf32(older.scores(), {.form = Form::dual}), 0);
}

TEST_F(device_contracts, arrays_lie_where_their_views_say) {
  const Context context = test_context();
  Parameters parameters(context);
  std::vector<float> host(6);
  expect_error<DeviceError>([&] { parameters.add({host.data(), {6, 1}}, "w"); }, "is on cuda 0");
  const Placement here{.device = context.device()};
  expect_error<DeviceError>(
      [&] {
        parameters.add({host.data(), {6, 1}, here}, "w");
      },
      "w is 6 x 1 float32 on cuda 0 by its view, but its data is memory of "
      "the host");
  expect_error<DeviceError>(
      [&] {
        parameters.add({host.data(), {6, 1}, {.device = {DeviceKind::cuda, 1}}}, "w");
      },
      "is on cuda 0");
  EXPECT_EQ(parameters.size(), 0);
  const Array device = context.array({6, 1}, ElementType::float32);
  expect_error<DeviceError>([&] { Context::cpu().write(host.data(), device); }, "is on cpu 0");
  expect_error<DeviceError>(
      [&] {
        context.write(device.view().data(), context.array({6, 1}, ElementType::float32));
      },
      "memory of the device");
  expect_error<DeviceError>([&] { context.read(device, device.view().data()); },
                            "memory of the device");
}

TEST_F(device_contracts, memory_of_another_device_is_refused) {
  emulated_cuda::set_devices(2);
  cudaSetDevice(1);
  const Context other = Context::cuda();
  EXPECT_EQ(other.device().index, 1);
  const Array there = other.array({3, 1}, ElementType::float32);
  cudaSetDevice(0);
  Parameters parameters(test_context());
  expect_error<DeviceError>([&] { parameters.add(there, "w"); }, "is on cuda 0");
  expect_error<DeviceError>(
      [&] {
        parameters.add(
            {there.view().as<float>(), {3, 1}, {.device = parameters.context().device()}}, "w");
      },
      "memory of cuda 1");
  // Work of one leaves the caller's current device as it was.
  other.synchronize();
  int current = -1;
  cudaGetDevice(&current);
  EXPECT_EQ(current, 0);
}

TEST_F(device_contracts, a_stream_of_the_caller_orders_the_work) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    const Context context = cuda_context(stream);
    EXPECT_EQ(cuda_stream(context), stream);
    const LayeredBatch<float> batch(net, context);
    NaturalGradient optimizer(batch.parameters);
    const auto theta = batch.theta_memory();
    optimizer.step(batch.scores());
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(optimizer.reports().size(), 1U);
    EXPECT_NE(batch.theta_memory(), theta);
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  expect_error<DeviceError>([] { cuda_stream(Context::cpu()); }, "the context is on the CPU");
}

TEST_F(device_contracts, what_is_missing_is_said) {
  std::vector<std::string> warnings;
  const auto best = [&] {
    warnings.clear();
    return Context::best(
        {.on_warning = [&](std::string_view text) { warnings.emplace_back(text); }});
  };
  EXPECT_EQ(best().device().kind, DeviceKind::cuda);
  const struct {
    int devices;
    int driver;
    const char* text;
  } cases[] = {{0, CUDART_VERSION, "there is no CUDA device"},
               {1, 0, "there is no CUDA driver"},
               {1, 11040, "the CUDA driver is too old: has 11.4, needs 13.0"}};
  for (const auto& c : cases) {
    emulated_cuda::set_devices(c.devices);
    emulated_cuda::set_driver_version(c.driver);
    expect_error<DeviceError>([] { Context::cuda(); }, c.text);
    EXPECT_EQ(best().device().kind, DeviceKind::cpu);
    ASSERT_GE(warnings.size(), 1U);
    EXPECT_EQ(warnings.back(), std::string(c.text) + "; the CPU is used");
  }
}

TEST_F(device_contracts, what_fails_on_the_way_is_given_back) {
  const emulated_cuda::Live before = emulated_cuda::live();
  emulated_cuda::fail_handle(1);
  expect_error<MemoryError>([] { Context::cuda(); }, "cuBLAS: create a handle: no memory");
  for (const int handle : {2, 3}) {
    emulated_cuda::fail_handle(handle);
    expect_error<DeviceError>([] { Context::cuda(); }, "cuSOLVER: create a handle: status 7");
  }
  emulated_cuda::set_device_memory(std::int64_t{100} << 20);
  emulated_cuda::fail_handle(2);
  expect_error<MemoryError>([] { Context::cuda(); }, "cuSOLVER: create a handle: no memory");
  emulated_cuda::set_device_memory(emulated_cuda::usual_device_memory);
  emulated_cuda::fail_allocation(1);
  expect_error<MemoryError>([] { Context::cuda(); }, "no memory");
  emulated_cuda::fail_allocation(0);
  const emulated_cuda::Live after = emulated_cuda::live();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.streams, before.streams);
  EXPECT_EQ(after.handles, before.handles);
}

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

TEST_F(device_contracts, a_first_step_that_is_refused_loses_no_option) {
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
TEST_F(device_contracts, a_part_that_is_refused_is_not_counted) {
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

TEST_F(device_contracts, a_fisher_matrix_that_is_refused_counts_nothing_twice) {
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

TEST_F(device_contracts, a_net_forgets_a_batch_that_is_refused) {
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

TEST_F(device_contracts, a_callback_that_throws_with_the_device_broken_is_heard) {
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
TEST_F(device_contracts, a_fisher_matrix_without_memory_begins_anew) {
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
TEST_F(device_contracts, a_step_without_memory_changes_nothing) {
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
