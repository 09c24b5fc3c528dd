#include "scores/score_checks.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace natgrad::detail {

namespace {

void check_column(const Parameters& parameters, const char* name, const ConstView& column,
                  std::int64_t samples) {
  if (column.empty()) return;
  require_column({"scores", name}, column, samples, parameters.type(),
                 parameters.context().state().memory());
}

/// For `Centering::fisher_only`, whose gradient is that of maximum likelihood.
void check_fisher_only(FisherKind kind, const RowSet& set) {
  if (kind != FisherKind::empirical) {
    throw OptionError(message(
        "scores: .centering = Centering::fisher_only takes the rows' mean as the gradient, which "
        "of ",
        to_string(kind),
        " rows is no gradient of the data; centre them by Centering::rows and give .coefficients, "
        "or a gradient from elsewhere"));
  }
  if (!set.coefficients.empty()) {
    throw OptionError(
        "scores: .centering = Centering::fisher_only goes with maximum likelihood, without "
        ".coefficients; centre the rows");
  }
}

/// For samples of several rows, centred each by its own mean.
void check_parts(const RowSet& set) {
  if (set.centering == Centering::fisher_only) {
    throw OptionError("scores: .parts = 2 goes with .centering none or rows, not fisher_only");
  }
  if (set.centering == Centering::rows && set.batch_samples > set.samples) {
    throw OptionError(message("scores: .parts = 2 with .centering = Centering::rows takes the ",
                              "whole batch; these are ", set.samples, " of ", set.batch_samples,
                              " samples"));
  }
}

void check_segment(const ScoreSet& rows, Segment segment, const char* role) {
  if (!segment) return;
  const Parameters& parameters = rows.parameters();
  const std::string& name = parameters.name(segment);
  if (parameters.offset(segment) >= rows.parameters_size()) {
    throw ArgumentError(message("layer: ", role, " ", name, " was added after the set's begin"));
  }
}

void check_factor(const Parameters& parameters, const Operand& name, const ConstView& factor,
                  Shape shape, const LayerUse& block, ElementType type) {
  require_given(name, factor, parameters.context().state().memory());
  require_type(name, factor, type);
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

/// A weight that is looked up in: its rows are read by indices.
void check_lookup(const LayerUse& block, const LayerScores::Layer& layer, const std::string& name) {
  if (layer.bias) {
    throw ArgumentError(message(name,
                                ": .bias goes with no .input of indices; add it as a layer "
                                "of its own, without a .weight"));
  }
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (block.inputs > most) {
    throw ShapeError(message(name, " has ", block.inputs, " rows, int32 indices reach ", most));
  }
}

void check_shared(const ScoreSet& rows, const LayerUse& block, const LayerScores::Layer& layer) {
  for (const LayerUse& other : rows.blocks().blocks) {
    const bool weight = share_weight(other, block);
    if (!weight && !share_bias(other, block)) continue;
    const bool same = other.first == block.first && other.rows == block.rows;
    const bool apart =
        other.first + other.rows <= block.first || block.first + block.rows <= other.first;
    if (same || apart) continue;
    throw ArgumentError(message(
        "layer: ", rows.parameters().name(weight ? layer.weight : layer.bias), " is used by rows ",
        block.first, " to ", block.first + block.rows, " and by rows ", other.first, " to ",
        other.first + other.rows, ": shared rows are the same or apart"));
  }
}

/// Rows, terms and rows an input of a layer, as far as they need no view.
LayerUse checked_sizes(const ScoreSet& set, const LayerScores::Layer& layer,
                       const std::string& name) {
  if (layer.terms <= 0) {
    throw OptionError(message(name, ": .terms = ", layer.terms, ", must be > 0"));
  }
  if (!is_enumerator(layer.bias_terms)) {
    throw OptionError(message(name, ": ", enumerator_error(".bias_terms", layer.bias_terms)));
  }
  const std::int64_t first = layer.rows.first;
  const bool inside = first >= 0 && first <= set.size();
  const std::int64_t rows = inside && layer.rows.count == 0 ? set.size() - first : layer.rows.count;
  if (!inside || rows <= 0 || rows > set.size() - first) {
    throw OptionError(message(name, ": .rows = ", layer.rows.count, " from ", first,
                              " is not a part of the set's ", set.size(), " rows"));
  }
  if (layer.rows_per_input <= 0 || rows % layer.rows_per_input != 0) {
    throw OptionError(message(name, ": .rows_per_input = ", layer.rows_per_input,
                              ", must be > 0 and divide ", rows, " rows"));
  }
  std::int64_t terms = 0;
  if (__builtin_mul_overflow(rows, layer.terms, &terms)) {
    throw ShapeError(message(name, ": ", rows, " rows of ", layer.terms, " terms are too many"));
  }
  return {.first = first,
          .rows = rows,
          .terms = layer.terms,
          .rows_per_input = layer.rows_per_input,
          .bias_first_term = layer.bias_terms == Bias::first_term,
          .input = layer.input,
          .output_score = layer.output_score};
}

}  // namespace

void check_row_set(const Parameters& parameters, FisherKind kind, const RowSet& set) {
  if (set.samples <= 0) {
    throw OptionError(message("scores: .samples = ", set.samples, ", must be > 0"));
  }
  if (set.parts != 1 && set.parts != 2) {
    throw OptionError(message("scores: .parts = ", set.parts, ", must be 1 or 2"));
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
  if (!std::isfinite(set.weight) || set.weight < 0) {
    throw OptionError(message("scores: .weight = ", set.weight,
                              ", must be finite and > 0, or 0 for 1 / .batch_samples"));
  }
  if (set.weight > 0 && !set.weights.empty()) {
    throw OptionError("scores: .weight is of all rows; give it or .weights, not both");
  }
  require_enumerator("scores", ".centering", set.centering);
  if (set.centering == Centering::fisher_only) check_fisher_only(kind, set);
  if (set.parts > 1) check_parts(set);
  check_column(parameters, ".weights", set.weights, set.samples);
  check_column(parameters, ".coefficients", set.coefficients, set.samples * set.parts);
}

void require_blas_sizes(const Operand& name, const ConstView& factor, std::int64_t terms) {
  // Strides of whole rows go through BLAS interfaces of 32 bits.
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (factor.leading_dimension() <= most / terms && factor.rows() <= most) return;
  throw ShapeError(message(name, " is ", factor.description(), " for ", terms,
                           " terms a row, beyond the BLAS's 32-bit interface (", most, ")"));
}

namespace {

/// A tensor that is a weight here and a bias there would have products that no Gram holds.
void check_roles(const ScoreSet& rows, const LayerScores::Layer& layer) {
  const Parameters& parameters = rows.parameters();
  for (const LayerUse& use : rows.blocks().blocks) {
    for (const Segment& segment : {layer.weight, layer.bias}) {
      if (!segment) continue;
      const std::int64_t offset = parameters.offset(segment);
      const bool other =
          segment == layer.weight ? use.bias_offset == offset : use.weight_offset == offset;
      if (!other) continue;
      throw ArgumentError(message("layer: ", parameters.name(segment), " is the .",
                                  segment == layer.weight ? "weight" : "bias", " here and the .",
                                  segment == layer.weight ? "bias" : "weight",
                                  " of another use in this set"));
    }
  }
}

}  // namespace

LayerUse checked_layer(const ScoreSet& rows, const LayerScores::Layer& layer) {
  if (rows.size() == 0) throw ArgumentError("layer: no set was begun");
  if (!layer.weight && !layer.bias) {
    throw ArgumentError("layer: neither .weight nor .bias is given");
  }
  if (layer.weight == layer.bias) throw ArgumentError("layer: .weight and .bias are one segment");
  check_segment(rows, layer.weight, ".weight");
  check_segment(rows, layer.bias, ".bias");
  check_roles(rows, layer);
  const Parameters& parameters = rows.parameters();
  const std::string& name = parameters.name(layer.weight ? layer.weight : layer.bias);
  LayerUse block = checked_sizes(rows, layer, name);
  const std::int64_t terms = block.rows * block.terms;
  if (layer.weight) {
    const View& weight = parameters.tensor(layer.weight);
    block.lookup = layer.input.type() == ElementType::int32 && !layer.input.empty();
    block.inputs = block.lookup ? weight.rows() : weight.columns();
    block.outputs = block.lookup ? weight.columns() : weight.rows();
    block.weight_offset = parameters.offset(layer.weight);
    if (block.lookup) check_lookup(block, layer, name);
    check_factor(parameters, {name, ".input"}, layer.input,
                 {terms / layer.rows_per_input, block.input_columns()}, block,
                 block.lookup ? ElementType::int32 : parameters.type());
  } else if (!layer.input.empty()) {
    throw ArgumentError("layer: .input is given without a .weight");
  } else if (layer.rows_per_input != 1) {
    throw ArgumentError("layer: .rows_per_input is given without a .weight");
  }
  if (layer.bias) {
    const View& bias = parameters.tensor(layer.bias);
    if (layer.weight && bias.size() != block.outputs) {
      throw ShapeError(message("layer: bias ", parameters.name(layer.bias), " has ", bias.size(),
                               " elements, its weight ", block.outputs, " outputs"));
    }
    block.outputs = bias.size();
    block.bias_offset = parameters.offset(layer.bias);
  }
  check_factor(parameters, {name, ".output_score"}, layer.output_score, {terms, block.outputs},
               block, parameters.type());
  check_shared(rows, block, layer);
  return block;
}

const char* missing_gradient(const ScoreSet& rows) {
  if (!rows.set().coefficients.empty()) return nullptr;
  switch (rows.kind()) {
    case FisherKind::sampled:
      return "the mean of sampled rows is no gradient of the data; give the batch a .gradient, or "
             "the rows .coefficients";
    case FisherKind::exact:
      return "rows of the exact Fisher have no gradient without .coefficients, for c_n = 1 means "
             "nothing there; give the batch a .gradient, or the rows .coefficients (F_out^(-1/2) "
             "times the score of the outputs)";
    case FisherKind::residual:
      return "rows of residuals have no gradient without .coefficients, for c_n = 1 means nothing "
             "there; give the rows .coefficients = -residual_n, or the batch a .gradient";
    case FisherKind::empirical:
      break;
  }
  if (rows.centering() != Centering::rows && !rows.centred_parts()) return nullptr;
  return "centred rows of maximum likelihood (no .coefficients) have the gradient 0; give "
         "coefficients, or .centering = Centering::fisher_only";
}

std::vector<std::string> uncovered_parameters(const ScoreSet& rows) {
  const Parameters& parameters = rows.parameters();
  std::vector<std::string> names;
  for (int i = 0; i < parameters.segments(); ++i) {
    const std::int64_t offset = parameters.offset({i});
    const std::int64_t end = offset + parameters.tensor({i}).size();
    const auto lies_in = [&](std::int64_t first, std::int64_t count) {
      return first >= 0 && first <= offset && end <= first + count;
    };
    const auto blocks = rows.blocks().blocks;
    const bool covered = std::any_of(blocks.begin(), blocks.end(), [&](const LayerUse& block) {
      return lies_in(block.weight_offset, block.outputs * block.inputs) ||
             lies_in(block.bias_offset, block.outputs);
    });
    if (!covered) names.push_back(parameters.name({i}));
  }
  return names;
}

}  // namespace natgrad::detail
