#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

// A step captured in a CUDA graph, replayed, is the next step. Only a real device has graphs.

namespace natgrad::tests {

namespace {

void check(cudaError_t status, const char* what) {
  ASSERT_EQ(status, cudaSuccess) << what << ": " << cudaGetErrorString(status);
}

void compare(Form form) {
  SCOPED_TRACE(to_string(form));
  const BatchShape shape = {.layers = {{.inputs = 30, .outputs = 20}, {.inputs = 20, .outputs = 4}},
                            .samples = 64};
  constexpr int steps = 20;
  const NaturalGradient::Options options = {.damping = {.absolute = 0.05},
                                            .step = FixedRate{0.05},
                                            .schedule = {.decay = RateDecay::linear, .steps = 100},
                                            .momentum = HeavyBall{0.5},
                                            .form = form};
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
  {
    const Context context = cuda_context(stream);
    const LayeredBatch<double> plain(shape, context);
    NaturalGradient expected(plain.parameters, options);
    LayerScores plain_scores(plain.parameters, {.kind = Kind::exact});
    for (int i = 0; i < 1 + steps; ++i) {
      plain.fill(plain_scores);
      expected.step(plain_scores);
    }

    const LayeredBatch<double> batch(shape, context);
    NaturalGradient optimizer(batch.parameters, options);
    LayerScores scores(batch.parameters, {.kind = Kind::exact});
    batch.fill(scores);
    optimizer.step(scores);  // allocates
    check(cudaStreamSynchronize(stream), "the first step");

    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runnable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin to capture");
    batch.fill(scores);
    optimizer.step(scores);
    check(cudaStreamEndCapture(stream, &graph), "end of the capture");
    check(cudaGraphInstantiate(&runnable, graph, 0), "make the graph runnable");
    for (int i = 0; i < steps; ++i) check(cudaGraphLaunch(runnable, stream), "run the graph");
    EXPECT_EQ(optimizer.report().step, 1 + steps);
    EXPECT_EQ(optimizer.report().form, form);
    EXPECT_EQ(optimizer.report().rate, expected.report().rate) << "the schedule has gone on";
    EXPECT_EQ(batch.theta_memory(), plain.theta_memory());
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(graph);
  }
  check(cudaStreamDestroy(stream), "destroy the stream");
}

TEST(graph, a_captured_step_is_the_next_step_when_it_is_replayed) {
  compare(Form::dual);
  compare(Form::primal);
}

}  // namespace

}  // namespace natgrad::tests
