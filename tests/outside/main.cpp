#include <natgrad/natgrad.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

// A program of somebody else's: its own net, forward and backward pass in plain C++, on points of
// three arms of a spiral; natgrad takes the steps. It fails unless the gradient and the scores
// agree, and the loss falls.

namespace {

constexpr int inputs = 2;
constexpr int hidden = 16;
constexpr int classes = 3;
constexpr int samples = 240;
constexpr int batch = 80;

/// inputs - tanh - classes with a softmax; row-major, one row a sample.
struct Net {
  std::vector<float> w1 = std::vector<float>(hidden * inputs), b1 = std::vector<float>(hidden);
  std::vector<float> w2 = std::vector<float>(classes * hidden), b2 = std::vector<float>(classes);

  // Of the batch seen last.
  std::vector<float> activation = std::vector<float>(batch * hidden);  // tanh(z1)
  std::vector<float> score1 = std::vector<float>(batch * hidden);      // d log p / d z1
  std::vector<float> score2 = std::vector<float>(batch * classes);     // d log p / d z2
};

struct Data {
  std::vector<float> x = std::vector<float>(samples * inputs);
  std::vector<int> label = std::vector<int>(samples);
};

/// Numbers in [-1, 1) that are the same everywhere.
class Numbers {
 public:
  float next() {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<float>(state_ >> 8U) / static_cast<float>(1U << 23U) - 1;
  }

