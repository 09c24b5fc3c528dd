#include "support.hpp"

#include <cmath>
#include <functional>

// The direction of nets of every kind of layer that `Capture` knows, against a dense solve in
// double by per-sample gradients.

namespace {

using natgrad::tests::expect_at_most;
using natgrad::tests::expect_error;
namespace nn = torch::nn;
using natgrad::torch::Capture;

constexpr double damping = 1e-3;
constexpr double rate = 0.3;

/// log p of the labels under the softmax of the logits, one number a sample.
at::Tensor log_p(const at::Tensor& logits, const at::Tensor& labels) {
  return torch::log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
}

struct Mlp : nn::Module {
  nn::Linear first{nullptr}, second{nullptr}, third{nullptr};
  Mlp() {
    first = register_module("first", nn::Linear(6, 7));
    second = register_module("second", nn::Linear(nn::LinearOptions(7, 7).bias(false)));
    third = register_module("third", nn::Linear(7, 4));
  }
  at::Tensor logits(Capture& capture, const at::Tensor& x) {
    at::Tensor h = torch::tanh(capture(first, x));
    h = torch::tanh(capture(second, h));
    h = torch::tanh(capture(second, h));  // twice: one weight
    return capture(third, h);
  }
  at::Tensor log_p_of(Capture& capture, const at::Tensor& x, const at::Tensor& labels) {
    return log_p(logits(capture, x), labels);
  }
};

struct Cnn : nn::Module {
  nn::Conv2d first{nullptr};
  nn::GroupNorm norm{nullptr};
  nn::Conv2d second{nullptr};
  nn::Linear last{nullptr};
  Cnn() {
    first = register_module("first", nn::Conv2d(nn::Conv2dOptions(2, 4, {3, 2}).padding({1, 2})));
    norm = register_module("norm", nn::GroupNorm(2, 4));
    second = register_module(
        "second", nn::Conv2d(nn::Conv2dOptions(4, 3, 2).stride({2, 1}).dilation({1, 2})));
    last = register_module("last", nn::Linear(nn::LinearOptions(3, 4)));
  }
  at::Tensor log_p_of(Capture& capture, const at::Tensor& x, const at::Tensor& labels) {
    at::Tensor h = torch::tanh(capture(norm, capture(first, x)));
    h = torch::tanh(capture(second, h)).mean({2, 3});
    return log_p(capture(last, h), labels);
  }
};

struct LineAndVolume : nn::Module {
  nn::Conv1d line{nullptr};
  nn::Conv3d volume{nullptr};
  nn::Linear last{nullptr};
  LineAndVolume() {
    line = register_module("line", nn::Conv1d(nn::Conv1dOptions(2, 3, 3).padding(torch::kSame)));
    volume = register_module("volume", nn::Conv3d(nn::Conv3dOptions(3, 2, 2).bias(false)));
    last = register_module("last", nn::Linear(2, 4));
  }
  at::Tensor log_p_of(Capture& capture, const at::Tensor& x, const at::Tensor& labels) {
    at::Tensor h = torch::tanh(capture(line, x));
    h = torch::tanh(capture(volume, h.reshape({x.size(0), 3, 2, 2, 3}))).mean({2, 3, 4});
    return log_p(capture(last, h), labels);
  }
};

/// Words, layer norm, and a decoder that is the embedding itself; the last word has no gradient as
/// an input.
struct Language : nn::Module {
  nn::Embedding words{nullptr};
  nn::Linear inner{nullptr};
  nn::LayerNorm norm{nullptr};
  Language() {
    words = register_module("words", nn::Embedding(nn::EmbeddingOptions(9, 5).padding_idx(8)));
    inner = register_module("inner", nn::Linear(5, 5));
    norm = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({5})));
  }
  at::Tensor log_p_of(Capture& capture, const at::Tensor& text, const at::Tensor& next) {
    at::Tensor h = capture(norm, torch::tanh(capture(inner, capture(words, text))));
    const at::Tensor logits =
        capture.record(words->weight, {}, h, at::matmul(h, words->weight.t()));
    return torch::log_softmax(logits, 2).gather(2, next.unsqueeze(2)).squeeze(2).sum(1);
  }
};

