#include "natgrad/models/fully_connected.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "kernels/formulas/random.hpp"
#include "models/fully_connected_state.hpp"
#include "natgrad/error.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// Rows k, k + stride, k + 2 stride, ... of a contiguous array.
View every(const View& rows, std::int64_t k, std::int64_t stride) {
  const View from = rows.row_range(k, rows.rows() - k);
  return {from.data(),
          from.type(),
          {rows.rows() / stride, rows.columns()},
          {.leading_dimension = stride * rows.columns(), .device = rows.device()}};
}

}  // namespace

void detail::check_net(const FullyConnected::Options& options) {
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
                          parameters.context().state().memory());
}

/// A result must not lie over what the net still reads.
void FullyConnected::State::require_elsewhere(const char* name, const View& result) const {
  detail::require_disjoint(name, result, "the inputs", inputs);
  for (const Layer& layer : layers) {
    detail::require_disjoint(name, result, "a weight", layer.weight);
    detail::require_disjoint(name, result, "a bias", layer.bias);
    detail::require_disjoint(name, result, "an output of the net", layer.output);
    detail::require_disjoint(name, result, "a score of the net", layer.score);
    detail::require_disjoint(name, result, "a sampled score of the net", layer.sampled_score);
  }
}

FullyConnected::FullyConnected(const Context& context, Options options) {
  detail::check_net(options);
  state_ = std::make_unique<State>(context, std::move(options));
  state_->layers.resize(state_->options.sizes.size() - 1);
  for (std::size_t i = 0; i < state_->layers.size(); ++i) state_->initialize(i);
  state_->sums = context.array({2, 1}, ElementType::float64);
  state_->drawings = context.array({1, 1}, ElementType::float64);
  state_->backend.fill(0, state_->drawings);
}

FullyConnected::~FullyConnected() = default;
FullyConnected::FullyConnected(FullyConnected&&) noexcept = default;
FullyConnected& FullyConnected::operator=(FullyConnected&&) noexcept = default;

const Parameters& FullyConnected::parameters() const { return state_->parameters; }
const FullyConnected::Options& FullyConnected::options() const { return state_->options; }

void FullyConnected::forward(const ConstView& inputs) {
  State& s = *state_;
  detail::require_given("forward: inputs", inputs, s.parameters.context().state().memory());
  detail::require_type("forward: inputs", inputs, s.options.type);
  if (inputs.rows() == 0) throw ShapeError("forward: inputs have no rows");
  detail::require_shape("forward: inputs", inputs, {inputs.rows(), s.options.sizes.front()});
  s.rows = 0;
  s.has_scores = false;
  s.draws = 0;
  s.reserve(inputs.rows());
  for (const State::Layer& layer : s.layers) {
    detail::require_disjoint("forward: inputs", inputs, "an output of the net", layer.output);
  }
  s.inputs = inputs;
  s.rows = inputs.rows();
  try {
    s.compute_outputs();
  } catch (...) {
    s.rows = 0;
    throw;
  }
}

void FullyConnected::State::compute_outputs() const {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    const View z = preactivation(i);
    backend.gemm(Transpose::no, Transpose::yes, 1, input_of(i), layer.weight, 0, z, mode());
    backend.bias_activation(activation(i), layer.bias, z, batch(layer.output));
  }
}

ConstView FullyConnected::outputs() const {
  if (state_->rows == 0) throw ArgumentError("outputs: call forward first");
  return state_->batch(state_->layers.back().output);
}

void FullyConnected::backward(const ConstView& labels) {
  State& s = *state_;
  s.check_labels("backward", labels);
  s.has_scores = false;
  s.backend.categorical_score(outputs(), labels, s.batch(s.layers.back().score));
  s.propagate(&State::Layer::score, 1);
  s.has_scores = true;
}

/// From the scores of the outputs to those of every layer before; `shared` rows have one input.
void FullyConnected::State::propagate(Array Layer::*score, std::int64_t shared) const {
  for (std::size_t i = layers.size() - 1; i > 0; --i) {
    const View delta = batch(layers[i - 1].*score, shared);
    backend.gemm(Transpose::no, Transpose::no, 1, batch(layers[i].*score, shared), layers[i].weight,
                 0, delta, mode());
    for (std::int64_t k = 0; k < shared; ++k) {
      backend.activation_backward(activation(i - 1), preactivation(i - 1),
                                  batch(layers[i - 1].output), every(delta, k, shared));
    }
  }
}

void FullyConnected::add_to(LayerScores& scores, const RowSet& set) const {
  const State& s = *state_;
  if (!s.has_scores) throw ArgumentError("add_to: call forward and backward first");
  s.add_layers("add_to", scores, set, &State::Layer::score, 1);
}

void FullyConnected::State::add_layers(const char* caller, LayerScores& scores, const RowSet& set,
                                       Array Layer::*score, std::int64_t shared) const {
  if (!(scores.parameters() == parameters)) {
    throw ArgumentError(message(caller, ": the scores are of other parameters"));
  }
  if (set.samples != rows * shared) {
    throw ShapeError(message(caller, ": the set has ", set.samples, " samples, the last forward ",
                             rows, " rows", shared == 1 ? "" : message(" of ", shared, " draws")));
  }
  scores.begin(set);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    scores.add({.weight = layers[i].weight_segment,
                .bias = layers[i].bias_segment,
                .input = input_of(i),
                .output_score = batch(layers[i].*score, shared),
                .rows_per_input = shared});
  }
}

void FullyConnected::gradient(const View& gradient) const {
  const State& s = *state_;
  if (!s.has_scores) throw ArgumentError("gradient: call forward and backward first");
  detail::require_operand("gradient", gradient, {s.parameters.size(), 1}, s.options.type,
                          s.parameters.context().state().memory());
  s.require_elsewhere("gradient", gradient);
  const double mean = 1.0 / static_cast<double>(s.rows);
  for (std::size_t i = 0; i < s.layers.size(); ++i) {
    const State::Layer& layer = s.layers[i];
    const ConstView score = s.batch(layer.score);
    s.backend.gemm(Transpose::yes, Transpose::no, mean, score, s.input_of(i), 0,
                   s.parameters.part(layer.weight_segment, gradient), s.mode());
    s.backend.column_sums(mean, score, s.parameters.part(layer.bias_segment, gradient));
  }
}

void FullyConnected::log_likelihood(const ConstView& labels, const View& log_p) const {
  const State& s = *state_;
  s.check_labels("log_likelihood", labels);
  detail::require_operand("log_likelihood: log_p", log_p, {s.rows, 1}, ElementType::float64,
                          s.parameters.context().state().memory());
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

void FullyConnected::evaluate_to(const ConstView& labels, const View& sums) const {
  const State& s = *state_;
  s.check_labels("evaluate_to", labels);
  detail::require_operand("evaluate_to: sums", sums, {2, 1}, ElementType::float64,
                          s.parameters.context().state().memory());
  detail::require_disjoint("evaluate_to: sums", sums, "the labels", labels);
  s.require_elsewhere("evaluate_to: sums", sums);
  s.backend.categorical_evaluate(outputs(), labels, sums);
}

}  // namespace natgrad
