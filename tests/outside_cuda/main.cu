#include "net.cuh"
#include <natgrad/cuda.hpp>
#include <natgrad/natgrad.hpp>

#include <cstdio>

// A program of somebody else's in CUDA C++: natgrad takes the steps on its stream. It fails unless
// the gradient and the scores agree, and the loss falls.

namespace {

/// Of the mean of log p with respect to one layer, weight (out, in) first, then the bias.
__global__ void layer_gradient(const float* input, int in, const float* score, int out, int n,
                               float* gradient) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= out * (in + 1)) return;
  const bool is_bias = i >= out * in;
  const int row = is_bias ? i - out * in : i / in;
  float sum = 0;
  for (int s = 0; s < n; ++s) {
    sum += score[s * out + row] * (is_bias ? 1.0F : input[s * in + i % in]);
  }
  gradient[i] = sum / static_cast<float>(n);
}

/// Enqueues the gradient as this program's own training would take it, in the parameters' order.
void gradient_of(const Net& net, const float* x, float* gradient, cudaStream_t stream) {
  constexpr int first = hidden * (inputs + 1);
  layer_gradient<<<blocks(first), threads, 0, stream>>>(x, inputs, net.score1, hidden, batch,
                                                        gradient);
  layer_gradient<<<blocks(size - first), threads, 0, stream>>>(net.activation, hidden, net.score2,
                                                               classes, batch, gradient + first);
  require(cudaGetLastError(), "gradient");
}

int run() {
  Device device;
  Numbers numbers;
  const Data data = half_circles(device, numbers);
  const Net net = random_net(device, numbers);
  float* gradient = device.tensor(std::vector<float>(size));
  const cudaStream_t stream = device.stream();
  const double first = mean_loss(net, data, stream);
  natgrad::ScoresCheck check;

  // [shown]
  natgrad::Parameters parameters(natgrad::cuda_context(stream));  // yours, with your kernels on it
  const natgrad::Placement gpu = {.device = parameters.context().device()};
  const natgrad::Segment w1 = parameters.add({net.w1, {hidden, inputs}, gpu}, "w1");
  const natgrad::Segment b1 = parameters.add({net.b1, {hidden}, gpu}, "b1");
  const natgrad::Segment w2 = parameters.add({net.w2, {classes, hidden}, gpu}, "w2");
  const natgrad::Segment b2 = parameters.add({net.b2, {classes}, gpu}, "b2");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-2}});
  natgrad::LayerScores scores(parameters);

  for (int step = 0; step < steps; ++step) {
    const int from = step * batch % samples;
    const float* x = data.x + from * inputs;
    pass(net, x, data.label + from, batch, stream);  // enqueues your own kernels
    scores.begin({.samples = batch});
    scores.add({.weight = w1,
                .bias = b1,
                .input = {x, {batch, inputs}, gpu},
                .output_score = {net.score1, {batch, hidden}, gpu}});
    scores.add({.weight = w2,
                .bias = b2,
                .input = {net.activation, {batch, hidden}, gpu},
                .output_score = {net.score2, {batch, classes}, gpu}});
    if (step == 0) {  // of a new program; this waits, what follows does not
      gradient_of(net, x, gradient, stream);
      check = scores.check({gradient, {size}, gpu});
    }
    optimizer.step(scores);  // enqueues: the next pass sees the new parameters
  }
  const natgrad::StepReport report = optimizer.report();  // waits
  // [end]

  std::puts(check.text.c_str());
  const double last = mean_loss(net, data, stream);
  std::printf("natgrad %s: loss %.4f -> %.4f, step %ld %s\n", natgrad::version(), first, last,
              static_cast<long>(report.step), to_string(report.outcome));
  if (!(check.distance < 1e-4) || !check.uncovered.empty()) {
    return fail("the scores are not those of the gradient");
  }
  if (report.outcome != natgrad::Outcome::accepted || report.step != steps) {
    return fail("a step failed");
  }
  return last < 0.05 ? 0 : fail("the loss did not fall enough");
}

}  // namespace

int main() { return run_on_a_gpu(run); }
