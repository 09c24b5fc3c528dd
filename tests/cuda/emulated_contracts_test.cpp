#include "cuda/emulated_contracts.hpp"

#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

// What the library promises of a device, where the emulated one can count it or make it fail. What
// holds after each refusal: emulated_refusals_test.cpp.

namespace natgrad::tests {

namespace {

using steady_state = EmulatedContracts;
using device_contracts = EmulatedContracts;

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

}  // namespace

}  // namespace natgrad::tests
