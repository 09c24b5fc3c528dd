#include "models/exact_rows.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "natgrad/error.hpp"

#include <array>

namespace natgrad {

using detail::message;

namespace {

/// The rows of a sample are a root of its Fisher matrix, which another root could take the place
/// of: their mean, and with it centred rows, would be another one's too.
void check_options(const RowSet& samples) {
  if (samples.centering != Centering::none) {
    throw OptionError(
        "add_exact_to: .centering must be none: exact rows are roots of the Fisher matrix, whose "
        "mean means nothing, and not scores");
  }
  if (samples.scale != 1) {
    throw OptionError(message("add_exact_to: .scale = ", samples.scale,
                              ", must be 1: exact rows are of log p, whatever the loss"));
  }
}

}  // namespace

void ExactRows::reserve(const std::vector<std::int64_t>& outputs, ElementType type,
                        std::int64_t rows) {
  scores_.reserve(context_, outputs, type, rows);
  if (coefficients_.rows() >= rows) return;
  const detail::DeviceMemory& memory = context_.state().memory();
  const std::array arrays{&r_, &weights_, &coefficients_};
  for (detail::GrowingArray* array : arrays) array->replace(memory);
  for (detail::GrowingArray* array : arrays) {
    array->replace(memory, context_.array({rows, 1}, ElementType::float64));
  }
}

RowSet ExactRows::rows_of(const RowSet& samples, ElementType type) {
  check_options(samples);
  Backend& backend = context_.state().backend();
  const std::int64_t per_sample = scores_.rows_per_input();
  const std::int64_t rows = samples.samples * per_sample;
  const std::int64_t whole = samples.batch_samples == 0 ? samples.samples : samples.batch_samples;
  std::int64_t whole_rows = 0;
  if (whole < samples.samples || __builtin_mul_overflow(whole, per_sample, &whole_rows)) {
    throw OptionError(message("add_exact_to: .batch_samples = ", whole, ", must be at least the ",
                              samples.samples, " of .samples and countable in 64 bits"));
  }
  for (const auto& [name, view] :
       {std::pair("weights", samples.weights), std::pair("coefficients", samples.coefficients)}) {
    if (view.empty()) continue;
    detail::require_column({"add_exact_to", name}, view, samples.samples, type, backend);
  }
  RowSet set = samples;
  set.samples = rows;
  set.batch_samples = whole_rows;
  if (!samples.weights.empty()) {
    set.weights = spread(samples.weights, weights_);
  } else if (samples.weight == 0) {
    // Of M samples, not of their M C rows.
    set.weight = 1 / static_cast<double>(whole);
  }
  set.coefficients = r(rows);
  if (!samples.coefficients.empty()) {
    const View coefficients = spread(samples.coefficients, coefficients_);
    backend.multiply(coefficients, r(rows), coefficients);
    set.coefficients = coefficients;
  }
  return set;
}

/// Each sample's number to all of its rows.
View ExactRows::spread(const ConstView& of_samples, const detail::GrowingArray& to) const {
  const std::int64_t per_sample = scores_.rows_per_input();
  const View rows = to.view().row_range(0, of_samples.rows() * per_sample);
  auto* first = rows.as<double>();
  for (std::int64_t c = 0; c < per_sample; ++c) {
    context_.state().backend().copy(
        of_samples, View(first + c, {of_samples.rows(), 1},
                         {.leading_dimension = per_sample, .device = rows.device()}));
  }
  return rows;
}

void ExactRows::count(const std::vector<std::int64_t>& outputs, ElementType type, std::int64_t rows,
                      ByteCount& bytes) {
  OutputScores::count(outputs, type, rows, bytes);
  bytes.add(rows, 3, size_of(ElementType::float64));
}

}  // namespace natgrad
