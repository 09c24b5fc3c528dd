// What a step costs in LibTorch: `torch_step [ROUNDS [SAMPLES...]]`. For a net of 784-1024-1024-10
// relu units in float it times, in turn, a plain gradient step, natgrad's step through `Capture`,
// and the same direction in ten lines of torch, and prints medians of the ratios to the plain step
// of the same round.

#include <natgrad/torch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <torch/torch.h>
#include <vector>

namespace {

namespace nn = torch::nn;

constexpr double damping = 0.03;
constexpr double rate = 1e-4;

struct Net : nn::Module {
  std::vector<nn::Linear> layers;
  Net() {
    torch::manual_seed(0);
    const std::array<int, 4> sizes = {784, 1024, 1024, 10};
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
      layers.push_back(
          register_module("layer" + std::to_string(i), nn::Linear(sizes[i], sizes[i + 1])));
    }
  }
  template <class Apply>
  at::Tensor forward(Apply&& apply, at::Tensor x) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      x = apply(layers[i], x);
      if (i + 1 < layers.size()) x = torch::relu(x);
    }
    return x;
  }
};

at::Tensor call(nn::Linear& layer, const at::Tensor& x) { return layer->forward(x); }

struct Data {
  at::Tensor x;
  at::Tensor labels;
};

struct Plain {
  Net net;
  void step(const Data& data) {
    const std::vector<at::Tensor> parameters = net.parameters();
    const at::Tensor loss = nn::functional::cross_entropy(net.forward(call, data.x), data.labels);
    const auto gradients = torch::autograd::grad({loss}, parameters);
    const at::NoGradGuard off;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].sub_(gradients[i], rate);
  }
};

struct Natural {
  Net net;
  natgrad::torch::Capture capture{natgrad::torch::context(at::kCPU)};
  natgrad::NaturalGradient optimizer;
  natgrad::LayerScores scores;
  Natural()
      : optimizer((capture.add(net), capture.parameters()), {.damping = {.absolute = damping},
                                                             .step = natgrad::FixedRate{rate},
                                                             .momentum = natgrad::NoMomentum{}}),
        scores(capture.parameters()) {}
  void step(const Data& data) {
    const at::Tensor logits = net.forward(capture, data.x);
    capture.add_to(scores,
                   torch::log_softmax(logits, 1).gather(1, data.labels.unsqueeze(1)).squeeze(1));
    optimizer.step(scores);
  }
};

/// K = sum over the layers of (A A^T + 1) o (D D^T), one solve, and S^T y.
struct TenLines {
  Net net;
  void step(const Data& data) {
    std::vector<at::Tensor> inputs, outputs;
    const at::Tensor logits = net.forward(
        [&](nn::Linear& layer, const at::Tensor& x) {
          inputs.push_back(x.detach());
          outputs.push_back(layer->forward(x));
          return outputs.back();
        },
        data.x);
    const auto loss = nn::functional::cross_entropy(
        logits, data.labels, nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    const auto d = torch::autograd::grad({-loss}, outputs);
    const at::NoGradGuard off;
    const std::int64_t n = data.x.size(0);
    at::Tensor gram;
    for (std::size_t i = 0; i < d.size(); ++i) {
      const at::Tensor part = (inputs[i].mm(inputs[i].t()) + 1) * d[i].mm(d[i].t());
      gram = i == 0 ? part : gram + part;
    }
    gram.div_(n).diagonal().add_(damping);
    const at::Tensor y = at::cholesky_solve(at::full({n, 1}, 1.0 / static_cast<double>(n)),
                                            at::linalg_cholesky(gram));
    for (std::size_t i = 0; i < d.size(); ++i) {
      net.layers[i]->weight.add_((d[i] * y).t().mm(inputs[i]), rate);
      net.layers[i]->bias.add_((d[i] * y).sum(0), rate);
    }
  }
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void compare(std::int64_t samples, int rounds) {
  torch::manual_seed(1);
  const Data data = {torch::randn({samples, 784}), torch::randint(10, {samples}, torch::kLong)};
  Plain plain;
  Natural natural;
  TenLines ten_lines;
  const std::array<std::function<void()>, 3> steps = {
      [&] { plain.step(data); }, [&] { natural.step(data); }, [&] { ten_lines.step(data); }};
  for (const auto& step : steps) step();
  std::array<std::vector<double>, 3> seconds;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      steps[i]();
      seconds[i].push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  }
  std::array<double, 3> ratios{};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::vector<double> each;
    for (std::size_t r = 0; r < seconds[i].size(); ++r)
      each.push_back(seconds[i][r] / seconds[0][r]);
    ratios[i] = median(each);
  }
  const auto [before, after] = std::pair(natural.net.parameters(), ten_lines.net.parameters());
  double apart = 0;  // of the parameters that both have moved alike
  double moved = 0;
  const std::vector<at::Tensor> start = Net().parameters();
  for (std::size_t i = 0; i < start.size(); ++i) {
    apart += (before[i] - after[i]).pow(2).sum().item<double>();
    moved += (after[i] - start[i]).pow(2).sum().item<double>();
  }
  std::printf(
      "N = %lld: plain step %.1f ms; natgrad %.2f, ten lines %.2f plain steps; natgrad / ten "
      "lines %.2f; the two are apart by %.1e of the way they went\n",
      static_cast<long long>(samples), 1e3 * median(seconds[0]), ratios[1], ratios[2],
      ratios[1] / ratios[2], std::sqrt(apart / moved));
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  std::vector<std::int64_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(std::atoll(argv[i]));
  if (sizes.empty()) sizes = {256, 1024, 4096};
  std::printf("%d threads, medians of %d rounds\n", at::get_num_threads(), rounds);
  for (const std::int64_t samples : sizes) compare(samples, rounds);
  return EXIT_SUCCESS;
}
