#include "models/mlp.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/random.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <new>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// The derivative of gelu reads z; those of the others read a, which may then take the place of z.
bool keeps_preactivation(Activation activation) { return activation == Activation::gelu; }

/// Uniform in +-range, number i from (seed, layer, i) alone.
template <class T>
std::vector<T> draw_weights(std::uint64_t seed, std::size_t layer, std::int64_t count,
                            double range) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t bits = formulas::random_bits(seed, formulas::RandomStream::weights,
                                                     static_cast<std::uint32_t>(layer), i);
    values[i] = static_cast<T>(range * (2 * formulas::uniform(bits) - 1));
  }
  return values;
}

View first_rows(const detail::GrowingArray& array, std::int64_t rows) {
  return array.view().row_range(0, rows);
}

/// Rows k, k + stride, k + 2 stride, ... of a contiguous array.
View every(const View& rows, std::int64_t k, std::int64_t stride) {
  const View from = rows.row_range(k, rows.rows() - k);
  return {from.data(),
          from.type(),
          {rows.rows() / stride, rows.columns()},
          {.leading_dimension = stride * rows.columns(), .device = rows.device()}};
}

Mlp::Options checked(Mlp::Options options) {
  options.check();
  return options;
}

}  // namespace

void Mlp::Options::check() const {
  if (sizes.size() < 2) {
    throw OptionError(message("fully connected: .sizes has ", sizes.size(),
                              " entries, needs inputs and outputs"));
  }
  for (const std::int64_t size : sizes) {
    if (size <= 0)
      throw OptionError(message("fully connected: .sizes has ", size, ", must be > 0"));
  }
  if (activation > Activation::gelu) {
    throw OptionError(message("fully connected: .activation = ", static_cast<int>(activation),
                              ", must be an Activation"));
  }
  if (type != ElementType::float32 && type != ElementType::float64) {
    throw OptionError(
        message("fully connected: .type = ", to_string(type), ", must be float32 or float64"));
  }
}

Activation Mlp::Options::activation_of(std::size_t index) const {
  return index + 2 == sizes.size() ? Activation::identity : activation;
}

void Mlp::Options::count(std::int64_t rows, ByteCount& bytes) const {
  const std::int64_t size = size_of(type);
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    bytes.add(sizes[i + 1], sizes[i], size);
    bytes.add(sizes[i + 1], 1, size);
    bytes.add(rows, sizes[i + 1], keeps_preactivation(activation_of(i)) ? 2 * size : size);
  }
}

Mlp::Mlp(const Context& context, Options options)
    : options_(checked(std::move(options))),
      outputs_of_layers_(options_.sizes.begin() + 1, options_.sizes.end()),
      parameters_(context),
      backend_(context.state().backend()),
      mode_(backend_.math_mode(options_.allow_tf32)),
      layers_(outputs_of_layers_.size()) {
  ByteCount weights;
  options_.count(0, weights);
  const auto refuse = [&](const char* why) {
    throw MemoryError(
        message("fully connected: weights of .sizes are ", weights.bytes(), " bytes: ", why));
  };
  try {
    for (std::size_t i = 0; i < layers_.size(); ++i) add_layer(i);
  } catch (const MemoryError& error) {
    refuse(error.what());
  } catch (const std::bad_alloc&) {
    refuse("no memory of the host to draw them in");
  }
}

void Mlp::add_layer(std::size_t index) {
  Layer& layer = layers_[index];
  const std::int64_t inputs = options_.sizes[index];
  const std::int64_t outputs = outputs_of_layers_[index];
  const Context& context = parameters_.context();
  layer.weight = context.array({outputs, inputs}, options_.type);
  layer.bias = context.array({outputs, 1}, options_.type);
  layer.activation = options_.activation_of(index);
  const bool rectifies =
      layer.activation == Activation::relu || layer.activation == Activation::gelu;
  const double range = std::sqrt((rectifies ? 6.0 : 3.0) / static_cast<double>(inputs));
  with_float_type(options_.type, [&]<class T>(T) {
    const auto values = draw_weights<T>(options_.seed, index, outputs * inputs, range);
    context.write(values.data(), layer.weight);
  });
  backend_.fill(0, layer.bias);
  layer.weight_segment = parameters_.add(layer.weight, message("layer ", index, " weight"));
  layer.bias_segment = parameters_.add(layer.bias, message("layer ", index, " bias"));
}

void Mlp::check_inputs(const ConstView& inputs) const {
  const detail::DeviceMemory& memory = parameters_.context().state().memory();
  detail::require_given("forward: inputs", inputs, memory);
  detail::require_type("forward: inputs", inputs, options_.type);
  if (inputs.rows() == 0) throw ShapeError("forward: inputs have no rows");
  detail::require_shape("forward: inputs", inputs, {inputs.rows(), options_.sizes.front()});
}

