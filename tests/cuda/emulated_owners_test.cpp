#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/emulated_cuda/device_test.hpp"
#include "support/layered_batch.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>

// When owners of operands go, and a context that changes its stream, on a device that runs its work
// as late as it may.

namespace natgrad::tests {

namespace {

constexpr std::int64_t samples = 9;

struct Work {
  LayeredBatch<double> batch;
  LayerScores scores{batch.parameters};
  NaturalGradient optimizer{batch.parameters, {.damping = {.absolute = 0.1}}};

  explicit Work(Context context = Context::cuda())
      : batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = samples}, std::move(context)) {}

  /// Rows in device memory of their owner's; `alive` says whether that is still there.
  void fill(std::weak_ptr<const void>& alive) {
    const Context& context = batch.parameters.context();
    struct Factors {
      Array input;
      Array output_score;
    };
    auto factors = std::make_shared<Factors>();
    factors->input = context.array({samples, 3}, ElementType::float64);
    factors->output_score = context.array({samples, 2}, ElementType::float64);
    Tensor<double>& input = batch.factors[0];
    Tensor<double>& output = batch.factors[1];
    context.write(input.view().data(), factors->input);
    context.write(output.view().data(), factors->output_score);
    LayerScores::Layer layer = batch.layers.front();
    layer.input = factors->input;
    layer.output_score = factors->output_score;
    layer.owner = factors;
    alive = factors;
    scores.begin({.samples = samples});
    scores.add(layer);
  }
};

TEST_F(emulated, owners_wait_for_queued_work_and_the_host_does_not) {
  Recorder failures;
  const device::Live before = device::live();
  {
    Work work;
    std::weak_ptr<const void> alive;
    work.fill(alive);
    work.optimizer.step(work.scores);  // allocates
    for (int i = 0; i < 5; ++i) {
      work.fill(alive);
      const std::int64_t waits = device::counters().synchronizations;
      work.optimizer.step(work.scores);
      work.scores.clear();
      EXPECT_EQ(device::counters().synchronizations, waits);
      EXPECT_GT(device::queued(), 0);
      EXPECT_FALSE(alive.expired()) << "its work has not run";
      EXPECT_EQ(work.optimizer.reports().size(), i == 0 ? 2U : 1U);
      EXPECT_TRUE(alive.expired());
    }
    EXPECT_LE(device::live().events, before.events + 2) << "groups are used again";
    work.fill(alive);
    work.optimizer.step(work.scores);
    work.scores.clear();
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_EQ(device::live().events, before.events);
  EXPECT_EQ(device::live().allocations, before.allocations);
  EXPECT_EQ(failures.count(), 0U);
}

TEST_F(emulated, owners_of_a_captured_step_stay_until_a_later_one_goes) {
  const Stream stream;
  Work work(cuda_context(stream.handle));
  std::weak_ptr<const void> captured;
  work.fill(captured);
  work.optimizer.step(work.scores);
  const Context& context = work.batch.parameters.context();
  {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    work.optimizer.step(work.scores);
    work.scores.clear();
    ASSERT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  context.synchronize();
  EXPECT_FALSE(captured.expired()) << "a graph may hold its addresses";
  std::weak_ptr<const void> later;
  work.fill(later);
  work.optimizer.step(work.scores);
  work.scores.clear();
  context.synchronize();
  EXPECT_TRUE(captured.expired());
  EXPECT_TRUE(later.expired());
}

TEST_F(emulated, a_context_changes_its_stream_behind_its_work) {
  Recorder failures;
  const device::Live before = device::live();
  {
    const Stream second;  // there until the context has gone
    Work work;
    Work undisturbed;
    std::weak_ptr<const void> alive;
    const Context& context = work.batch.parameters.context();
    std::optional<Stream> first(std::in_place);
    for (Work* one : {&work, &undisturbed}) {
      one->fill(alive);
      one->optimizer.step(one->scores);
    }
    // Work is queued on each stream that is left.
    set_cuda_stream(context, first->handle);
    EXPECT_EQ(cuda_stream(context), first->handle);
    work.optimizer.step(work.scores);
    set_cuda_stream(context, second.handle);
    work.optimizer.step(work.scores);
    EXPECT_EQ(cuda_stream(context), second.handle);
    second.synchronize();
    first.reset();  // nothing names it any more
    work.fill(alive);
    work.optimizer.step(work.scores);
    for (int i = 0; i < 2; ++i) undisturbed.optimizer.step(undisturbed.scores);
    undisturbed.fill(alive);
    undisturbed.optimizer.step(undisturbed.scores);
    EXPECT_EQ(work.optimizer.report().step, 4);
    undisturbed.optimizer.report();
    EXPECT_EQ(work.batch.theta_numbers(), undisturbed.batch.theta_numbers());
  }
  EXPECT_EQ(device::live().streams, before.streams);
  EXPECT_EQ(device::live().allocations, before.allocations);
  EXPECT_EQ(failures.count(), 0U);
}

TEST_F(emulated, a_stream_that_cannot_be_taken_changes_nothing) {
  const Stream stream;
  const Context context = cuda_context(stream.handle);
  const Stream captured;
  ASSERT_EQ(cudaStreamBeginCapture(captured.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_THROW(set_cuda_stream(context, captured.handle), ArgumentError);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(captured.handle, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  int nothing = 0;
  EXPECT_THROW(set_cuda_stream(context, reinterpret_cast<cudaStream_t>(&nothing)), DeviceError);
  EXPECT_THROW(set_cuda_stream(Context::cpu(), stream.handle), DeviceError);
  EXPECT_EQ(cuda_stream(context), stream.handle);
  set_cuda_stream(context, stream.handle);
  device::set_devices(2);
  {
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    const Stream elsewhere;
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    EXPECT_THROW(set_cuda_stream(context, elsewhere.handle), DeviceError);
  }
  device::set_devices(1);
  EXPECT_EQ(cuda_stream(context), stream.handle);
}

}  // namespace

}  // namespace natgrad::tests
