// A batch in parts: rows, and gradients that are given, are added up until the step is taken.

#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

namespace natgrad {

using detail::Lifetime;
using detail::Phase;

void NaturalGradient::State::accumulate(const Batch& batch) {
  require_idle("accumulate");
  follow_parameters();
  detail::check_batch("accumulate", batch, contract());
  partial.require_fits(batch);
  const detail::StepShape shape = shapes.of(batch, Phase::part, true);
  if (partial.empty()) {
    require_budget(shape);
    prepare();
  }
  const detail::StepBuffers& b = memory.lay_out(*parts, shape);
  bool added = false;
  try {
    parts->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::copied);
    added = true;
    if (batch.gradient.given()) {
      add_gradient(batch.gradient, partial.empty() ? 0 : 1, b.gradient_sum);
    }
  } catch (const DeviceError&) {
    discard();  // the sums may hold a part of this set
    throw;
  } catch (...) {
    // A first part has decided forms and blocks, which the next first part decides anew.
    if (added || partial.empty() || !parts->intact()) discard();
    throw;
  }
  partial.add(batch);
}

void NaturalGradient::State::step_parts(const View& proposal) {
  require_idle(proposal.empty() ? "step" : "propose");
  partial.require_whole();
  if (partial.gradient_given()) {
    detail::BatchContract of_parts = contract();
    of_parts.form = parts->form();  // decided by the first part, perhaps at another damping
    detail::require_damping("step", partial.batch_rows(), of_parts);
  }
  prepare();
  detail::StepShape shape = shapes.of_parts(partial);
  if (!proposal.empty()) shape.proposed = parameters.size();
  memory.lay_out(*parts, shape);
  try {
    take_step(*parts, {.gradient = {}, .kind = partial.kind(), .proposal = proposal});
  } catch (...) {
    discard();  // F may be centred already, and parameters moved: it is no batch any more
    throw;
  }
  discard();
}

}  // namespace natgrad
