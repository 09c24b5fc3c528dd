// One step: matrix, factor, direction, momentum, rate, verdict, and the parameters.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <cmath>
#include <limits>

namespace natgrad {

using detail::message;
using detail::scalar;

void NaturalGradient::State::step(const Batch& batch) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  check("step", batch);
  if (gathered.rows > 0) {
    throw ArgumentError(message("step: ", gathered.rows,
                                " rows are accumulated; step() takes them, discard() drops them"));
  }
  if (rows.batch_samples() != rows.size()) {
    throw ArgumentError(message("step: the scores hold ", rows.size(), " of ", rows.batch_samples(),
                                " samples; a step takes the whole batch, accumulate takes parts"));
  }
  throw_after_failures();
  const detail::BatchShape shape = batch_shape(batch);
  require_budget(shape);
  prepare();
  const detail::StepShape own = step_shape(shape, true);
  const auto buffers = parameters.context().state().arena().buffers<detail::StepBuffers>(
      own, detail::SystemBuffers());
  take_step({.rows = {shape.blocks, rows.scale()},
             .r = rows.rhs(),
             .shape = own,
             .buffers = buffers,
             .scalars = scalars,
             .gradient = batch.gradient},
            rows.kind());
}

void NaturalGradient::State::step_gathered() {
  if (gathered.rows == 0) throw ArgumentError("step: nothing was accumulated");
  if (gathered.rows != gathered.batch_rows) {
    throw ArgumentError(message("step: ", gathered.rows, " of ", gathered.batch_rows,
                                " samples are accumulated; a step takes the whole batch"));
  }
  if (gathered.gradient_rows != gathered.gradient_batch_rows) {
    throw ArgumentError(message("step: the rows of .gradient that are accumulated are ",
                                gathered.gradient_rows, " of ", gathered.gradient_batch_rows,
                                " samples; those of .fisher are whole"));
  }
  if (gathered.general) require_damping("step", gathered.batch_rows);
  throw_after_failures();
  prepare();
  const bool dual = gathered.form == Form::dual;
  const detail::StepShape own = step_shape(gathered_shape(), true);
  const auto buffers = parameters.context().state().arena().buffers<detail::StepBuffers>(
      own, gathered.buffers.system);
  const Work work = {.rows = dual ? gathered.kept.blocks() : RowBatch{},
                     .r = dual ? gathered.kept.rhs() : ConstView(),
                     .weights = dual ? gathered.kept.weights() : ConstView(),
                     .shape = own,
                     .buffers = buffers,
                     .scalars = scalars};
  try {
    take_step(work, gathered.kind);
  } catch (...) {
    discard();  // F may be centred already, and parameters moved: it is no batch any more
    throw;
  }
  discard();
}

/// g = beta g + S^T r of other rows, or the numbers given. `rhs`: room for r in the type of g;
/// empty where that is float64.
void NaturalGradient::State::add_gradient(const GradientSource& source, double beta, const View& g,
                                          const View& rhs, const Scratch& work) const {
  if (source.rows() == nullptr) {
    const Gradient& numbers = *source.numbers();
    return active.gather(backend, numbers.scale, numbers.view, beta, g);
  }
  const detail::ScoreSet& rows = source.rows()->rows();
  ConstView r = rows.rhs();
  if (!rhs.empty()) {
    backend.copy(r, rhs);
    r = rhs;
  }
  const auto blocks =
      active.frozen() ? std::span<const LayerUse>(gradient_blocks) : rows.blocks().blocks;
  backend.adjoint({blocks, rows.scale(), backend.math_mode(options.allow_tf32)}, r, beta, g, work);
}

void NaturalGradient::State::take_step(const Work& work, FisherKind kind) {
  solve(work);
  const View& direction = work.buffers.solve.narrow;
  move(work.shape.scaled > 0 ? work.buffers.scaled : direction, direction,
       {.form = static_cast<double>(work.shape.solve.form), .kind = static_cast<double>(kind)});
}

/// From rows to the step before its rate, and all that the scalars say of it.
void NaturalGradient::State::solve(const Work& work) const {
  const detail::StepShape& shape = work.shape;
  const detail::SolveBuffers& b = work.buffers.solve;
  const detail::Solver solver(backend, shape.solve, work.buffers.system, b, work.scalars,
                              work.rows);
  if (shape.solve.dual()) {
    solver.load_centre(work.weights);
    solver.gram();
  } else {
    const detail::PrimalSums& sums = shape.accumulated ? gathered.buffers.sums : work.buffers.sums;
    const detail::PrimalAccumulation sum(backend, work.buffers.system.matrix, sums, work.scalars);
    if (!shape.accumulated) sum.add(work.rows, 1, work.r, true, work.buffers.primal);
    sum.centre_matrix(shape.solve.centering, b.direction);
    if (!shape.solve.general) sum.finish_gradient(shape.solve.centering, b.direction, b.gradient);
  }
  solver.factorize();
  if (!shape.solve.dual() || shape.solve.general) {
    solve_general(solver, work);
  } else {
    // d starts from m: what is left of the last one, and the penalty's part.
    if (shape.solve.based) {
      if (work.with_momentum && spring() > 0) {
        backend.axpby(spring(), momentum, 0.0, b.direction);
      } else {
        backend.fill(0, b.direction);
      }
      if (options.l2 > 0) {
        active.add_parameters(backend, solver.field(&StepScalars::l2_share), b.direction);
      }
    }
    solver.solve_rows(work.r, shape.solve.based);
    if (shape.solve.centering == Centering::fisher_only) solver.centre_fisher(work.r);
  }
  finish(solver, work);
  solver.judge();
}

