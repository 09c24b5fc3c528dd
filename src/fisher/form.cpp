#include "fisher/form.hpp"

#include "scores/gram_way.hpp"

namespace natgrad::detail {

double gram_operations(std::span<const LayerUse> blocks, std::int64_t rows, const RowCosts& costs) {
  double sum = 0;
  for (const LayerUse& block : blocks) sum += gram_operations(block, rows, costs);
  return sum;
}

Form choose_form(const FormRequest& request) {
  if (request.form != Form::automatic) return request.form;
  if (!request.damped && request.parameters <= request.rows) return Form::primal;

  const auto n = static_cast<double>(request.rows);
  const auto p = static_cast<double>(request.parameters);
  const auto element = static_cast<double>(size_of(request.type));
  const auto gram_element = static_cast<double>(size_of(request.gram));
  const double dual_time =
      (n * n * request.gram_operations + n * n * n / 3) * (gram_element / element);
  const double primal_time = (n * p * p + p * p * p / 3) * (sizeof(double) / element);
  const double dual_memory = n * n * gram_element;
  const double primal_memory =
      (p * p + p * static_cast<double>(request.tile_rows)) * sizeof(double);
  constexpr double most = 4;
  if (primal_time <= dual_time)
    return primal_memory > most * dual_memory ? Form::dual : Form::primal;
  return dual_memory > most * primal_memory ? Form::primal : Form::dual;
}

}  // namespace natgrad::detail
