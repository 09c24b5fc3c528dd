#include "scores/not_finite.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

namespace natgrad::detail {

namespace {

struct Element {
  std::int64_t row;
  std::int64_t column;
  double value;
};

/// The first element of an array for which bad(value, row) holds.
template <class Bad>
std::optional<Element> find(const Context& context, const ConstView& array, const Bad& bad) {
  if (array.empty() || array.size() == 0) return std::nullopt;
  constexpr std::int64_t most = 1 << 20;  // numbers on the host at once
  Backend& backend = context.state().backend();
  const std::int64_t step =
      std::min(array.rows(), std::max<std::int64_t>(1, most / array.columns()));
  const Array piece = context.array({step, array.columns()}, ElementType::float64);
  std::vector<double> host(static_cast<std::size_t>(piece.view().size()));
  for (std::int64_t first = 0; first < array.rows(); first += step) {
    const std::int64_t count = std::min(step, array.rows() - first);
    const View part = piece.view().row_range(0, count);
    backend.copy(array.row_range(first, count), part);
    backend.download(part, host.data());
    for (std::int64_t i = 0; i < part.size(); ++i) {
      const double value = host[static_cast<std::size_t>(i)];
      const std::int64_t row = first + i / array.columns();
      if (bad(value, row)) return Element{row, i % array.columns(), value};
    }
  }
  return std::nullopt;
}

bool is_not_finite(double value, std::int64_t) { return !std::isfinite(value); }

/// Rows that are left out whatever they hold: those of weight 0.
class LeftOut {
 public:
  explicit LeftOut(const ScoreSet& rows) {
    if (rows.set().weights.empty()) return;
    scale_.resize(static_cast<std::size_t>(rows.size()));
    rows.parameters().context().state().backend().download(rows.scale(), scale_.data());
  }
  /// Whether `count` rows from `first` on all are.
  bool all(std::int64_t first, std::int64_t count = 1) const {
    if (scale_.empty()) return false;
    const auto begin = scale_.begin() + static_cast<std::ptrdiff_t>(first);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(count),
                       [](double scale) { return scale == 0; });
  }

 private:
  std::vector<double> scale_;
};

/// Of the segment that holds number `i` of P.
const std::string& segment_name(const Parameters& parameters, std::int64_t i) {
  int index = parameters.segments() - 1;
  while (index > 0 && parameters.offset({index}) > i) --index;
  return parameters.name({index});
}

const std::string& layer_name(const Parameters& parameters, const LayerUse& use) {
  return segment_name(parameters, use.weight_offset >= 0 ? use.weight_offset : use.bias_offset);
}

/// One factor of a layer, of which `rows_each` rows of the set share a row.
std::string describe_factor(const ScoreSet& rows, const LeftOut& left_out, const LayerUse& use,
                            const char* name, const ConstView& factor, std::int64_t rows_each) {
  const Parameters& parameters = rows.parameters();
  const auto found = find(parameters.context(), factor, [&](double value, std::int64_t i) {
    return !std::isfinite(value) && !left_out.all(use.first + i / use.terms * rows_each, rows_each);
  });
  if (!found) return {};
  const std::int64_t row = use.first + found->row / use.terms * rows_each;
  if (rows.dense()) {
    return message("the dense rows: row ", row, " is ", found->value, " at column ", found->column,
                   " (of ", segment_name(parameters, found->column), ")");
  }
  return message(layer_name(parameters, use), ": ", name, " is ", found->value, " at row ", row,
                 " (term ", found->row % use.terms, ", column ", found->column, ")");
}

/// The first index of a lookup that is no row of its weight.
std::string describe_indices(const ScoreSet& rows, const LeftOut& left_out, const LayerUse& use) {
  const Parameters& parameters = rows.parameters();
  const Context& context = parameters.context();
  const Array packed = context.array(use.input.shape(), ElementType::int32);
  Backend& backend = context.state().backend();
  backend.copy(use.input, packed);
  std::vector<std::int32_t> host(static_cast<std::size_t>(use.input.rows()));
  backend.download(packed, host.data());
  for (std::int64_t i = 0; i < use.input.rows(); ++i) {
    const std::int32_t index = host[static_cast<std::size_t>(i)];
    const std::int64_t row = use.first + i / use.terms * use.rows_per_input;
    if ((index >= 0 && index < use.inputs) || left_out.all(row, use.rows_per_input)) continue;
    return message(layer_name(parameters, use), ": .input is ", index, " at row ", row, " (term ",
                   i % use.terms, "), no index of its weight's ", use.inputs, " rows");
  }
  return {};
}

}  // namespace

std::string describe_bad_columns(const ScoreSet& rows) {
  const Context& context = rows.parameters().context();
  const auto weight = find(context, rows.set().weights, [](double value, std::int64_t) {
    return !(std::isfinite(value) && value >= 0);
  });
  if (weight) {
    return message(".weights is ", weight->value, " at row ", weight->row,
                   weight->value < 0 ? ": negative, must be >= 0" : "");
  }
  const LeftOut left_out(rows);
  const auto coefficient = find(
      context, rows.set().coefficients,
      [&](double value, std::int64_t row) { return !std::isfinite(value) && !left_out.all(row); });
  if (!coefficient) return {};
  return message(".coefficients is ", coefficient->value, " at row ", coefficient->row);
}

std::string describe_bad_factors(const ScoreSet& rows) {
  const LeftOut left_out(rows);
  for (const LayerUse& use : rows.blocks().blocks) {
    std::string text = describe_factor(rows, left_out, use, ".output_score", use.output_score, 1);
    if (text.empty()) {
      text = use.lookup
                 ? describe_indices(rows, left_out, use)
                 : describe_factor(rows, left_out, use, ".input", use.input, use.rows_per_input);
    }
    if (!text.empty()) return text;
  }
  return {};
}

std::string describe_bad_parameters(const Parameters& parameters) {
  for (int i = 0; i < parameters.segments(); ++i) {
    const View& tensor = parameters.tensor({i});
    const auto found = find(parameters.context(), tensor, is_not_finite);
    if (!found) continue;
    return message("parameter ", parameters.name({i}), " is ", found->value, " at number ",
                   found->row * tensor.columns() + found->column);
  }
  return {};
}

std::string describe_bad_numbers(const std::string& name, const Parameters& parameters,
                                 const ConstView& numbers) {
  const auto found = find(parameters.context(), numbers, is_not_finite);
  if (!found) return {};
  const std::int64_t i = found->row * numbers.columns() + found->column;
  return message(name, " is ", found->value, " at number ", i, " (of ", segment_name(parameters, i),
                 ")");
}

}  // namespace natgrad::detail
