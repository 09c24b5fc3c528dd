#include "natgrad/models/fully_connected.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "kernels/random.hpp"
#include "natgrad/error.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// The derivative of gelu needs z; those of the others read a, which may then take z's place.
bool keeps_preactivation(Activation activation) { return activation == Activation::gelu; }

void check_options(const FullyConnected::Options& options) {
  if (options.sizes.size() < 2) {
    throw OptionError(message("fully connected: .sizes has ", options.sizes.size(),
                              " entries, needs inputs and classes"));
  }
  for (std::int64_t size : options.sizes) {
    if (size <= 0)
      throw OptionError(message("fully connected: .sizes has ", size, ", must be > 0"));
  }
  if (options.type == ElementType::int32) {
    throw OptionError("fully connected: .type = int32, must be float32 or float64");
  }
}

}  // namespace

struct FullyConnected::State {
  struct Layer {
    Array weight;  // (d_out, d_in)
    Array bias;    // (d_out)
    Segment weight_segment;
    Segment bias_segment;
    Array preactivation;  // z (N, d_out), only where the derivative needs it
    Array output;         // a (N, d_out)
    Array score;          // D (N, d_out)
  };
  Options options;
  Parameters parameters;
  Backend& backend;
  std::vector<Layer> layers;
  Array sums;        // (2) of an evaluation
  ConstView inputs;  // of the last forward
  std::int64_t rows = 0;
  bool has_scores = false;

  State(const Context& context, Options wanted)
      : options(std::move(wanted)), parameters(context), backend(context.state().backend()) {}

  Activation activation(std::size_t layer) const {
    return layer + 1 == layers.size() ? Activation::identity : options.activation;
  }
  /// The first N rows of a layer's array.
  View batch(const Array& array) const {
    const View whole = array;
    return {whole.data(), whole.type(), {rows, whole.columns()}, {.device = whole.device()}};
  }
  ConstView input_of(std::size_t layer) const {
    return layer == 0 ? inputs : ConstView(batch(layers[layer - 1].output));
  }
  View preactivation(std::size_t layer) const {
    const Layer& l = layers[layer];
    return batch(l.preactivation.empty() ? l.output : l.preactivation);
  }

  void initialize(std::size_t index);
  void reserve(std::int64_t samples);
  void check_labels(const char* caller, const ConstView& labels) const;
  void require_elsewhere(const char* name, const View& result) const;
};

void FullyConnected::State::initialize(std::size_t index) {
  Layer& layer = layers[index];
  const std::int64_t inputs = options.sizes[index];
  const std::int64_t outputs = options.sizes[index + 1];
  const Context& context = parameters.context();
  layer.weight = context.array({outputs, inputs}, options.type);
  layer.bias = context.array({outputs, 1}, options.type);
  const bool rectifies =
      activation(index) == Activation::relu || activation(index) == Activation::gelu;
  const double range = std::sqrt((rectifies ? 6.0 : 3.0) / static_cast<double>(inputs));
  const auto draw = [&]<class T>(T) {
    std::vector<T> values(static_cast<std::size_t>(outputs * inputs));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t bits = formulas::random_bits(
          options.seed, formulas::RandomStream::weights, static_cast<std::uint32_t>(index), i);
      values[i] = static_cast<T>(range * (2 * formulas::uniform(bits) - 1));
    }
    context.write(values.data(), layer.weight);
  };
  if (options.type == ElementType::float64)
    draw(double{});
  else
    draw(float{});
  backend.fill(0, layer.bias);
  layer.weight_segment = parameters.add(layer.weight, message("layer ", index, " weight"));
  layer.bias_segment = parameters.add(layer.bias, message("layer ", index, " bias"));
}

void FullyConnected::State::reserve(std::int64_t samples) {
  // The last to be allocated: it is missing when there was no memory for all.
  if (!layers.back().output.empty() && layers.back().output.view().rows() >= samples) return;
  const Context& context = parameters.context();
  // Released first: the old and the new together would be twice the memory.
  for (Layer& layer : layers) {
    layer.preactivation = {};
    layer.output = {};
    layer.score = {};
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Shape shape{samples, options.sizes[i + 1]};
    if (keeps_preactivation(activation(i))) {
      layers[i].preactivation = context.array(shape, options.type);
    }
    layers[i].score = context.array(shape, options.type);
    layers[i].output = context.array(shape, options.type);
  }
}

void FullyConnected::State::check_labels(const char* caller, const ConstView& labels) const {
  if (rows == 0) throw ArgumentError(message(caller, ": call forward first"));
  detail::require_operand({caller, "labels"}, labels, {rows, 1}, ElementType::int32,
                          parameters.context().device());
}

/// A result must not lie over what the net still reads.
void FullyConnected::State::require_elsewhere(const char* name, const View& result) const {
  detail::require_disjoint(name, result, "the inputs", inputs);
  for (const Layer& layer : layers) {
    detail::require_disjoint(name, result, "a weight", layer.weight);
    detail::require_disjoint(name, result, "a bias", layer.bias);
    detail::require_disjoint(name, result, "an output of the net", layer.output);
    detail::require_disjoint(name, result, "a score of the net", layer.score);
  }
}

