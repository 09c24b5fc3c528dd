// Writes the checkpoints that read_checkpoint.py reads, into the folder that it is given:
//   start_float32, start_float64   before the first step, with parameters of known values
//   step_1, step_2                 after steps with heavy-ball momentum, in float64

#include <natgrad/natgrad.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

using namespace natgrad;

constexpr std::int64_t samples = 4;

/// A layer of 3 inputs and 2 outputs whose weight is 0.5, 1.5, ... and whose bias is -1, -2.
template <class T>
struct Model {
  std::vector<T> weight{T(0.5), T(1.5), T(2.5), T(3.5), T(4.5), T(5.5)};
  std::vector<T> bias{-1, -2};
  Parameters parameters{Context::cpu()};
  Segment w = parameters.add(View(weight.data(), {2, 3}), "layer.weight");
  Segment b = parameters.add(View(bias.data(), {2}), "layer.bias");
};

/// Numbers that differ from step to step.
std::vector<double> numbers(std::size_t count, int step) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<double>((7 * i + 3 * static_cast<std::size_t>(step)) % 11) / 8 - 0.5;
  }
  return values;
}

template <class T>
void write_start(const std::string& path) {
  Model<T> model;
  const NaturalGradient optimizer(model.parameters);
  const Blobs blobs = {{"place", {std::byte{0}, std::byte{128}, std::byte{255}}}, {"", {}}};
  save(path, optimizer, blobs);
}

void write_steps(const std::string& folder) {
  Model<double> model;
  NaturalGradient optimizer(
      model.parameters,
      {.damping = {.absolute = 0.125}, .step = FixedRate{0.5}, .momentum = HeavyBall{0.75}});
  LayerScores scores(model.parameters);
  for (int step = 1; step <= 2; ++step) {
    const std::vector<double> inputs = numbers(samples * 3, step);
    const std::vector<double> output_scores = numbers(samples * 2, step + 5);
    scores.begin({.samples = samples});
    scores.add({.weight = model.w,
                .bias = model.b,
                .input = ConstView(inputs.data(), {samples, 3}),
                .output_score = ConstView(output_scores.data(), {samples, 2})});
    optimizer.step(scores);
    save(folder + "/step_" + std::to_string(step), optimizer);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    const std::string folder = arguments[1];
    write_start<float>(folder + "/start_float32");
    write_start<double>(folder + "/start_float64");
    write_steps(folder);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
