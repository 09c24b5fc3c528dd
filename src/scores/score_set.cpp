#include "scores/score_set.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "scores/gram_way.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace natgrad::detail {

ScoreSet::ScoreSet(Parameters parameters, FisherKind kind)
    : parameters_(std::move(parameters)), kind_(kind) {}

void ScoreSet::require_rows(const Operand& caller, const Parameters& parameters) const {
  if (!(parameters_ == parameters)) {
    throw ArgumentError(message(caller, ": the scores are of other parameters"));
  }
  if (size() == 0) throw ArgumentError(message(caller, ": the scores have no rows; begin a set"));
  if (parameters_size_ != parameters_.size()) {
    throw ArgumentError(message(caller, ": the parameters have grown from ", parameters_size_,
                                " to ", parameters_.size(), " since the set's begin"));
  }
  if (blocks_.empty()) throw ArgumentError(message(caller, ": the set has no layers; add them"));
  std::int64_t covered = 0;
  for (bool grows = true; grows && covered < size();) {
    grows = false;
    for (const LayerUse& block : blocks_) {
      const std::int64_t end = block.first + block.rows;
      if (block.first > covered || end <= covered) continue;
      covered = end;
      grows = true;
    }
  }
  if (covered < size()) {
    throw ArgumentError(
        message(caller, ": no layer of the set covers row ", covered, " of ", size()));
  }
}

void ScoreSet::require_gradient(const char* caller) const {
  if (centering() != Centering::rows || !set_.coefficients.empty()) return;
  throw ArgumentError(
      message(caller,
              ": centred rows of maximum likelihood (no .coefficients) have the "
              "gradient 0; give coefficients, or .centering = Centering::fisher_only"));
}

void ScoreSet::check_column(const char* name, const ConstView& column, std::int64_t samples) const {
  if (column.empty()) return;
  require_operand({"scores", name}, column, {samples, 1}, parameters_.type(),
                  parameters_.context().state().memory());
}

void ScoreSet::check(const RowSet& set) const {
  if (set.samples <= 0) {
    throw OptionError(message("scores: .samples = ", set.samples, ", must be > 0"));
  }
  // Beyond this nothing that is N x N can be counted.
  constexpr std::int64_t most = std::int64_t{1} << 38;
  if (set.samples > most || set.batch_samples > most) {
    throw OptionError(message("scores: .samples = ", set.samples,
                              ", .batch_samples = ", set.batch_samples, ", must be <= 2^38"));
  }
  if (set.batch_samples != 0 && set.batch_samples < set.samples) {
    throw OptionError(message("scores: .batch_samples = ", set.batch_samples, " < .samples = ",
                              set.samples, ": the whole batch holds at least this set"));
  }
  if (!std::isfinite(set.scale) || set.scale == 0) {
    throw OptionError(message("scores: .scale = ", set.scale, ", must be finite and not 0"));
  }
  if (set.centering == Centering::fisher_only && !set.coefficients.empty()) {
    throw OptionError(
        "scores: .centering = Centering::fisher_only goes with maximum likelihood, without "
        ".coefficients; centre the rows");
  }
  check_column(".weights", set.weights, set.samples);
  check_column(".coefficients", set.coefficients, set.samples);
}

void ScoreSet::begin(const RowSet& set) {
  check(set);
  const Context& context = parameters_.context();
  if (scale_.view().rows() < set.samples) {
    Array new_scale = context.array({set.samples, 1}, ElementType::float64);
    Array new_rhs = context.array({set.samples, 1}, ElementType::float64);
    scale_ = std::move(new_scale);
    rhs_ = std::move(new_rhs);
  }
  covered_.reserve(static_cast<std::size_t>(parameters_.segments()));
  // Nothing throws from here on.
  set_ = set;
  if (set_.batch_samples == 0) set_.batch_samples = set.samples;
  parameters_size_ = parameters_.size();
  blocks_.clear();
  dense_ = false;
  covered_.assign(static_cast<std::size_t>(parameters_.segments()), 0);
  context.state().backend().row_scaling(
      set_.weights, 1.0 / static_cast<double>(set_.batch_samples), set_.coefficients, set_.scale,
      scale_.view().row_range(0, set_.samples), rhs_.view().row_range(0, set_.samples));
}

void ScoreSet::check_segment(Segment segment, const char* role) const {
  if (!segment) return;
  const std::string& name = parameters_.name(segment);
  if (static_cast<std::size_t>(segment.index) >= covered_.size()) {
    throw ArgumentError(message("layer: ", role, " ", name, " was added after the set's begin"));
  }
}

void ScoreSet::require_blas_sizes(const Operand& name, const ConstView& factor,
                                  std::int64_t terms) {
  // Strides of whole rows go through BLAS interfaces of 32 bits.
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (factor.leading_dimension() <= most / terms && factor.rows() <= most) return;
  throw ShapeError(message(name, " is ", factor.description(), " for ", terms,
                           " terms a row, beyond the BLAS's 32-bit interface (", most, ")"));
}

