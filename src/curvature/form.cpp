#include "curvature/form.hpp"

#include "scores/gram_way.hpp"

namespace natgrad::detail {

double gram_operations(std::span<const LayerUse> uses, std::int64_t rows, const RowCosts& costs) {
  double sum = 0;
  for (const LayerUse& use : uses) sum += gram_operations(use, rows, costs);
  return sum;
}

Form choose_form(const FormRequest& request) {
  if (request.form != Form::automatic) return request.form;
  if (!request.damped && request.parameters <= request.rows) return Form::primal;

  const auto n = static_cast<double>(request.rows);
  const auto p = static_cast<double>(request.parameters);
  const auto operation_cost = [&](ElementType type) {
    return type == request.type ? 1 : request.double_cost;
  };
  const double dual_time =
      (n * n * request.gram_operations + n * n * n / 3) * operation_cost(request.gram);
  const double primal_time = (n * p * p + p * p * p / 3) * operation_cost(ElementType::float64);
  const double dual_memory = n * n * static_cast<double>(size_of(request.gram));
  const double primal_memory =
      (p * p + p * static_cast<double>(request.tile_rows)) * sizeof(double);
  constexpr double most = 4;
  // K of more rows than parameters is singular, and only the damping carries its solve.
  const bool singular = request.rows > request.parameters;
  if (primal_time <= dual_time || singular) {
    return primal_memory > most * dual_memory ? Form::dual : Form::primal;
  }
  return dual_memory > most * primal_memory ? Form::primal : Form::dual;
}

}  // namespace natgrad::detail
