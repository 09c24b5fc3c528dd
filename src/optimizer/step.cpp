// One step: the matrix, its factor, the direction, momentum, rate, verdict, and the parameters.

#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/trial.hpp"

#include <cmath>

namespace natgrad {

using detail::Lifetime;
using detail::Phase;

void NaturalGradient::State::step(const Batch& batch) {
  follow_parameters();
  detail::check_batch("step", batch, contract());
  partial.require_empty("step");
  detail::require_whole_batch("step", batch);
  const detail::StepShape shape = shapes.of(batch, Phase::whole, true);
  require_budget(shape);
  prepare();                      // the first step allocates what lasts
  memory.lay_out(*whole, shape);  // the largest batch so far allocates scratch
  whole->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::borrowed);
  take_step(*whole, batch.gradient, batch.fisher.kind());
}

void NaturalGradient::State::step_parts() {
  partial.require_whole();
  if (partial.gradient_given()) {
    detail::BatchContract of_parts = contract();
    of_parts.form = parts->form();  // decided by the first part, perhaps at another damping
    detail::require_damping("step", partial.batch_rows(), of_parts);
  }
  prepare();
  memory.lay_out(*parts, shapes.of_parts(partial));
  try {
    take_step(*parts, {}, partial.kind());
  } catch (...) {
    discard();  // F may be centred already, and parameters moved: it is no batch any more
    throw;
  }
  discard();
}

/// From accumulated rows to the parameters. Beside the curvature's work every line is a few passes
/// over P numbers.
void NaturalGradient::State::take_step(detail::Curvature& curvature, const GradientSource& gradient,
                                       FisherKind kind) {
  solve(curvature, gradient, momentum->right_hand_side());
  const View& d = curvature.direction();
  momentum->combine(backend, d);
  const View v = active.scale(backend, d, memory.buffers().scaled);
  if (momentum->changes_direction() || active.scaled()) curvature.measure(v);
  curvature.judge();

  const bool predicts_kl = options.structure == Structure::full &&
                           (kind == FisherKind::sampled || kind == FisherKind::exact);
  const std::span<const UpdatedTensor> tensors = active.updates(v);
  detail::Trial trial(backend, scalars);
  trial.begin();
  rule->choose_rate(backend, curvature.scalars(), scalars.step);
  trial.limit(v, std::isfinite(options.max_norm));
  const bool gradient_given = gradient.given() || partial.gradient_given();
  trial.judge(tensors, curvature.scalars(), curvature.form(), predicts_kl, gradient_given);
  trial.move(tensors);
  momentum->judged(backend, scalars.step, d);
  damping.judged(backend, scalars.step, d);
  rule->judged(backend, scalars.step, d);
  backend.publish(scalars.record, ring.view());
}

/// The direction d of accumulated rows, to `curvature.direction()`.
void NaturalGradient::State::solve(detail::Curvature& curvature, const GradientSource& gradient,
                                   const detail::RightHandSide& rhs) {
  curvature.factorize(damping.state());  // the Gram matrix and n^3 / 3
  if (gradient.given()) {
    add_gradient(gradient, 0, curvature.gradient());  // of rows one product a layer
  } else if (!memory.buffers().gradient_sum.empty()) {
    backend.copy(memory.buffers().gradient_sum, curvature.gradient());
  }
  curvature.solve(rhs);  // 4 n^2 and one pass over the rows, with SPRING or L2 two
}

/// g = beta g + S^T r of other rows, or the numbers given.
void NaturalGradient::State::add_gradient(const GradientSource& source, double beta,
                                          const View& g) {
  if (source.rows() == nullptr) {
    const Gradient& numbers = *source.numbers();
    return active.axpby(backend, numbers.scale, numbers.view, beta, g);
  }
  const detail::ScoreSet& rows = source.rows()->rows();
  const detail::StepBuffers& b = memory.buffers();
  ConstView r = rows.rhs();
  if (g.type() == ElementType::float32) {
    backend.copy(r, b.gradient_rhs);
    r = b.gradient_rhs;
  }
  RowBatch batch = rows.with_uses(shapes.gradient_uses(rows));
  batch.mode = backend.math_mode(options.allow_tf32);
  backend.adjoint(batch, r, beta, g, b.gradient_work);
}

void NaturalGradient::State::accumulate(const Batch& batch) {
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

}  // namespace natgrad
