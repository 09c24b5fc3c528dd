#include "support.hpp"

// What `Capture` owns and what it refuses.

namespace {

using natgrad::tests::expect_at_most;
using natgrad::tests::expect_error;
using natgrad::torch::Capture;
namespace nn = torch::nn;

at::Tensor log_p(const at::Tensor& logits) { return torch::log_softmax(logits, 1).select(1, 0); }

struct Net : nn::Module {
  nn::Linear only{nullptr};
  Net() { only = register_module("only", nn::Linear(3, 2)); }
};

struct Run {
  Run() {
    net.to(torch::kDouble);
    capture.add(net);
  }
  Net net;
  Capture capture{natgrad::torch::context(at::kCPU)};
};

/// The recorder and all tensors of the forward pass go before the rows are used, in every way to
/// step; what takes their memory is far from them.
void inputs_may_go_before_the_step() {
  for (const char* way : {"direction", "step", "accumulated step"}) {
    Run run;
    natgrad::NaturalGradient optimizer(run.capture.parameters(),
                                       {.damping = {.absolute = 0.1},
                                        .step = natgrad::FixedRate{1},
                                        .momentum = natgrad::NoMomentum{}});
    natgrad::LayerScores scores(run.capture.parameters());
    const auto flat = [&] {
      return torch::cat({run.net.only->weight.detach().flatten(), run.net.only->bias.detach()});
    };
    const at::Tensor before = flat();
    at::Tensor dense;
    {
      natgrad::torch::Capture capture = std::move(run.capture);
      const at::Tensor x = torch::randn({6, 3}, torch::kDouble);
      dense = natgrad::tests::dense_direction(log_p(run.net.only->forward(x)), run.net.parameters(),
                                              0.1);
      capture.add_to(scores, log_p(capture(run.net.only, x)));
    }
    std::vector<at::Tensor> others;
    for (int i = 0; i < 64; ++i) others.push_back(torch::full({6, 3}, 1e6, torch::kDouble));
    at::Tensor direction = torch::empty({8}, torch::kDouble);
    if (std::string(way) == "direction") {
      optimizer.direction(scores, natgrad::torch::view(direction));
    } else if (std::string(way) == "step") {
      optimizer.step(scores);
      direction = flat() - before;
    } else {
      optimizer.accumulate(scores);
      optimizer.step();
      direction = flat() - before;
    }
    expect_at_most(std::string("without its inputs, a ") + way,
                   natgrad::tests::relative_distance(direction, dense), 1e-10);
  }
}

void errors() {
  Run run;
  natgrad::LayerScores scores(run.capture.parameters());
  at::Tensor x = torch::randn({6, 3}, torch::kDouble);
  const auto forward = [&] { return log_p(run.capture(run.net.only, x)); };

  at::Tensor p = forward();
  x.mul_(2);
  expect_error<natgrad::ArgumentError>("an input changed in place", "\"only.weight\" was changed",
                                       [&] { run.capture.add_to(scores, p); });
  run.capture.forget();
  expect_error<natgrad::ArgumentError>("nothing recorded", "nothing was recorded",
                                       [&] { run.capture.add_to(scores, p); });
  expect_error<natgrad::ShapeError>("log p is one number", "one number a sample",
                                    [&] { run.capture.add_to(scores, forward().sum()); });
  run.capture.forget();
  expect_error<natgrad::ShapeError>("other samples", "its first dimension is not the 5 samples",
                                    [&] { run.capture.add_to(scores, forward().slice(0, 0, 5)); });
  run.capture.forget();
  nn::Linear stranger(3, 2);
  stranger->to(torch::kDouble);
  expect_error<natgrad::ArgumentError>("a layer that was not added", "was not added",
                                       [&] { run.capture(stranger, x); });
  expect_error<natgrad::ArgumentError>("without gradients", "NoGradGuard", [&] {
    const at::NoGradGuard off;
    run.capture(run.net.only, x);
  });
  expect_error<natgrad::TypeError>("half precision", "Half",
                                   [&] { natgrad::torch::view(torch::zeros({2}, torch::kHalf)); });
  expect_error<natgrad::ShapeError>("a transposed tensor", "contiguous()", [&] {
    natgrad::torch::view(torch::zeros({2, 3}, torch::kDouble).t());
  });
  nn::Conv2d groups(nn::Conv2dOptions(4, 4, 3).groups(2));
  expect_error<natgrad::ArgumentError>("groups", "2 groups", [&] {
    run.capture(groups, torch::zeros({1, 4, 5, 5}));
  });
  run.net.only->weight.set_data(torch::zeros({2, 3}, torch::kDouble));
  expect_error<natgrad::ArgumentError>("memory that was replaced", "\"only.weight\" is not what",
                                       [&] { forward(); });
  run.capture.rebind(run.net);
  run.capture.add_to(scores, forward());
  natgrad::NaturalGradient optimizer(run.capture.parameters(), {.damping = {.absolute = 0.1}});
  optimizer.step(scores);
  expect_at_most("a weight that was replaced and did not move",
                 run.net.only->weight.abs().max().item<double>() > 1e-3 ? 0 : 1, 0);
}

}  // namespace

int main() {
  torch::manual_seed(1);
  inputs_may_go_before_the_step();
  errors();
  return natgrad::tests::result();
}
