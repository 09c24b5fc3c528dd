// The direction of a batch, for an optimizer of the caller's.

#include "core/context_state.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "optimizer/natural_gradient_state.hpp"

namespace natgrad {

using detail::Lifetime;
using detail::Phase;
using detail::scalar;

void NaturalGradient::State::direction(const Batch& batch, const View& out) {
  require_idle("direction");
  follow_parameters();
  detail::check_batch("direction", batch, contract());
  detail::require_whole_batch("direction", batch);
  detail::require_operand("direction", out, {parameters.size(), 1}, parameters.type(),
                          parameters.context().state().memory());
  for (int i = 0; i < parameters.segments(); ++i) {
    detail::require_disjoint("direction", out, parameters.name({i}), parameters.tensor({i}));
  }
  require_budget(shapes.of(batch, Phase::whole, true));  // of a step of this batch
  detail::StepShape shape = shapes.of(batch, Phase::whole, false);
  if (active.frozen()) shape.scaled = parameters.size();  // with zeros for what is frozen
  prepare();
  memory.lay_out(*whole, shape);
  whole->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::borrowed);
  solve(*whole, batch.gradient, {});
  detail::judge_direction(backend, *whole, scalars.step, scalars.direction);

  const View& d = whole->direction();
  const View& all = active.frozen() ? memory.buffers().scaled : d;
  if (active.frozen()) active.scatter(backend, d, all);
  backend.commit(scalar(scalars.step, &StepScalars::accept), all, out);
  direction_form = whole->form();
}

}  // namespace natgrad