/// Direction, step and check of one net.
template <class Net>
void compare(const char* name, const at::Tensor& x, const at::Tensor& labels) {
  torch::manual_seed(3);
  Net net;
  net.to(torch::kDouble);
  const std::vector<at::Tensor> parameters = net.parameters();
  {
    const at::NoGradGuard off;  // scales and shifts that are not 1 and 0
    for (const at::Tensor& p : parameters) p.add_(0.1 * torch::randn_like(p));
  }
  Capture capture(natgrad::torch::context(at::kCPU));
  capture.add(net);
  const at::Tensor dense =
      natgrad::tests::dense_direction(net.log_p_of(capture, x, labels), parameters, damping);
  capture.forget();

  natgrad::NaturalGradient optimizer(capture.parameters(), {.damping = {.absolute = damping},
                                                            .step = natgrad::FixedRate{rate},
                                                            .momentum = natgrad::NoMomentum{}});
  natgrad::LayerScores scores(capture.parameters());
  const auto flat = [&] {
    std::vector<at::Tensor> parts;
    for (const at::Tensor& p : parameters) parts.push_back(p.detach().flatten());
    return at::cat(parts);
  };
  const at::Tensor before = flat();
  capture.add_to(scores, net.log_p_of(capture, x, labels));
  const at::Tensor direction = torch::empty_like(before);
  optimizer.direction(scores, natgrad::torch::view(direction));
  expect_at_most(std::string(name) + ", direction",
                 natgrad::tests::relative_distance(direction, dense), 1e-10);
  optimizer.step(scores);
  expect_at_most(std::string(name) + ", parameters in place",
                 natgrad::tests::relative_distance(flat() - before, rate * dense), 1e-9);
}

/// Two sets of rows from one forward pass: of labels drawn from the model, and of the data.
void compare_drawn_labels() {
  torch::manual_seed(4);
  Mlp net;
  net.to(torch::kDouble);
  Capture capture(natgrad::torch::context(at::kCPU));
  capture.add(net);
  const at::Tensor x = torch::randn({12, 6}, torch::kDouble);
  const at::Tensor labels = torch::randint(4, {12}, torch::kLong);
  const at::Tensor drawn = torch::randint(4, {12}, torch::kLong);
  const auto rows_of = [&](const at::Tensor& of) {
    const at::Tensor rows =
        natgrad::tests::dense_rows(net.log_p_of(capture, x, of), net.parameters());
    capture.forget();
    return rows;
  };
  const at::Tensor expected = natgrad::tests::dense_solve(
      rows_of(drawn), natgrad::tests::dense_gradient(rows_of(labels)), damping);

  natgrad::LayerScores fisher(capture.parameters(), {.kind = natgrad::FisherKind::sampled});
  natgrad::LayerScores gradient(capture.parameters());
  const at::Tensor logits = net.logits(capture, x);
  capture.add_to(fisher, log_p(logits, drawn), {}, true);
  capture.add_to(gradient, log_p(logits, labels));
  natgrad::NaturalGradient optimizer(capture.parameters(), {.damping = {.absolute = damping}});
  const at::Tensor direction = torch::empty_like(expected);
  optimizer.direction({.fisher = fisher, .gradient = gradient}, natgrad::torch::view(direction));
  expect_at_most("drawn labels, direction", natgrad::tests::relative_distance(direction, expected),
                 1e-10);
}

}  // namespace

int main() {
  torch::manual_seed(1);
  const auto labels = [](std::int64_t n) { return torch::randint(4, {n}, torch::kLong); };
  const auto numbers = [](std::vector<std::int64_t> size) {
    return torch::randn(size, torch::kDouble);
  };
  compare<Mlp>("fully connected", numbers({12, 6}), labels(12));
  compare<Cnn>("convolutions, group norm", numbers({10, 2, 6, 7}), labels(10));
  compare<LineAndVolume>("convolutions of one and three dimensions", numbers({9, 2, 12}),
                         labels(9));
  compare<Language>("embedding, layer norm, tied decoder", torch::randint(9, {8, 6}, torch::kLong),
                    torch::randint(9, {8, 6}, torch::kLong));
  compare_drawn_labels();
  return natgrad::tests::result();
}