void Mlp::forward(const ConstView& inputs, OutputScores& scores) {
  rows_ = 0;
  scores.forget();
  reserve(inputs.rows());
  scores.reserve(parameters_.context(), outputs_of_layers_, options_.type, inputs.rows());
  for (const Layer& layer : layers_) {
    detail::require_disjoint("forward: inputs", inputs, "an output of the net", layer.output);
  }
  inputs_ = inputs;
  rows_ = inputs.rows();
  try {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const View z = preactivation(layer);
      backend_.gemm(Transpose::no, Transpose::yes, 1, input_of(i), layer.weight, 0, z, mode_);
      backend_.bias_activation(layer.activation, layer.bias, z, first_rows(layer.output, rows_));
    }
  } catch (...) {
    rows_ = 0;
    throw;
  }
}

/// Room for so many rows of every layer's output.
void Mlp::reserve(std::int64_t rows) {
  // The last to be allocated: it is missing when there was no memory for all.
  if (layers_.back().output.rows() >= rows) return;
  ByteCount bytes;
  options_.count(rows, bytes);  // throws for more than an array can have
  const Context& context = parameters_.context();
  // Released first: the old and the new together would be twice the memory.
  for (Layer& layer : layers_) {
    layer.preactivation.replace(backend_);
    layer.output.replace(backend_);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Shape shape{rows, outputs_of_layers_[i]};
    if (keeps_preactivation(layers_[i].activation)) {
      layers_[i].preactivation.replace(backend_, context.array(shape, options_.type));
    }
    layers_[i].output.replace(backend_, context.array(shape, options_.type));
  }
}

void Mlp::backward(OutputScores& scores, std::int64_t rows_per_input) const {
  const std::int64_t rows = rows_ * rows_per_input;
  for (std::size_t i = layers_.size() - 1; i > 0; --i) {
    const Layer& before = layers_[i - 1];
    const View delta = scores.of_layer(i - 1, rows);
    backend_.gemm(Transpose::no, Transpose::no, 1, scores.of_layer(i, rows), layers_[i].weight, 0,
                  delta, mode_);
    for (std::int64_t k = 0; k < rows_per_input; ++k) {
      backend_.activation_backward(before.activation, preactivation(before),
                                   first_rows(before.output, rows_),
                                   every(delta, k, rows_per_input));
    }
  }
  scores.set_rows_per_input(rows_per_input);
}

void Mlp::add_to(std::string_view caller, LayerScores& layer_scores, const RowSet& set,
                 const OutputScores& scores) const {
  const std::int64_t shared = scores.rows_per_input();
  if (!(layer_scores.parameters() == parameters_)) {
    throw ArgumentError(message(caller, ": the scores are of other parameters"));
  }
  if (set.samples != rows_ * shared) {
    throw ShapeError(message(caller, ": the set has ", set.samples, " samples, the last forward ",
                             rows_, " rows", shared == 1 ? "" : message(" of ", shared, " draws")));
  }
  layer_scores.begin(set);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layer_scores.add({.weight = layers_[i].weight_segment,
                      .bias = layers_[i].bias_segment,
                      .input = input_of(i),
                      .output_score = scores.of_layer(i, rows_ * shared),
                      .rows_per_input = shared});
  }
}

void Mlp::gradient(const OutputScores& scores, const View& gradient) const {
  const double mean = 1.0 / static_cast<double>(rows_);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const ConstView score = scores.of_layer(i, rows_);
    backend_.gemm(Transpose::yes, Transpose::no, mean, score, input_of(i), 0,
                  parameters_.part(layer.weight_segment, gradient), mode_);
    backend_.column_sums(mean, score, parameters_.part(layer.bias_segment, gradient));
  }
}

void Mlp::require_elsewhere(std::string_view operand, const ConstView& view) const {
  detail::require_disjoint(operand, view, "the inputs", inputs_);
  for (const Layer& layer : layers_) {
    detail::require_disjoint(operand, view, "a weight", layer.weight);
    detail::require_disjoint(operand, view, "a bias", layer.bias);
    detail::require_disjoint(operand, view, "an output of the net", layer.output);
  }
}

ConstView Mlp::input_of(std::size_t layer) const {
  return layer == 0 ? inputs_ : ConstView(first_rows(layers_[layer - 1].output, rows_));
}

View Mlp::preactivation(const Layer& layer) const {
  return first_rows(layer.preactivation.empty() ? layer.output : layer.preactivation, rows_);
}

}  // namespace natgrad
