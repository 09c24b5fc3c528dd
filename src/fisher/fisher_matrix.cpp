#include "natgrad/fisher_matrix.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "fisher/damping.hpp"
#include "fisher/fisher_state.hpp"
#include "scores/score_set.hpp"

#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

FisherMatrix::FisherMatrix(Parameters parameters)
    : FisherMatrix(std::move(parameters), Options{}) {}

FisherMatrix::FisherMatrix(Parameters parameters, Options options) {
  detail::OptionErrors errors("Fisher matrix");
  detail::check_damping(options.damping, errors);
  errors.check(".samples", static_cast<double>(options.samples), options.samples >= 0, ">= 0");
  errors.check(".tile_rows", static_cast<double>(options.tile_rows), options.tile_rows > 0, "> 0");
  errors.check(".refinement", options.refinement,
               options.refinement >= 0 && options.refinement <= 1000, "0 to 1000");
  errors.throw_if_any();
  if (parameters.size() == 0) throw ArgumentError("Fisher matrix: the parameters are empty");
  detail::check_gram_type("Fisher matrix", options.gram_type, parameters.type());
  state_ = std::make_unique<State>(std::move(parameters), options);
}

FisherMatrix::~FisherMatrix() = default;
FisherMatrix::FisherMatrix(FisherMatrix&&) noexcept = default;
FisherMatrix& FisherMatrix::operator=(FisherMatrix&&) noexcept = default;

std::int64_t FisherMatrix::size() const { return state_->parameters.size(); }
std::int64_t FisherMatrix::samples() const { return state_->samples; }
Form FisherMatrix::form() const { return state_->shape.form; }

void FisherMatrix::reset() { state_->reset(); }

void FisherMatrix::accumulate(const Scores& scores) {
  State& s = *state_;
  const detail::ScoreSet& rows = scores.rows();
  rows.require_rows("accumulate", s.parameters);
  try {
    s.begin(rows);
    s.add(rows);
  } catch (...) {
    // What is half set up for a first set is not to be taken for whole.
    if (s.empty()) s.forget();
    throw;
  }
}

void FisherMatrix::solve(const Coefficients& coefficients, const View& direction) {
  State& s = *state_;
  s.require_rows("solve");
  s.require_direction("solve: direction", direction);
  if (!coefficients.view.empty()) {
    if (s.primal()) {
      throw ArgumentError(
          "solve: the primal form keeps no rows; give the coefficients with the "
          "scores, or solve for a gradient");
    }
    detail::require_operand("solve: coefficients", coefficients.view, {s.samples, 1},
                            s.parameters.type(), s.parameters.context().state().memory());
  }
  s.require_gradient(coefficients);
  s.factorize();
  const State::Buffers b = s.buffers(false);
  const detail::Solver solver(s.backend, s.shape, s.storage.system, b.solve, s.scalars, s.rows());
  s.load_centre(solver);
  if (s.primal()) {
    const detail::PrimalAccumulation sum(s.backend, s.storage.system.matrix, s.storage.sums,
                                         s.scalars);
    sum.finish_gradient(s.shape.centering, b.wide, b.solve.gradient);
    solver.solve_gradient();
  } else {
    ConstView r = s.kept.rhs();
    if (!coefficients.view.empty()) {
      s.backend.row_scaling(s.kept.weights(), 0, coefficients.view, 1, b.roots, b.rhs);
      r = b.rhs;
    }
    solver.solve_rows(r, false);
    if (s.shape.centering == Centering::fisher_only) solver.centre_fisher(r);
  }
  s.finish(solver, direction);
}

void FisherMatrix::solve(const Gradient& gradient, const View& direction) {
  State& s = *state_;
  s.require_rows("solve");
  s.require_direction("solve: direction", direction);
  detail::require_operand("solve: gradient", gradient.view, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().state().memory());
  if (!std::isfinite(gradient.scale)) {
    throw OptionError(message("solve: gradient .scale = ", gradient.scale, ", must be finite"));
  }
  if (s.shape.centering == Centering::fisher_only) {
    throw ArgumentError(
        "solve: .centering = Centering::fisher_only goes with maximum likelihood; solve for the "
        "rows' "
        "own coefficients, or centre the rows");
  }
  const Damping& damping = s.options.damping;
  if (!s.primal() && damping.absolute == 0 && damping.relative == 0) {
    throw ArgumentError(
        "solve: a gradient of P numbers needs damping > 0 in the dual form, whose F is singular");
  }
  s.factorize();
  const State::Buffers b = s.buffers(true);
  detail::SolveShape shape = s.shape;
  shape.general = true;
  const detail::Solver solver(s.backend, shape, s.storage.system, b.solve, s.scalars, s.rows());
  s.load_centre(solver);
  s.backend.copy(gradient.view, b.solve.gradient);
  s.backend.axpby(0.0, b.solve.gradient, gradient.scale, b.solve.gradient);
  solver.solve_gradient();
  s.finish(solver, direction);
}