void ScoreSet::check_factor(const Operand& name, const ConstView& factor, Shape shape,
                            const LayerUse& block) const {
  require_given(name, factor, parameters_.context().state().memory());
  require_type(name, factor, parameters_.type());
  require_blas_sizes(name, factor, block.terms);
  if (factor.shape() == shape) return;
  std::string text = message(name, " is ", to_string(factor.shape()), ", expected ",
                             to_string(shape), " for ", block.rows, " rows");
  if (block.terms > 1) text += message(" of ", block.terms, " terms");
  if (block.rows_per_input > 1) text += message(", ", block.rows_per_input, " rows an input");
  if (block.terms == 1 && factor.rows() > shape.rows && factor.rows() % shape.rows == 0) {
    text += message(" (.terms = ", factor.rows() / shape.rows, "?)");
  }
  throw ShapeError(text);
}

void ScoreSet::check_shared(const LayerUse& block, const LayerScores::Layer& layer) const {
  for (const LayerUse& other : blocks_) {
    const bool weight = share_weight(other, block);
    if (!weight && !share_bias(other, block)) continue;
    const bool same = other.first == block.first && other.rows == block.rows;
    const bool apart =
        other.first + other.rows <= block.first || block.first + block.rows <= other.first;
    if (same || apart) continue;
    throw ArgumentError(message("layer: ", parameters_.name(weight ? layer.weight : layer.bias),
                                " is used by rows ", block.first, " to ", block.first + block.rows,
                                " and by rows ", other.first, " to ", other.first + other.rows,
                                ": shared rows are the same or apart"));
  }
}

LayerUse ScoreSet::checked(const LayerScores::Layer& layer) const {
  if (size() == 0) throw ArgumentError("layer: no set was begun");
  if (!layer.weight && !layer.bias) {
    throw ArgumentError("layer: neither .weight nor .bias is given");
  }
  if (layer.weight == layer.bias) throw ArgumentError("layer: .weight and .bias are one segment");
  check_segment(layer.weight, ".weight");
  check_segment(layer.bias, ".bias");
  const std::string& name = parameters_.name(layer.weight ? layer.weight : layer.bias);
  if (layer.terms <= 0) {
    throw OptionError(message(name, ": .terms = ", layer.terms, ", must be > 0"));
  }
  const std::int64_t first = layer.rows.first;
  const bool inside = first >= 0 && first <= size();
  const std::int64_t rows = inside && layer.rows.count == 0 ? size() - first : layer.rows.count;
  if (!inside || rows <= 0 || rows > size() - first) {
    throw OptionError(message(name, ": .rows = ", layer.rows.count, " from ", first,
                              " is not a part of the set's ", size(), " rows"));
  }
  if (layer.rows_per_input <= 0 || rows % layer.rows_per_input != 0) {
    throw OptionError(message(name, ": .rows_per_input = ", layer.rows_per_input,
                              ", must be > 0 and divide ", rows, " rows"));
  }
  LayerUse block{.first = first,
                 .rows = rows,
                 .terms = layer.terms,
                 .rows_per_input = layer.rows_per_input,
                 .bias_first_term = layer.bias_terms == Bias::first_term,
                 .input = layer.input,
                 .output_score = layer.output_score};
  std::int64_t terms = 0;
  if (__builtin_mul_overflow(rows, layer.terms, &terms)) {
    throw ShapeError(message(name, ": ", rows, " rows of ", layer.terms, " terms are too many"));
  }
  if (layer.weight) {
    const View& weight = parameters_.tensor(layer.weight);
    block.inputs = weight.columns();
    block.outputs = weight.rows();
    block.weight_offset = parameters_.offset(layer.weight);
    check_factor({name, ".input"}, layer.input, {terms / layer.rows_per_input, block.inputs},
                 block);
  } else if (!layer.input.empty()) {
    throw ArgumentError("layer: .input is given without a .weight");
  } else if (layer.rows_per_input != 1) {
    throw ArgumentError("layer: .rows_per_input is given without a .weight");
  }
  if (layer.bias) {
    const View& bias = parameters_.tensor(layer.bias);
    if (layer.weight && bias.size() != block.outputs) {
      throw ShapeError(message("layer: bias ", parameters_.name(layer.bias), " has ", bias.size(),
                               " elements, its weight ", block.outputs, " outputs"));
    }
    block.outputs = bias.size();
    block.bias_offset = parameters_.offset(layer.bias);
  }
  check_factor({name, ".output_score"}, layer.output_score, {terms, block.outputs}, block);
  check_shared(block, layer);
  return block;
}

void ScoreSet::add(const LayerScores::Layer& layer) {
  blocks_.push_back(checked(layer));
  choose_gram_way(blocks_, size(), parameters_.context().state().backend().row_costs());
  for (Segment segment : {layer.weight, layer.bias}) {
    if (segment) covered_[static_cast<std::size_t>(segment.index)] = 1;
  }
}

void ScoreSet::add_dense(const ConstView& rows) {
  blocks_.push_back({.rows = rows.rows(),
                     .outputs = rows.columns(),
                     .materialized = true,
                     .bias_offset = 0,
                     .output_score = rows});
  covered_.assign(covered_.size(), 1);
  dense_ = true;
}

std::vector<std::string> ScoreSet::uncovered() const {
  std::vector<std::string> names;
  for (int i = 0; i < parameters_.segments(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    if (index >= covered_.size() || covered_[index] == 0) names.push_back(parameters_.name({i}));
  }
  return names;
}

}  // namespace natgrad::detail
