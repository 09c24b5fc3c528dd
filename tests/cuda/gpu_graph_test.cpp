#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

// A step captured in a CUDA graph, replayed, is the next step. Only a real device has graphs.

namespace natgrad::tests {

namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw DeviceError(std::string(what) + ": " + cudaGetErrorString(status));
}

/// A stream that is there before all that works on it, and after.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor)

 private:
  cudaStream_t stream_ = nullptr;
};

/// What `work` enqueues, as a graph. The capture ends also where `work` throws, which then says
/// what cannot be captured.
class Graph {
 public:
  template <class Work>
  Graph(cudaStream_t stream, const Work& work) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin a capture");
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph_);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph_), "end the capture");
    check(cudaGraphInstantiate(&runnable_, graph_, 0), "make the graph runnable");
  }
  ~Graph() {
    if (runnable_ != nullptr) cudaGraphExecDestroy(runnable_);
    cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(runnable_, stream), "a replay"); }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t runnable_ = nullptr;
};

/// Twenty replays of one step against twenty steps, with another rate for the last ten.
template <class T>
void compare(const NaturalGradient::Options& options) {
  const BatchShape shape = {.layers = {{.inputs = 30, .outputs = 20}, {.inputs = 20, .outputs = 4}},
                            .samples = 64};
  constexpr int steps = 20;
  constexpr int half = 10;
  constexpr double other_rate = 0.02;
  const Stream stream;
  const Context context = cuda_context(stream);
  const LayeredBatch<T> plain(shape, context);
  NaturalGradient expected(plain.parameters, options);
  LayerScores plain_scores(plain.parameters);
  for (int i = 0; i < 1 + steps; ++i) {
    if (i == 1 + half) expected.set_rate(other_rate);
    plain.fill(plain_scores);
    expected.step(plain_scores);
  }

  const LayeredBatch<T> batch(shape, context);
  NaturalGradient optimizer(batch.parameters, options);
  LayerScores scores(batch.parameters);
  const auto step = [&] {
    batch.fill(scores);
    optimizer.step(scores);
  };
  step();  // allocates
  context.synchronize();
  const Graph graph(stream, step);
  for (int i = 0; i < steps; ++i) {
    if (i == half) optimizer.set_rate(other_rate);
    graph.launch(stream);
  }
  EXPECT_EQ(optimizer.report().step, 1 + steps);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(optimizer.report().form, options.form);
  EXPECT_EQ(optimizer.report().rate, expected.report().rate) << "the schedule has gone on";
  EXPECT_EQ(batch.theta_memory(), plain.theta_memory());
}

template <class T>
void compare_forms(NaturalGradient::Options options) {
  options.damping = {.absolute = 0.05};
  options.schedule = {.decay = RateDecay::linear, .steps = 100};
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    options.form = form;
    try {
      compare<T>(options);
    } catch (const Error& error) {
      ADD_FAILURE() << "a step cannot be captured: " << error.what();
    }
  }
}

TEST(graph, a_captured_step_is_the_next_step_when_it_is_replayed) {
  compare_forms<double>({.step = FixedRate{0.05}, .momentum = HeavyBall{0.5}});
}

TEST(graph, a_captured_step_in_float_holds_its_refinement) {
  compare_forms<float>({.step = FixedRate{0.05}, .momentum = Spring{0.5}, .refinement = 2});
}

TEST(graph, a_captured_step_takes_tf32) {
  compare_forms<float>({.step = FixedRate{0.05}, .momentum = NoMomentum{}, .allow_tf32 = true});
}

TEST(graph, a_captured_batch_of_parts_is_the_next_one) {
  for (const Form form : {Form::dual, Form::primal}) {
    SCOPED_TRACE(to_string(form));
    const NaturalGradient::Options options = {.damping = {.absolute = 0.05}, .form = form};
    const BatchShape shape = {.layers = {{.inputs = 9, .outputs = 7}}, .samples = 24};
    const Stream stream;
    const Context context = cuda_context(stream);
    const LayeredBatch<double> batch(shape, context);
    const LayeredBatch<double> uncaptured(shape, context);
    NaturalGradient optimizer(batch.parameters, options);
    NaturalGradient expected(uncaptured.parameters, options);
    // The scores outlive the graph that names their arrays.
    LayerScores part(batch.parameters);
    LayerScores uncaptured_part(uncaptured.parameters);
    const auto step = [](const LayeredBatch<double>& of, LayerScores& part, NaturalGradient& by) {
      for (const std::int64_t first : {0, 8, 16}) {
        of.fill(part, {.samples = 8, .batch_samples = 24}, first);
        by.accumulate(part);
      }
      by.step();
    };
    for (int i = 0; i < 3; ++i) step(uncaptured, uncaptured_part, expected);
    step(batch, part, optimizer);
    context.synchronize();
    try {
      const Graph graph(stream, [&] { step(batch, part, optimizer); });
      for (int i = 0; i < 2; ++i) graph.launch(stream);
    } catch (const Error& error) {
      ADD_FAILURE() << "it cannot be captured: " << error.what();
    }
    EXPECT_EQ(batch.theta_memory(), uncaptured.theta_memory());
  }
}

TEST(graph, a_captured_net_draws_anew) {
  const Stream stream;
  const Context context = cuda_context(stream);
  FullyConnected net(context, {.sizes = {5, 8, 3}});
  Tensor<float> inputs(Random(1).table(16, 5));
  LayerScores data(net.parameters());
  LayerScores sampled(net.parameters(), {.kind = FisherKind::sampled});
  NaturalGradient optimizer(net.parameters(), {.damping = {.absolute = 0.05}});
  const Array labels = context.array({16, 1}, ElementType::int32);
  const std::vector<std::int32_t> ones(16, 1);
  context.write(ones.data(), labels);
  const auto step = [&] {
    net.forward(inputs.view());
    net.backward(labels);
    net.sample();
    net.add_to(data, {.samples = 16});
    net.add_sampled_to(sampled, {.samples = 16});
    optimizer.step({.fisher = sampled, .gradient = data});
  };
  step();
  const std::int64_t drawn = net.draw_counter();
  try {
    const Graph graph(stream, step);
    for (int i = 0; i < 5; ++i) graph.launch(stream);
    EXPECT_EQ(optimizer.report().step, 6);
    EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
    EXPECT_EQ(net.draw_counter(), drawn + 5);
  } catch (const Error& error) {
    ADD_FAILURE() << "it cannot be captured: " << error.what();
  }
}

TEST(graph, a_captured_step_finds_its_length) {
  compare_forms<float>(
      {.step = KlTrustRegion{.radius = 1e-3, .allow_empirical = true}, .momentum = NoMomentum{}});
}

}  // namespace

}  // namespace natgrad::tests
