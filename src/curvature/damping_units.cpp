#include "curvature/damping_units.hpp"

#include <algorithm>
#include <limits>

namespace natgrad::detail {

namespace {

constexpr std::int64_t numbers_of_unit = sizeof(TensorUnit) / sizeof(double);

View part_of_tensor(const ParameterTensor& tensor, const View& numbers) {
  return numbers.row_range(tensor.offset, tensor.theta.size());
}

}  // namespace

std::size_t tensor_at(std::span<const ParameterTensor> tensors, std::int64_t offset) {
  const auto after = std::upper_bound(
      tensors.begin(), tensors.end(), offset,
      [](std::int64_t value, const ParameterTensor& tensor) { return value < tensor.offset; });
  return static_cast<std::size_t>(after - tensors.begin()) - 1;
}

bool without_layers(std::span<const LayerUse> uses) {
  return std::all_of(uses.begin(), uses.end(), [](const LayerUse& use) { return use.inputs == 0; });
}

void load_penalty(Backend& backend, const BatchShape& shape, const View& diagonal) {
  for (const ParameterTensor& tensor : shape.tensors) {
    backend.fill(shape.l2 * tensor.l2, part_of_tensor(tensor, diagonal));
  }
}

void DampingUnits::layout(Carver& carver, const BatchShape& shape, ElementType vectors) {
  const Shape p{shape.parameters, 1};
  const auto tensors = static_cast<std::int64_t>(shape.tensors.size());
  tensors_ = by_parameter() ? View() : carver.take({tensors, numbers_of_unit}, real);
  diagonal_ = by_parameter() ? carver.take(p, real) : View();
  inverse_ = by_parameter() ? carver.take(p, real) : View();
  const bool same = by_parameter() && vectors == real;
  roots_ = same ? diagonal_ : carver.take(p, vectors);
  inverse_roots_ = same ? inverse_ : carver.take(p, vectors);
}

View DampingUnits::unit(std::size_t tensor) const {
  return {tensors_.as<double>() + static_cast<std::int64_t>(tensor) * numbers_of_unit,
          {numbers_of_unit, 1},
          {.device = tensors_.device()}};
}

/// A diagonal of squares of numbers that are not normal is none: its inverse root would overflow.
double DampingUnits::smallest() const {
  if (parameters_ == ElementType::float64) return std::numeric_limits<double>::min();
  constexpr double normal = std::numeric_limits<float>::min();
  return normal * normal;
}

void DampingUnits::clear_means() const { backend_.fill(0, tensors_); }

void DampingUnits::expand(const BatchShape& shape, double TensorUnit::*field,
                          const View& to) const {
  backend_.fill(1, to);
  for (std::size_t i = 0; i < shape.tensors.size(); ++i) {
    const View part = part_of_tensor(shape.tensors[i], to);
    backend_.axpby(0.0, part, scalar(unit(i), field), part);
  }
}

void DampingUnits::finish(const BatchShape& shape, const DampingState* damping,
                          bool joins_penalty) {
  if (by_parameter()) {
    backend_.inverse_roots(diagonal_, smallest(), inverse_);
    backend_.multiply(diagonal_, inverse_, diagonal_);
    if (roots_.data() == diagonal_.data()) return;
    backend_.copy(diagonal_, roots_);
    backend_.copy(inverse_, inverse_roots_);
    return;
  }
  for (std::size_t i = 0; i < shape.tensors.size(); ++i) {
    backend_.evaluate(
        formulas::UnitOfTensor{.unit = address<TensorUnit>(unit(i)),
                               .damping = damping,
                               .scaled = scaling_ == DampingScaling::tensor,
                               .l2 = joins_penalty ? shape.l2 * shape.tensors[i].l2 : 0,
                               .smallest = smallest()});
  }
  expand(shape, &TensorUnit::root, roots_);
  expand(shape, &TensorUnit::inverse_root, inverse_roots_);
}

void DampingUnits::pull_to_zero(const BatchShape& shape, const View& m) const {
  for (std::size_t i = 0; i < shape.tensors.size(); ++i) {
    add_parameters(backend_, shape.tensors.subspan(i, 1), scalar(unit(i), &TensorUnit::pull), m);
  }
}

}  // namespace natgrad::detail