/// g + shift m: (F + shift I) (d - m) = g - F m.
void NaturalGradient::State::solve_general(const detail::Solver& solver, const Work& work) const {
  const detail::SolveBuffers& b = work.buffers.solve;
  if (work.shape.solve.general) {
    if (work.shape.accumulated) {
      backend.copy(gathered.buffers.gradient, b.gradient);
    } else {
      add_gradient(work.gradient, 0, b.gradient, work.buffers.gradient_rhs, b.work);
    }
  }
  if (work.with_momentum && spring() > 0) {
    backend.axpby(solver.field(&StepScalars::spring_shift), momentum, 1.0, b.gradient);
  }
  if (options.l2 > 0) active.add_parameters(backend, -options.l2, b.gradient);
  solver.solve_gradient();
}

/// Momentum and rate factors, with d^T F d and the norm of what they make.
void NaturalGradient::State::finish(const detail::Solver& solver, const Work& work) const {
  const detail::SolveBuffers& b = work.buffers.solve;
  const bool wide = b.direction.data() != b.narrow.data();
  if (wide) backend.copy(b.direction, b.narrow);
  if (!work.with_momentum) return;
  const bool turned = heavy_ball() > 0;
  if (turned) backend.axpby(heavy_ball(), momentum, 1.0, b.narrow);
  const bool scaled = work.shape.scaled > 0;
  const View step = scaled ? scaled_step(work) : b.narrow;
  if (turned || scaled) {
    if (wide) backend.copy(step, b.direction);
    const View& v = wide ? b.direction : step;
    const View quadratic = solver.field(&StepScalars::quadratic_form);
    if (work.shape.solve.dual()) {
      solver.apply(v, b.product);
      if (work.shape.solve.centering == Centering::fisher_only)
        backend.project(b.centre, b.product);
      backend.dot(b.product, b.product, quadratic);
    } else {
      backend.symv(Triangle::lower, work.buffers.system.matrix, v, b.product);
      backend.dot(v, b.product, quadratic);
    }
  }
  if (std::isfinite(options.max_norm)) {
    backend.dot(step, step, solver.field(&StepScalars::step_square));
  }
}

View NaturalGradient::State::scaled_step(const Work& work) const {
  const View& to = work.buffers.scaled;
  backend.copy(work.buffers.solve.narrow, to);
  for (const detail::Active::Tensor& tensor : active.tensors()) {
    if (tensor.rate == 1) continue;
    const View part = active.part(tensor, to);
    backend.axpby(0.0, part, tensor.rate, part);
  }
  return to;
}

/// Counts and judges the step, and moves parameters and momentum where it is accepted.
void NaturalGradient::State::move(const View& step, const View& direction,
                                  const ScalarArguments& of) {
  backend.update_scalars(ScalarRule::begin_step, of, scalars);
  const Scalar rate = field(&StepScalars::step_rate);
  const Scalar shrink = field(&StepScalars::shrink);
  const View accept = field(&StepScalars::accept);
  const std::span<const UpdatedTensor> tensors = active.updates(step);
  backend.check_update(tensors, rate, shrink, field(&StepScalars::update_finite));
  backend.update_scalars(ScalarRule::judge_step, {}, scalars);
  backend.update(accept, tensors, rate, shrink);
  if (!momentum.empty()) backend.commit(accept, direction, momentum);
  backend.publish(scalars, ring);
}

void NaturalGradient::State::direction(const Batch& batch, const View& out) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  check("direction", batch);
  if (rows.batch_samples() != rows.size()) {
    throw ArgumentError(message("direction: the scores hold ", rows.size(), " of ",
                                rows.batch_samples(), " samples; it takes the whole batch"));
  }
  detail::require_operand("direction", out, {parameters.size(), 1}, parameters.type(),
                          parameters.context().state().memory());
  for (int i = 0; i < parameters.segments(); ++i) {
    detail::require_disjoint("direction", out, parameters.name({i}), parameters.tensor({i}));
  }
  const detail::BatchShape shape = batch_shape(batch);
  require_budget(shape);
  prepare();
  detail::StepShape own = step_shape(shape, false);
  if (active.frozen()) own.scaled = parameters.size();  // with zeros for what is frozen
  const auto b = parameters.context().state().arena().buffers<detail::StepBuffers>(
      own, detail::SystemBuffers());
  backend.copy(scalars, direction_scalars);
  solve({.rows = {shape.blocks, rows.scale()},
         .r = rows.rhs(),
         .shape = own,
         .buffers = b,
         .scalars = direction_scalars,
         .gradient = batch.gradient,
         .with_momentum = false});
  commit_direction(b, out);
  direction_form = own.solve.form;
}

/// A direction that overflows its type is no direction: with nothing kept of theta, the new
/// parameters that `check_update` looks at are the direction itself.
void NaturalGradient::State::commit_direction(const detail::StepBuffers& b, const View& out) const {
  const View& d = b.solve.narrow;
  const auto own = [&](double StepScalars::*name) { return scalar(direction_scalars, name); };
  backend.fill(1, own(&StepScalars::update_finite));
  const UpdatedTensor itself{d, d};
  backend.check_update({&itself, 1}, 1.0, 1.0, own(&StepScalars::update_finite));
  backend.update_scalars(ScalarRule::judge_step, {}, direction_scalars);
  const View accept = own(&StepScalars::accept);
  if (!active.frozen()) return backend.commit(accept, d, out);
  backend.fill(0, b.scaled);
  for (const detail::Active::Tensor& tensor : active.tensors()) {
    backend.copy(active.part(tensor, d), parameters.part(tensor.segment, b.scaled));
  }
  backend.commit(accept, b.scaled, out);
}

}  // namespace natgrad