FullyConnected::FullyConnected(const Context& context, Options options) {
  check_options(options);
  state_ = std::make_unique<State>(context, std::move(options));
  state_->layers.resize(state_->options.sizes.size() - 1);
  for (std::size_t i = 0; i < state_->layers.size(); ++i) state_->initialize(i);
  state_->sums = context.array({2, 1}, ElementType::float64);
}

FullyConnected::~FullyConnected() = default;
FullyConnected::FullyConnected(FullyConnected&&) noexcept = default;
FullyConnected& FullyConnected::operator=(FullyConnected&&) noexcept = default;

const Parameters& FullyConnected::parameters() const { return state_->parameters; }
const FullyConnected::Options& FullyConnected::options() const { return state_->options; }

void FullyConnected::forward(const ConstView& inputs) {
  State& s = *state_;
  detail::require_given("forward: inputs", inputs, s.parameters.context().device());
  detail::require_type("forward: inputs", inputs, s.options.type);
  if (inputs.rows() == 0) throw ShapeError("forward: inputs have no rows");
  detail::require_shape("forward: inputs", inputs, {inputs.rows(), s.options.sizes.front()});
  s.rows = 0;
  s.has_scores = false;
  s.reserve(inputs.rows());
  for (const State::Layer& layer : s.layers) {
    detail::require_disjoint("forward: inputs", inputs, "an output of the net", layer.output);
  }
  s.inputs = inputs;
  s.rows = inputs.rows();
  for (std::size_t i = 0; i < s.layers.size(); ++i) {
    const State::Layer& layer = s.layers[i];
    const View z = s.preactivation(i);
    s.backend.gemm(Transpose::no, Transpose::yes, 1, s.input_of(i), layer.weight, 0, z);
    s.backend.bias_activation(s.activation(i), layer.bias, z, s.batch(layer.output));
  }
}

ConstView FullyConnected::outputs() const {
  if (state_->rows == 0) throw ArgumentError("outputs: call forward first");
  return state_->batch(state_->layers.back().output);
}

void FullyConnected::backward(const ConstView& labels) {
  State& s = *state_;
  s.check_labels("backward", labels);
  s.backend.categorical_score(outputs(), labels, s.batch(s.layers.back().score));
  for (std::size_t i = s.layers.size() - 1; i > 0; --i) {
    const View score = s.batch(s.layers[i - 1].score);
    s.backend.gemm(Transpose::no, Transpose::no, 1, s.batch(s.layers[i].score), s.layers[i].weight,
                   0, score);
    s.backend.activation_backward(s.activation(i - 1), s.preactivation(i - 1),
                                  s.batch(s.layers[i - 1].output), score);
  }
  s.has_scores = true;
}

void FullyConnected::add_to(LayerScores& scores, const RowSet& set) const {
  const State& s = *state_;
  if (!s.has_scores) throw ArgumentError("add_to: call forward and backward first");
  if (!(scores.parameters() == s.parameters)) {
    throw ArgumentError("add_to: the scores are of other parameters");
  }
  if (set.samples != s.rows) {
    throw ShapeError(message("add_to: the set has ", set.samples, " samples, the last forward ",
                             s.rows, " rows"));
  }
  scores.begin(set);
  for (std::size_t i = 0; i < s.layers.size(); ++i) {
    const State::Layer& layer = s.layers[i];
    scores.add({.weight = layer.weight_segment,
                .bias = layer.bias_segment,
                .input = s.input_of(i),
                .output_score = s.batch(layer.score)});
  }
}

void FullyConnected::gradient(const View& gradient) const {
  const State& s = *state_;
  if (!s.has_scores) throw ArgumentError("gradient: call forward and backward first");
  detail::require_operand("gradient", gradient, {s.parameters.size(), 1}, s.options.type,
                          s.parameters.context().device());
  s.require_elsewhere("gradient", gradient);
  const double mean = 1.0 / static_cast<double>(s.rows);
  for (std::size_t i = 0; i < s.layers.size(); ++i) {
    const State::Layer& layer = s.layers[i];
    const ConstView score = s.batch(layer.score);
    s.backend.gemm(Transpose::yes, Transpose::no, mean, score, s.input_of(i), 0,
                   s.parameters.part(layer.weight_segment, gradient));
    s.backend.column_sums(mean, score, s.parameters.part(layer.bias_segment, gradient));
  }
}

void FullyConnected::log_likelihood(const ConstView& labels, const View& log_p) const {
  const State& s = *state_;
  s.check_labels("log_likelihood", labels);
  detail::require_operand("log_likelihood: log_p", log_p, {s.rows, 1}, ElementType::float64,
                          s.parameters.context().device());
  detail::require_disjoint("log_likelihood: log_p", log_p, "the labels", labels);
  s.require_elsewhere("log_likelihood: log_p", log_p);
  s.backend.categorical_log_likelihood(outputs(), labels, log_p);
}

FullyConnected::Evaluation FullyConnected::evaluate(const ConstView& labels) {
  State& s = *state_;
  s.check_labels("evaluate", labels);
  s.backend.categorical_evaluate(outputs(), labels, s.sums);
  std::array<double, 2> sums{};
  s.backend.download(s.sums, sums.data());
  const auto n = static_cast<double>(s.rows);
  return {.loss = -sums[0] / n, .accuracy = sums[1] / n};
}

}  // namespace natgrad
