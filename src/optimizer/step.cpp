// One step: the matrix, its factor, the direction, momentum, rate, verdict, and the parameters.

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <cmath>

namespace natgrad {

using detail::Lifetime;
using detail::Phase;
using detail::scalar;

namespace {

/// The optimizer's state is half a step while the caller's functions run.
class Busy {
 public:
  explicit Busy(bool& busy) : busy_(busy) { busy_ = true; }
  ~Busy() { busy_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& busy_;
};

}  // namespace

void NaturalGradient::State::require_idle(const char* caller) const {
  if (!busy) return;
  throw ArgumentError(detail::message(caller, ": called by .loss or .kl of this optimizer's step"));
}

void NaturalGradient::State::step(const Batch& batch) {
  require_idle("step");
  follow_parameters();
  detail::check_batch("step", batch, contract());
  detail::check_functions("step", batch, contract());
  partial.require_empty("step");
  detail::require_whole_batch("step", batch);
  const detail::StepShape shape = shapes.of(batch, Phase::whole, true);
  require_budget(shape);
  prepare();                      // the first step allocates what lasts
  memory.lay_out(*whole, shape);  // the largest batch so far allocates scratch
  whole->accumulate({batch.fisher.rows(), shape.batch.uses}, Lifetime::borrowed);
  take_step(*whole, {.gradient = batch.gradient,
                     .kind = batch.fisher.kind(),
                     .batch = &batch,
                     .uses = shape.batch.uses});
}

void NaturalGradient::State::step_parts() {
  require_idle("step");
  partial.require_whole();
  if (partial.gradient_given()) {
    detail::BatchContract of_parts = contract();
    of_parts.form = parts->form();  // decided by the first part, perhaps at another damping
    detail::require_damping("step", partial.batch_rows(), of_parts);
  }
  prepare();
  memory.lay_out(*parts, shapes.of_parts(partial));
  try {
    take_step(*parts, {.gradient = {}, .kind = partial.kind()});
  } catch (...) {
    discard();  // F may be centred already, and parameters moved: it is no batch any more
    throw;
  }
  discard();
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
  std::optional<detail::LocalModel> model;
  if (!memory.buffers().model.vector.empty()) {
    model.emplace(backend, active, memory.buffers().model,
                  detail::LocalModel::Rows{.set = input.batch->fisher.rows(),
                                           .uses = input.uses,
                                           .gradient = input.gradient,
                                           .gradient_uses = other_uses(input.gradient)});
  }
  if (rule->changes_step()) choose_step(*model, solved, v);
  const std::span<const UpdatedTensor> tensors = active.updates(v);
  detail::Trial trial(parameters.context().state(), scalars);
  trial.begin();
  rule->choose_rate(backend, solved, scalars.step);
  trial.limit(v, std::isfinite(options.max_norm));
  const bool searches = shapes.search().trials > 0;
  if (searches) search(trial, input, tensors, v, solved, model ? &*model : nullptr);
  trial.judge(tensors, solved, verdict_of(curvature.form(), input));
  if (!searches) trial.move(tensors);
  const detail::JudgedStep judged{
      .scalars = scalars.step, .trial = scalars.trial, .direction = d, .step = v};
  momentum->judged(backend, judged);
  damping->judged(backend, judged);
  rule->judged(backend, judged);
  backend.publish(scalars.record, ring.view());
}

detail::Trial::Verdict NaturalGradient::State::verdict_of(Form form, const StepInput& input) const {
  const bool of_fisher = input.kind == FisherKind::sampled || input.kind == FisherKind::exact;
  const bool whole_matrix = options.structure == Structure::full || rule->changes_step();
  const detail::Search search = shapes.search();
  int applies = 0;
  if (search.trials > 0) applies |= formulas::applies_loss;
  if (std::isfinite(search.kl_radius) && search.trials > 0) applies |= formulas::applies_kl;
  if (search.trials > 0 && shapes.models_step()) applies |= formulas::applies_ratio;
  if (rule->changes_step()) applies |= formulas::applies_model;
  return {.form = form,
          .predicts_kl = of_fisher && whole_matrix,
          .gradient_given = input.gradient.given() || partial.gradient_given(),
          .applies = applies};
}

/// Uses of the rows whose S^T r is the gradient; none where it comes from elsewhere.
std::span<const LayerUse> NaturalGradient::State::other_uses(const GradientSource& gradient) {
  if (gradient.rows() == nullptr) return {};
  return shapes.gradient_uses(gradient.rows()->rows());
}

/// Lets the rule replace v, in place.
void NaturalGradient::State::choose_step(const detail::LocalModel& model, const View& solved,
                                         const View& v) {
  const View& kept = memory.buffers().kept;
  if (options.l2 > 0) active.keep(backend, kept);
  rule->choose_step(backend, {.model = model,
                              .step = v,
                              .parameters = options.l2 > 0 ? ConstView(kept) : ConstView(),
                              .solve = solved,
                              .trial = scalars.trial,
                              .eta = options.l2});
}

/// Moves the parameters by the first good of several rates. Nothing reads rows once it calls the
/// caller's functions, which may overwrite them.
void NaturalGradient::State::search(detail::Trial& trial, const StepInput& input,
                                    std::span<const UpdatedTensor> tensors, const View& v,
                                    const View& solved, const detail::LocalModel* model) {
  const detail::StepBuffers& buffers = memory.buffers();
  View u = v;
  if (!buffers.movement.empty()) {
    u = buffers.movement;
    active.add_decay(backend, options.weight_decay, v, u);
  }
  if (shapes.models_step()) {
    const View product = model->multiply(u, 0, scalar(scalars.trial, &TrialScalars::slope));
    backend.dot(product, product, scalar(scalars.trial, &TrialScalars::curvature));
  } else {
    backend.fill(0, scalar(scalars.trial, &TrialScalars::slope));
    backend.fill(0, scalar(scalars.trial, &TrialScalars::curvature));
  }
  const Busy calling(busy);
  trial.search({.search = shapes.search(),
                .batch = *input.batch,
                .tensors = tensors,
                .active = active,
                .kept = buffers.kept,
                .movement = options.l2 > 0 ? u : View(),
                .solve = solved,
                .eta = options.l2});
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

}  // namespace natgrad