 private:
  std::uint32_t state_ = 1;
};

Data spiral(Numbers& numbers) {
  Data data;
  for (std::size_t n = 0; n < samples; ++n) {
    const int label = static_cast<int>(n) % classes;
    const float radius = static_cast<float>(37 * n % samples) / samples;  // mixes the batches
    const float angle = 2.1F * static_cast<float>(label) + 3 * radius + 0.15F * numbers.next();
    data.label[n] = label;
    data.x[n * inputs] = radius * std::cos(angle);
    data.x[n * inputs + 1] = radius * std::sin(angle);
  }
  return data;
}

/// Forward and backward pass of the rows at `x`; returns the mean of -log p.
double pass(Net& net, const float* x, const int* label) {
  double loss = 0;
  for (std::size_t n = 0; n < batch; ++n) {
    float* a = &net.activation[n * hidden];
    for (std::size_t j = 0; j < hidden; ++j) {
      float z = net.b1[j];
      for (std::size_t i = 0; i < inputs; ++i) z += net.w1[j * inputs + i] * x[n * inputs + i];
      a[j] = std::tanh(z);
    }
    float* d2 = &net.score2[n * classes];
    for (std::size_t k = 0; k < classes; ++k) {
      d2[k] = net.b2[k];
      for (std::size_t j = 0; j < hidden; ++j) d2[k] += net.w2[k * hidden + j] * a[j];
    }
    const float largest = *std::max_element(d2, d2 + classes);
    float sum = 0;
    for (std::size_t k = 0; k < classes; ++k) sum += std::exp(d2[k] - largest);
    const auto target = static_cast<std::size_t>(label[n]);
    loss += (largest + std::log(sum) - d2[target]) / batch;
    for (std::size_t k = 0; k < classes; ++k) {
      d2[k] = (k == target ? 1.0F : 0.0F) - std::exp(d2[k] - largest) / sum;
    }
    for (std::size_t j = 0; j < hidden; ++j) {
      float back = 0;
      for (std::size_t k = 0; k < classes; ++k) back += net.w2[k * hidden + j] * d2[k];
      net.score1[n * hidden + j] = back * (1 - a[j] * a[j]);
    }
  }
  return loss;
}

/// Appends the gradient of mean log p with respect to one layer, weight first, as this program's
/// own training would take it.
void append_gradient(const float* input, std::size_t in, const float* score, std::size_t out,
                     std::vector<float>& gradient) {
  const std::size_t weight = gradient.size();
  const std::size_t bias = weight + out * in;
  gradient.resize(bias + out);
  for (std::size_t n = 0; n < batch; ++n) {
    for (std::size_t k = 0; k < out; ++k) {
      const float share = score[n * out + k] / batch;
      for (std::size_t i = 0; i < in; ++i)
        gradient[weight + k * in + i] += share * input[n * in + i];
      gradient[bias + k] += share;
    }
  }
}

/// The scores against a gradient by hand: they agree, and where one layer's share is doubled they
/// do not.
bool check(const natgrad::Scores& scores, const Net& net, const float* x) {
  std::vector<float> gradient;
  append_gradient(x, inputs, net.score1.data(), hidden, gradient);
  append_gradient(net.activation.data(), hidden, net.score2.data(), classes, gradient);
  const auto size = static_cast<std::int64_t>(gradient.size());
  const natgrad::ScoresCheck agrees = scores.check({gradient.data(), {size}});
  std::puts(agrees.text.c_str());
  for (std::size_t i = 0; i < hidden * inputs; ++i) gradient[i] *= 2;
  const natgrad::ScoresCheck differs = scores.check({gradient.data(), {size}});
  return agrees.distance < 1e-4 && agrees.uncovered.empty() && differs.distance > 1e-2;
}

/// An exception crosses the library's border as what it is.
bool throws_shape_error(natgrad::LayerScores& scores, natgrad::Segment weight, const Net& net) {
  try {
    scores.begin({.samples = batch});
    scores.add({.weight = weight,
                .input = {net.activation.data(), {batch, hidden}},
                .output_score = {net.score1.data(), {batch, hidden}}});
  } catch (const natgrad::ShapeError& error) {
    std::puts(error.what());
    return true;
  }
  return false;
}

int fail(const char* text) {
  std::fprintf(stderr, "outside: %s\n", text);
  return 1;
}

int run() {
  if (std::strncmp(natgrad::version(), "0.1.", 4) != 0 || NATGRAD_VERSION_MAJOR != 0) {
    return fail("another version than asked for");
  }
  Numbers numbers;
  const Data data = spiral(numbers);
  Net net;
  for (float& w : net.w1) w = 2 * numbers.next();
  for (float& w : net.w2) w = 0.25F * numbers.next();

  natgrad::Parameters parameters(natgrad::Context::cpu());
  const natgrad::Segment w1 = parameters.add({net.w1.data(), {hidden, inputs}}, "w1");
  const natgrad::Segment b1 = parameters.add({net.b1.data(), {hidden}}, "b1");
  const natgrad::Segment w2 = parameters.add({net.w2.data(), {classes, hidden}}, "w2");
  const natgrad::Segment b2 = parameters.add({net.b2.data(), {classes}}, "b2");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 1e-2}});
  natgrad::LayerScores scores(parameters);
  if (!throws_shape_error(scores, w1, net)) return fail("a wrong shape was taken");

  double first = 0;
  double last = 0;  // mean over the batches of an epoch
  for (int epoch = 0; epoch < 20; ++epoch) {
    last = 0;
    for (std::size_t from = 0; from < samples; from += batch) {
      const float* x = &data.x[from * inputs];
      const double loss = pass(net, x, &data.label[from]);
      last += loss * batch / samples;
      scores.begin({.samples = batch});
      scores.add({.weight = w1,
                  .bias = b1,
                  .input = {x, {batch, inputs}},
                  .output_score = {net.score1.data(), {batch, hidden}}});
      scores.add({.weight = w2,
                  .bias = b2,
                  .input = {net.activation.data(), {batch, hidden}},
                  .output_score = {net.score2.data(), {batch, classes}}});
      if (epoch == 0 && from == 0) {
        first = loss;
        if (!check(scores, net, x)) return fail("the scores are not those of the gradient");
      }
      optimizer.step(scores);
      if (optimizer.report().outcome != natgrad::Outcome::accepted) return fail("a step failed");
    }
  }
  std::printf("natgrad %s: loss %.4f -> %.4f\n", natgrad::version(), first, last);
  return last < 0.1 * first ? 0 : fail("the loss did not fall enough");
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
