#include "scores/rows.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"

#include <cmath>
#include <utility>

namespace natgrad::detail {

Rows::Rows(Parameters parameters, Kind kind) : parameters_(std::move(parameters)), kind_(kind) {}

void Rows::require_rows(const char* caller, const Parameters& parameters) const {
  if (!(parameters_ == parameters)) {
    throw ArgumentError(message(caller, ": the scores are of other parameters"));
  }
  if (size() == 0) throw ArgumentError(message(caller, ": the scores have no rows; begin a set"));
  if (parameters_size_ != parameters_.size()) {
    throw ArgumentError(message(caller, ": the parameters have grown from ", parameters_size_,
                                " to ", parameters_.size(), " since the set's begin"));
  }
  if (blocks_.empty()) throw ArgumentError(message(caller, ": the set has no layers; add them"));
}

void Rows::check_column(const char* name, const ConstView& column, std::int64_t samples) const {
  if (column.empty()) return;
  require_operand({"scores", name}, column, {samples, 1}, parameters_.type(),
                  parameters_.context().device());
}

void Rows::check(const RowSet& set) const {
  if (set.samples <= 0) {
    throw OptionError(message("scores: .samples = ", set.samples, ", must be > 0"));
  }
  if (set.batch_samples != 0 && set.batch_samples < set.samples) {
    throw OptionError(message("scores: .batch_samples = ", set.batch_samples, " < .samples = ",
                              set.samples, ": the whole batch holds at least this set"));
  }
  if (!std::isfinite(set.scale) || set.scale == 0) {
    throw OptionError(message("scores: .scale = ", set.scale, ", must be finite and not 0"));
  }
  check_column(".weights", set.weights, set.samples);
  check_column(".coefficients", set.coefficients, set.samples);
}

void Rows::begin(const RowSet& set) {
  check(set);
  const Context& context = parameters_.context();
  if (scale_.view().rows() < set.samples) {
    Array new_scale = context.array({set.samples, 1}, ElementType::float64);
    Array new_rhs = context.array({set.samples, 1}, ElementType::float64);
    scale_ = std::move(new_scale);
    rhs_ = std::move(new_rhs);
  }
  set_ = set;
  if (set_.batch_samples == 0) set_.batch_samples = set.samples;
  parameters_size_ = parameters_.size();
  blocks_.clear();
  covered_.assign(static_cast<std::size_t>(parameters_.segments()), 0);
  context.state().backend().row_scaling(
      set_.weights, 1.0 / static_cast<double>(set_.batch_samples), set_.coefficients, set_.scale,
      scale_.view().row_range(0, set_.samples), rhs_.view().row_range(0, set_.samples));
}

void Rows::require_free(Segment segment, const char* role) const {
  if (!segment) return;
  const std::string& name = parameters_.name(segment);
  if (static_cast<std::size_t>(segment.index) >= covered_.size()) {
    throw ArgumentError(message("layer: ", role, " ", name, " was added after the set's begin"));
  }
  if (covered_[static_cast<std::size_t>(segment.index)] != 0) {
    throw ArgumentError(
        message("layer: ", role, " ", name,
                " was named by a layer before; a parameter shared by several layers "
                "is not supported yet"));
  }
}

void Rows::check_factor(const Operand& name, const ConstView& factor, std::int64_t columns) const {
  require_given(name, factor, parameters_.context().device());
  require_type(name, factor, parameters_.type());
  if (factor.rows() > size() && factor.rows() % size() == 0 && factor.columns() == columns) {
    throw ShapeError(message(name, " has ", factor.rows(), " rows for ", size(),
                             " samples: rows of several terms are not supported yet"));
  }
  require_shape(name, factor, {size(), columns});
}

void Rows::add(const LayerScores::Layer& layer) {
  if (size() == 0) throw ArgumentError("layer: no set was begun");
  if (!layer.weight && !layer.bias) {
    throw ArgumentError("layer: neither .weight nor .bias is given");
  }
  if (layer.weight == layer.bias) throw ArgumentError("layer: .weight and .bias are one segment");
  require_free(layer.weight, ".weight");
  require_free(layer.bias, ".bias");
  RowBlock block{.input = layer.input, .output_score = layer.output_score};
  std::int64_t outputs = 0;
  if (layer.weight) {
    const View& weight = parameters_.tensor(layer.weight);
    const std::string& name = parameters_.name(layer.weight);
    outputs = weight.rows();
    check_factor({name, ".input"}, layer.input, weight.columns());
    block.weight_offset = parameters_.offset(layer.weight);
  } else if (!layer.input.empty()) {
    throw ArgumentError("layer: .input is given without a .weight");
  }
  if (layer.bias) {
    const View& bias = parameters_.tensor(layer.bias);
    if (layer.weight && bias.size() != outputs) {
      throw ShapeError(message("layer: bias ", parameters_.name(layer.bias), " has ", bias.size(),
                               " elements, its weight ", outputs, " outputs"));
    }
    outputs = bias.size();
    block.bias_offset = parameters_.offset(layer.bias);
  }
  const std::string& name = parameters_.name(layer.weight ? layer.weight : layer.bias);
  check_factor({name, ".output_score"}, layer.output_score, outputs);
  blocks_.push_back(block);
  for (Segment segment : {layer.weight, layer.bias}) {
    if (segment) covered_[static_cast<std::size_t>(segment.index)] = 1;
  }
}

void Rows::add_dense(const ConstView& rows) {
  blocks_.push_back({.output_score = rows, .bias_offset = 0});
  covered_.assign(covered_.size(), 1);
}

std::vector<std::string> Rows::uncovered() const {
  std::vector<std::string> names;
  for (int i = 0; i < parameters_.segments(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    if (index >= covered_.size() || covered_[index] == 0) names.push_back(parameters_.name({i}));
  }
  return names;
}

}  // namespace natgrad::detail
