// One step: the matrix, its factor, the direction, momentum, rate, verdict, and the parameters.

#include "optimizer/natural_gradient_state.hpp"

#include <cmath>
#include <optional>

namespace natgrad {

using detail::Lifetime;
using detail::Phase;

void NaturalGradient::State::step(const Batch& batch, const View& proposal) {
  const char* caller = proposal.empty() ? "step" : "propose";
  require_idle(caller);
  follow_parameters();
  detail::check_batch(caller, batch, contract());
  detail::check_functions(caller, batch, contract());
  partial.require_empty(caller);
  detail::require_whole_batch(caller, batch);
  detail::StepShape shape = shapes.of(batch, Phase::whole, true);
  require_budget(shape);
  if (!proposal.empty()) shape.proposed = parameters.size();
  prepare();                      // the first step allocates what lasts
  memory.lay_out(*whole, shape);  // the largest batch so far allocates scratch
  whole->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::borrowed);
  take_step(*whole, {.gradient = batch.gradient,
                     .kind = batch.fisher.kind(),
                     .batch = &batch,
                     .uses = shape.batch.uses,
                     .proposal = proposal});
}

/// From accumulated rows to the parameters. Beside the curvature's work, and products of a model
/// with the rows, every line is a few passes over P numbers.
void NaturalGradient::State::take_step(detail::Curvature& curvature, const StepInput& input) {
  solve(curvature, input.gradient, momentum->right_hand_side());
  const View& d = curvature.direction();
  momentum->combine(backend, d);
  const View v = active.scale(backend, d, memory.buffers().scaled);
  if (momentum->changes_direction() || active.scaled()) curvature.measure(v);
  curvature.judge();

  const View& solved = curvature.scalars();
  const std::optional<detail::LocalModel> model = model_of(input);
  if (rule->changes_step()) choose_step(*model, solved, v);
  const std::span<const UpdatedTensor> tensors = active.updates(v);
  detail::Trial trial(parameters.context().state(), scalars);
  trial.begin();
  rule->choose_rate(backend, solved, scalars.step);
  trial.limit(v, std::isfinite(options.max_norm));
  const bool searches = shapes.search().trials > 0;
  if (rule->bends()) bend(curvature, *input.batch, v);
  if (searches) search(trial, input, tensors, v, solved, model ? &*model : nullptr);
  trial.judge(tensors, solved, verdict_of(curvature.form(), input));
  if (!input.proposal.empty()) {
    hand_out(v, input.proposal);
  } else if (!searches && !rule->bends()) {
    trial.move(tensors);
  }
  const detail::JudgedStep judged{
      .scalars = scalars.step, .trial = scalars.trial, .direction = d, .step = v};
  momentum->judged(backend, judged);
  damping->judged(backend, judged);
  rule->judged(backend, judged);
  backend.publish(scalars.record, ring.view());
}

/// The direction d of accumulated rows, to `curvature.direction()`.
void NaturalGradient::State::solve(detail::Curvature& curvature, const GradientSource& gradient,
                                   const detail::RightHandSide& rhs) {
  curvature.factorize(damping->state());  // the Gram matrix and n^3 / 3
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

}  // namespace natgrad
