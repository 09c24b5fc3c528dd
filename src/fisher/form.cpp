#include "fisher/form.hpp"

namespace natgrad::detail {

std::int64_t factor_columns(const RowBlocks& rows) {
  std::int64_t columns = 0;
  for (const RowBlock& block : rows.blocks) {
    columns += block.output_score.columns() + (block.input.empty() ? 0 : block.input.columns());
  }
  return columns;
}

Form choose_form(const FormRequest& request) {
  if (request.form != Form::automatic) return request.form;
  const bool damped = request.damping.absolute > 0 || request.damping.relative > 0;
  if (!damped && request.parameters <= request.rows) return Form::primal;

  const auto n = static_cast<double>(request.rows);
  const auto p = static_cast<double>(request.parameters);
  const auto element = static_cast<double>(size_of(request.type));
  const double dual_time = n * n * static_cast<double>(request.factor_columns) + n * n * n / 3;
  const double primal_time = (n * p * p + p * p * p / 3) * (sizeof(double) / element);
  const double dual_memory = n * n * element;
  const double primal_memory =
      (p * p + p * static_cast<double>(request.tile_rows)) * sizeof(double);
  constexpr double most = 4;
  if (primal_time <= dual_time)
    return primal_memory > most * dual_memory ? Form::dual : Form::primal;
  return dual_memory > most * primal_memory ? Form::primal : Form::dual;
}

}  // namespace natgrad::detail