void FisherMatrix::set_damping(const Damping& damping) {
  detail::OptionErrors errors("Fisher matrix");
  detail::check_damping(damping, errors);
  errors.throw_if_any();
  state_->options.damping = damping;
  state_->upload_damping();
  state_->factorized = false;
}

void FisherMatrix::apply(const ConstView& v, const View& product) const {
  State& s = *state_;
  s.require_rows("apply");
  detail::require_operand("apply: v", v, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().state().memory());
  s.require_direction("apply: product", product);
  detail::require_disjoint("apply: product", product, "v", v);
  const State::Buffers b = s.buffers(false);
  if (s.primal()) {
    s.assemble();
    s.backend.copy(v, s.storage.system.residual);
    s.backend.symv(Triangle::lower, s.storage.system.matrix, s.storage.system.residual, b.wide);
    s.backend.copy(b.wide, product);
    return;
  }
  const View z = s.apply_rows(v, b);
  if (z.type() == s.parameters.type()) {
    s.backend.adjoint(s.kept.blocks(), z, 0, product, b.solve.work);
  } else {
    s.backend.adjoint(s.kept.blocks(), z, 0, b.mean, b.solve.work);
    s.backend.copy(b.mean, product);
  }
}

double FisherMatrix::quadratic_form(const ConstView& v) const {
  State& s = *state_;
  s.require_rows("quadratic form");
  detail::require_operand("quadratic form: v", v, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().state().memory());
  const State::Buffers b = s.buffers(false);
  const View result = s.field(&StepScalars::scratch);
  if (s.primal()) {
    s.assemble();
    const View& wide = s.storage.system.residual;
    s.backend.copy(v, wide);
    s.backend.symv(Triangle::lower, s.storage.system.matrix, wide, b.wide);
    s.backend.dot(wide, b.wide, result);
  } else {
    const View z = s.apply_rows(v, b);
    s.backend.dot(z, z, result);
  }
  double value = 0;
  s.backend.download(result, &value);
  return value;
}

void FisherMatrix::diagonal(const View& diagonal) const {
  State& s = *state_;
  s.require_rows("diagonal");
  s.require_direction("diagonal", diagonal);
  if (s.primal()) {
    s.assemble();
    s.backend.copy(diagonal_of(s.storage.system.matrix), diagonal);
    return;
  }
  s.for_each_tile(s.parameters.type(), [&](const View& tile, bool first) {
    s.backend.column_squares(tile, !first, diagonal);
  });
}

double FisherMatrix::trace() const {
  State& s = *state_;
  s.require_rows("trace");
  const View result = s.field(&StepScalars::scratch);
  double trace = 0;
  const auto add_dot = [&](const View& x, const View& y) {
    double value = 0;
    s.backend.dot(x, y, result);
    s.backend.download(result, &value);
    trace += value;
  };
  if (s.primal()) {
    s.assemble();
    const View wide = s.buffers(false).wide;
    const View& ones = s.storage.system.residual;
    s.backend.copy(diagonal_of(s.storage.system.matrix), wide);
    s.backend.fill(1, ones);
    add_dot(wide, ones);
    return trace;
  }
  s.for_each_tile(s.parameters.type(), [&](const View& tile, bool) { add_dot(tile, tile); });
  return trace;
}

void FisherMatrix::to_dense(const View& matrix) const {
  State& s = *state_;
  s.require_rows("to dense");
  detail::require_given("to dense: matrix", matrix, s.parameters.context().state().memory());
  detail::require_shape("to dense: matrix", matrix, {s.size, s.size});
  if (matrix.type() != ElementType::float64) {
    detail::require_type("to dense: matrix", matrix, s.parameters.type());
  }
  if (s.primal()) {
    s.assemble();
    s.backend.copy(s.storage.system.matrix, matrix);
  } else {
    s.for_each_tile(matrix.type(), [&](const View& tile, bool first) {
      s.backend.syrk(Triangle::lower, Transpose::yes, 1, tile, first ? 0 : 1, matrix);
    });
  }
  s.backend.mirror(matrix, matrix);
}

SolveReport FisherMatrix::report() const {
  const State& s = *state_;
  if (!s.solved) throw ArgumentError("report: nothing was solved yet");
  StepScalars scalars{};
  s.backend.download(s.scalars, &scalars);
  return detail::solve_report(scalars, s.shape.form);
}

}  // namespace natgrad
