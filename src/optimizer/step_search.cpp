// What step rules ask for beside the solve: products of a model with the rows, a step of their own,
// and trials of several rates.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/curved_search.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <cmath>

namespace natgrad {

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
  throw ArgumentError(
      detail::message(caller, ": called by .loss, .kl or .residuals of this optimizer's step"));
}

/// Uses of the rows whose S^T r is the gradient; none where it comes from elsewhere.
std::span<const LayerUse> NaturalGradient::State::other_uses(const GradientSource& gradient) {
  if (gradient.rows() == nullptr) return {};
  return shapes.gradient_uses(gradient.rows()->rows());
}

/// The quadratic model of the loss around the parameters; none where no rule looks at it.
std::optional<detail::LocalModel> NaturalGradient::State::model_of(const StepInput& input) {
  if (memory.buffers().model.vector.empty()) return std::nullopt;
  return std::optional<detail::LocalModel>(
      std::in_place, backend, active, memory.buffers().model,
      detail::LocalModel::Rows{.set = input.batch->fisher.rows(),
                               .uses = input.uses,
                               .gradient = input.gradient,
                               .gradient_uses = other_uses(input.gradient)});
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

/// Moves the parameters along a parabola. The caller's function finds the rows as they were.
void NaturalGradient::State::bend(detail::Curvature& curvature, const Batch& batch, const View& d) {
  const detail::StepBuffers& buffers = memory.buffers();
  const Busy calling(busy);
  detail::CurvedSearch(parameters.context().state(), scalars,
                       {.bend = rule->bend(),
                        .measure = batch.residuals,
                        .rows = batch.fisher.rows(),
                        .solve = *curvature.repeated(),
                        .solved = curvature.scalars(),
                        .active = active,
                        .direction = d,
                        .kept = buffers.kept,
                        .movement = buffers.movement,
                        .buffers = buffers.curved})
      .run();
}

detail::Trial::Verdict NaturalGradient::State::verdict_of(Form form, const StepInput& input) const {
  const bool of_fisher = input.kind == FisherKind::sampled || input.kind == FisherKind::exact;
  const bool whole_matrix = options.structure == Structure::full || rule->changes_step();
  const detail::Search search = shapes.search();
  int applies = 0;
  if (search.trials > 0 || rule->bends()) applies |= formulas::applies_loss;
  if (std::isfinite(search.kl_radius) && search.trials > 0) applies |= formulas::applies_kl;
  if (search.trials > 0 && shapes.models_step()) applies |= formulas::applies_ratio;
  if (rule->changes_step()) applies |= formulas::applies_model;
  return {.form = form,
          .predicts_kl = of_fisher && whole_matrix,
          .gradient_given = input.gradient.given() || partial.gradient_given(),
          .applies = applies};
}

}  // namespace natgrad
