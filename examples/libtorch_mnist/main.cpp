// Trains a net on MNIST with LibTorch's autograd and natgrad's step:
//     libtorch_mnist DIR [BATCH [EPOCHS]]
// DIR holds the four files of the data set, unpacked (train-images-idx3-ubyte and so on).

#include <natgrad/torch.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <torch/torch.h>
#include <utility>

namespace nn = torch::nn;

struct Net : nn::Module {
  nn::Linear first{nullptr}, second{nullptr};
  Net(int inputs, int hidden, int classes) {
    first = register_module("first", nn::Linear(inputs, hidden));
    second = register_module("second", nn::Linear(hidden, classes));
  }
  // `apply` is the recorder while training, and a plain call of the layer else.
  template <class Apply>
  at::Tensor forward(Apply&& apply, const at::Tensor& images) {
    return apply(second, torch::tanh(apply(first, images)));
  }
};

std::pair<at::Tensor, at::Tensor> load(const char* folder, bool train) {
  using torch::data::datasets::MNIST;
  const MNIST data(folder, train ? MNIST::Mode::kTrain : MNIST::Mode::kTest);
  return {data.images().reshape({-1, 784}).contiguous(), data.targets().to(torch::kLong)};
}

double accuracy(Net& net, const at::Tensor& images, const at::Tensor& labels) {
  const torch::NoGradGuard off;
  const auto plain = [](nn::Linear& layer, const at::Tensor& x) { return layer->forward(x); };
  const at::Tensor right = net.forward(plain, images).argmax(1).eq(labels);
  return right.to(torch::kDouble).mean().item<double>();
}

int train(const char* folder, int batch, int epochs) {
  torch::manual_seed(0);
  const auto [images, labels] = load(folder, true);
  const auto [test_images, test_labels] = load(folder, false);
  Net net(784, 512, 10);

  // [shown]
  natgrad::torch::Capture capture(natgrad::torch::context(at::kCPU));
  capture.add(net);
  natgrad::NaturalGradient optimizer(capture.parameters(), {.damping = {.absolute = 3e-2},
                                                            .step = natgrad::FixedRate{0.3},
                                                            .momentum = natgrad::Spring{0.9}});
  natgrad::LayerScores scores(capture.parameters());

  for (int epoch = 1; epoch <= epochs; ++epoch) {
    const at::Tensor order = torch::randperm(images.size(0));
    for (const at::Tensor& pick : order.split(batch)) {
      const at::Tensor logits = net.forward(capture, images.index_select(0, pick));
      const at::Tensor log_p = torch::log_softmax(logits, 1)
                                   .gather(1, labels.index_select(0, pick).unsqueeze(1))
                                   .squeeze(1);
      capture.add_to(scores, log_p);
      optimizer.step(scores);
    }
    std::printf("epoch %d: test accuracy %.4f, last step %s\n", epoch,
                accuracy(net, test_images, test_labels),
                natgrad::to_string(optimizer.report().outcome));
  }
  // [end]
  return EXIT_SUCCESS;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: libtorch_mnist DIR [BATCH [EPOCHS]]\n");
    return 2;
  }
  try {
    return train(argv[1], argc > 2 ? std::atoi(argv[2]) : 4000, argc > 3 ? std::atoi(argv[3]) : 5);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "libtorch_mnist: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
