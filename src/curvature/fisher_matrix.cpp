#include "natgrad/fisher_matrix.hpp"

#include "core/context_owners.hpp"
#include "core/memory_errors.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "curvature/damping_options.hpp"
#include "curvature/fisher_matrix_state.hpp"
#include "curvature/groups.hpp"
#include "curvature/solve_report.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

using detail::with_memory_errors;

namespace {

void check(const FisherMatrix::Options& options, const Parameters& parameters) {
  detail::OptionErrors errors("Fisher matrix");
  errors.check_enumerator(".structure", options.structure);
  errors.check_enumerator(".form", options.form);
  detail::check_damping(options.damping, errors);
  errors.check(".samples", static_cast<double>(options.samples), options.samples >= 0, ">= 0");
  errors.check(".tile_rows", static_cast<double>(options.tile_rows), options.tile_rows > 0, "> 0");
  errors.check(".refinement", options.refinement,
               options.refinement >= 0 && options.refinement <= 1000, "0 to 1000");
  errors.throw_if_any();
  if (parameters.size() == 0) throw ArgumentError("Fisher matrix: the parameters are empty");
  detail::check_gram_type("Fisher matrix", options.gram_type, parameters.type());
  detail::check_form("Fisher matrix", options.structure, options.form);
  detail::require_constant_damping("Fisher matrix", options.damping);
  detail::check_scaling("Fisher matrix", options.structure, options.damping.scaling);
}

}  // namespace

FisherMatrix::FisherMatrix(Parameters parameters)
    : FisherMatrix(std::move(parameters), Options{}) {}

FisherMatrix::FisherMatrix(Parameters parameters, Options options) {
  with_memory_errors([&] {
    check(options, parameters);
    state_ = std::make_unique<State>(std::move(parameters), options);
  });
}

FisherMatrix::~FisherMatrix() = default;
FisherMatrix::FisherMatrix(FisherMatrix&&) noexcept = default;
FisherMatrix& FisherMatrix::operator=(FisherMatrix&&) noexcept = default;

std::int64_t FisherMatrix::size() const { return state_->parameters.size(); }
std::int64_t FisherMatrix::samples() const { return state_->samples; }
Form FisherMatrix::form() const {
  return state_->samples == 0 ? Form::automatic : state_->curvature->form();
}

void FisherMatrix::reset() { state_->reset(); }

void FisherMatrix::accumulate(const Scores& scores) {
  with_memory_errors([&] { state_->accumulate(scores.rows()); });
}

void FisherMatrix::solve(const Coefficients& coefficients, const View& direction) {
  with_memory_errors([&] {
    State& s = *state_;
    const ConstView& c = coefficients.view;
    s.require_rows("solve");
    s.require_numbers("solve: direction", direction);
    s.require_own_gradient(coefficients);
    const detail::HeldOwners held(s.parameters.context(), coefficients.owner);
    s.lay_out({.coefficients_given = !c.empty()});
    s.factorize();
    s.curvature->solve({.coefficients = c});
    s.finish(direction);
  });
}

void FisherMatrix::solve(const Gradient& gradient, const View& direction) {
  with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("solve");
    const std::int64_t several = s.require_right_hand_sides(gradient.view, direction);
    s.require_scale("solve", gradient);
    const detail::HeldOwners held(s.parameters.context(), gradient.owner);
    if (s.centering == Centering::fisher_only) {
      throw ArgumentError(
          "solve: .centering = Centering::fisher_only goes with maximum likelihood; solve for the "
          "rows' own coefficients, or centre the rows");
    }
    const Damping& damping = s.options.damping;
    if (s.curvature->form() != Form::primal && damping.absolute == 0 && damping.relative == 0) {
      throw ArgumentError(
          "solve: a gradient of P numbers needs damping > 0 in the dual form, whose F is singular");
    }
    s.lay_out({.gradient_given = true, .gradients = std::max<std::int64_t>(1, several)});
    s.factorize();
    if (several > 0) return s.solve_several(gradient, direction);
    s.backend.axpby(gradient.scale, gradient.view, 0.0, s.curvature->gradient());
    s.curvature->solve({});
    s.finish(direction);
  });
}

void FisherMatrix::set_damping(const Damping& damping) {
  with_memory_errors([&] {
    State& s = *state_;
    detail::OptionErrors errors("Fisher matrix");
    detail::check_damping(damping, errors);
    errors.throw_if_any();
    detail::require_constant_damping("Fisher matrix", damping);
    detail::check_same_scaling("Fisher matrix", damping, s.options.damping);
    s.options.damping = damping;
    s.upload_damping();
  });
}

void FisherMatrix::apply(const ConstView& v, const View& product) const {
  with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("apply");
    s.require_numbers("apply: v", v);
    s.require_numbers("apply: product", product);
    detail::require_disjoint("apply: product", product, "v", v);
    s.lay_out({});
    s.curvature->fisher().apply(v, product);
  });
}

double FisherMatrix::quadratic_form(const ConstView& v) const {
  return with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("quadratic form");
    s.require_numbers("quadratic form: v", v);
    s.lay_out({});
    s.curvature->fisher().quadratic_form(v, s.result());
    return s.value(s.result());
  });
}

void FisherMatrix::diagonal(const View& diagonal) const {
  with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("diagonal");
    s.require_numbers("diagonal", diagonal);
    s.lay_out({});
    s.curvature->fisher().diagonal(diagonal);
  });
}

double FisherMatrix::trace() const {
  return with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("trace");
    s.lay_out({});
    const Context& context = s.parameters.context();
    const Array diagonal = context.array({size(), 1}, ElementType::float64);
    const Array ones = context.array({size(), 1}, ElementType::float64);
    s.curvature->fisher().diagonal(diagonal);
    s.backend.fill(1, ones);
    s.backend.dot(diagonal, ones, s.result());
    return s.value(s.result());
  });
}

void FisherMatrix::to_dense(const View& matrix) const {
  with_memory_errors([&] {
    State& s = *state_;
    s.require_rows("to dense");
    detail::require_given("to dense: matrix", matrix, s.memory());
    detail::require_shape("to dense: matrix", matrix, {s.size, s.size});
    if (matrix.type() != ElementType::float64) {
      detail::require_type("to dense: matrix", matrix, s.parameters.type());
    }
    s.lay_out({});
    s.curvature->fisher().to_dense(matrix);
  });
}

SolveReport FisherMatrix::report() const {
  const State& s = *state_;
  if (!s.solved) throw ArgumentError("report: nothing was solved yet");
  SolveScalars scalars{};
  s.backend.download(s.solve_scalars(), &scalars);
  return detail::solve_report(scalars, s.options.structure, s.curvature->form());
}

}  // namespace natgrad
