#include "net.cuh"
#include <natgrad/cuda.hpp>
#include <natgrad/natgrad.hpp>

#include <cstdio>

// The same with one step, forward and backward pass included, captured in a CUDA graph that is
// replayed for every further batch. It fails unless every replay was a step, and the loss falls.

namespace {

int run() {
  Device device;
  Numbers numbers;
  const Data data = half_circles(device, numbers);
  const Net net = random_net(device, numbers);
  float* x = device.tensor(std::vector<float>(batch * inputs));
  int* label = device.tensor(std::vector<int>(batch));
  const cudaStream_t stream = device.stream();
  const double first = mean_loss(net, data, stream);
  const auto load = [&](int step) {
    const int from = step * batch % samples;
    const auto copy = [&](void* to, const void* from_here, std::size_t bytes) {
      require(cudaMemcpyAsync(to, from_here, bytes, cudaMemcpyDeviceToDevice, stream), "load");
    };
    copy(x, data.x + from * inputs, batch * inputs * sizeof(float));
    copy(label, data.label + from, batch * sizeof(int));
  };

  natgrad::Parameters parameters(natgrad::cuda_context(stream));
  const natgrad::Placement gpu = {.device = parameters.context().device()};
  const natgrad::Segment w1 = parameters.add({net.w1, {hidden, inputs}, gpu}, "w1");
  const natgrad::Segment b1 = parameters.add({net.b1, {hidden}, gpu}, "b1");
  const natgrad::Segment w2 = parameters.add({net.w2, {classes, hidden}, gpu}, "w2");
  const natgrad::Segment b2 = parameters.add({net.b2, {classes}, gpu}, "b2");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-2}});
  natgrad::LayerScores scores(parameters);
  const auto add_scores = [&] {
    scores.begin({.samples = batch});
    scores.add({.weight = w1,
                .bias = b1,
                .input = {x, {batch, inputs}, gpu},
                .output_score = {net.score1, {batch, hidden}, gpu}});
    scores.add({.weight = w2,
                .bias = b2,
                .input = {net.activation, {batch, hidden}, gpu},
                .output_score = {net.score2, {batch, classes}, gpu}});
  };
  std::vector<natgrad::StepReport> reports;

  // [shown]
  const auto train_on = [&](const float* batch_x, const int* batch_label) {
    pass(net, batch_x, batch_label, batch, stream);  // your own kernels
    add_scores();                                    // begin and add, as above
    optimizer.step(scores);
  };
  load(0);
  train_on(x, label);  // the first step allocates

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t step = nullptr;
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  train_on(x, label);  // is recorded, not run
  require(cudaStreamEndCapture(stream, &graph), "capture");
  require(cudaGraphInstantiate(&step, graph, 0), "instantiate");

  for (int i = 1; i < steps; ++i) {
    load(i);  // the next batch into the arrays that were captured
    require(cudaGraphLaunch(step, stream), "replay");
    for (const natgrad::StepReport& report : optimizer.reports()) reports.push_back(report);
  }
  // [end]

  const natgrad::StepReport report = optimizer.report();  // waits
  require(cudaGraphExecDestroy(step), "destroy the graph");
  require(cudaGraphDestroy(graph), "destroy the graph");
  const double last = mean_loss(net, data, stream);
  std::printf("natgrad %s: loss %.4f -> %.4f, step %ld %s, %zu reports on the way\n",
              natgrad::version(), first, last, static_cast<long>(report.step),
              to_string(report.outcome), reports.size());
  for (const natgrad::StepReport& rest : optimizer.reports()) reports.push_back(rest);
  if (reports.size() != steps || report.step != steps) return fail("a replay was no step");
  for (const natgrad::StepReport& one : reports) {
    if (one.outcome != natgrad::Outcome::accepted) return fail("a step failed");
  }
  return last < 0.05 ? 0 : fail("the loss did not fall enough");
}

}  // namespace

int main() { return run_on_a_gpu(run); }
