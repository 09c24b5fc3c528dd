#include "optimizer/step_shapes.hpp"

namespace natgrad::detail {

Search StepShapes::search() const {
  Search search = parts_.rule.search();
  if (search.trials == 0 && parts_.damping.needs().loss) search.trials = 1;
  return search;
}

bool StepShapes::models_step() const {
  return search().sufficient_decrease != 0 || parts_.damping.needs().products;
}

StepShape StepShapes::of_loop(Phase phase, bool with_momentum) const {
  const auto& [active, rule, damping, momentum, l2, l2_by_tensor, weight_decay] = parts_;
  const bool scaled = with_momentum && active.scaled();
  StepShape shape;
  shape.batch = {.parameters = active.size(),
                 .phase = phase,
                 .has_previous = with_momentum && momentum.starts_solve(),
                 .measures = scaled || (with_momentum && momentum.changes_direction()),
                 .bounds_form = with_momentum && rule.needs().full_matrix,
                 .damped = damping.damped(),
                 .l2 = l2,
                 .l2_by_tensor = l2_by_tensor,
                 .tensors = active.places()};
  if (scaled && phase != Phase::part) shape.scaled = active.size();
  if (phase != Phase::whole || !with_momentum) return shape;
  const bool tries = search().trials > 0;
  const bool penalized = l2 > 0;
  if (tries || (rule.changes_step() && penalized)) shape.kept = active.size();
  if (tries && weight_decay > 0 && (penalized || models_step())) shape.movement = active.size();
  shape.bends = rule.bends();
  if (rule.bends()) shape.kept = shape.movement = active.size();
  shape.products = rule.changes_step() ? 2 : models_step() ? 1 : 0;
  return shape;
}

StepShape StepShapes::of(const Batch& batch, Phase phase, bool with_momentum) {
  const ScoreSet& rows = batch.fisher.rows();
  StepShape shape = of_loop(phase, with_momentum);
  shape.batch.uses = parts_.active.uses(rows, fisher_uses_);
  shape.batch.rows = rows.size();
  shape.batch.batch_rows = rows.batch_samples();
  shape.batch.centering = rows.centering();
  shape.batch.gradient_given = batch.gradient.given();
  shape.gradient_numbers = batch.gradient.numbers().has_value();
  if (batch.gradient.rows() != nullptr) {
    const ScoreSet& other = batch.gradient.rows()->rows();
    shape.gradient_uses = gradient_uses(other);
    shape.gradient_rows = other.size();
  }
  return shape;
}

StepShape StepShapes::of_parts(const PartialBatch& partial) const {
  StepShape shape = of_loop(Phase::finish, true);
  shape.batch.rows = shape.batch.batch_rows = partial.batch_rows();
  shape.batch.centering = partial.centering();
  shape.batch.gradient_given = partial.gradient_given();
  return shape;
}

}  // namespace natgrad::detail
