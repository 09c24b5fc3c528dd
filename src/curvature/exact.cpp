#include "curvature/exact.hpp"

#include "core/context_state.hpp"
#include "curvature/form.hpp"

#include <algorithm>

namespace natgrad::detail {

ExactCurvature::ExactCurvature(const Context& context, const CurvatureOptions& options)
    : backend_(context.state().backend()),
      options_(options),
      parameter_space_(std::make_unique<ParameterSpace>(context.state().backend(), options)),
      sample_space_(std::make_unique<SampleSpace>(context, options)) {}

Curvature& ExactCurvature::chosen() const {
  if (form_ == Form::primal) return *parameter_space_;
  return *sample_space_;
}

Form ExactCurvature::form_of(const BatchShape& shape) const {
  // Units of parameters are those of columns, which layers do not have.
  if (options_.scaling == DampingScaling::diagonal && options_.form == Form::automatic &&
      !without_layers(shape.uses)) {
    return Form::primal;
  }
  const bool centred = shape.centering != Centering::none;
  return choose_form(
      {.form = options_.form,
       .damped = shape.damped,
       .rows = shape.batch_rows,
       .parameters = shape.parameters,
       .gram_operations = gram_operations(shape.uses, shape.rows, backend_.row_costs()),
       .tile_rows = std::min(options_.tile_rows, shape.rows),
       .type = options_.type,
       .gram = centred ? ElementType::float64 : options_.gram_type.value_or(options_.type),
       .double_cost = backend_.double_cost()});
}

void ExactCurvature::layout(const CurvatureMemory& memory, const BatchShape& shape) {
  if (!begun_ && shape.phase != Phase::finish) form_ = form_of(shape);
  chosen().layout(memory, shape);
}

void ExactCurvature::reserve(const BatchShape& shape) {
  if (!begun_) form_ = form_of(shape);
  chosen().reserve(shape);
}

std::int64_t ExactCurvature::reserved_bytes(const BatchShape& shape) const {
  return (begun_ ? form_ : form_of(shape)) == Form::dual ? sample_space_->reserved_bytes(shape) : 0;
}

void ExactCurvature::accumulate(const RowInput& rows, Lifetime lifetime) {
  chosen().accumulate(rows, lifetime);
  begun_ = lifetime == Lifetime::copied;
}

void ExactCurvature::forget() {
  parameter_space_->forget();
  sample_space_->forget();
  begun_ = false;
}

}  // namespace natgrad::detail
