#include "curvature/fisher_matrix_state.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/overlap.hpp"
#include "curvature/damping_options.hpp"
#include "curvature/groups.hpp"
#include "natgrad/error.hpp"
#include "scores/score_checks.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;
using detail::Phase;
using detail::scalar;

namespace {

/// A carver of this array, grown to so many bytes if need be.
detail::Carver grown(const Context& context, detail::GrowingArray& array, std::int64_t bytes) {
  if (bytes > array.bytes()) {
    const detail::DeviceMemory& memory = context.state().memory();
    array.replace(memory);  // the old and the new together would be twice the memory
    array.replace(memory, context.array({bytes / 8, 1}, ElementType::float64));
  }
  return array.empty() ? detail::Carver()
                       : detail::Carver(array.view().data(), array.view().device());
}

}  // namespace

FisherMatrix::State::Scalars::Scalars(detail::Carver& carver)
    : damping(detail::take_scalars<DampingState>(carver)),
      step(detail::take_scalars<StepScalars>(carver)),
      solve(detail::take_scalars<SolveScalars>(carver)),
      row(detail::take_scalars<SolveScalars>(carver)),
      result(carver.take({1, 1}, ElementType::float64)) {}

FisherMatrix::State::State(Parameters given, const Options& wanted)
    : parameters(std::move(given)),
      options(wanted),
      backend(parameters.context().state().backend()) {
  make_curvature();
}

void FisherMatrix::State::make_curvature() {
  std::vector<Segment> segments;
  tensors.clear();
  for (int i = 0; i < parameters.segments(); ++i) {
    segments.push_back({i});
    tensors.push_back({.theta = parameters.tensor({i}), .offset = parameters.offset({i})});
  }
  curvature = detail::make_curvature(
      parameters.context(), {.structure = options.structure,
                             .scaling = options.damping.scaling,
                             .groups = detail::active_groups("Fisher matrix", options.structure,
                                                             options.groups, parameters, segments),
                             .form = options.form,
                             .type = parameters.type(),
                             .gram_type = options.gram_type,
                             .refinement = options.refinement,
                             .allow_tf32 = options.allow_tf32,
                             .tile_rows = options.tile_rows});
  size = parameters.size();
}

const detail::DeviceMemory& FisherMatrix::State::memory() const {
  return parameters.context().state().memory();
}
const DampingState* FisherMatrix::State::damping() const {
  return detail::address<DampingState>(scalars_.damping);
}
View FisherMatrix::State::result() const { return scalars_.result; }
View FisherMatrix::State::solve_scalars() const { return scalars_.solve; }

double FisherMatrix::State::value(const View& element) const {
  double value = 0;
  backend.download(element, &value);
  return value;
}

detail::BatchShape FisherMatrix::State::shape(Phase phase, std::int64_t rows) const {
  const Damping& damping = options.damping;
  return {.rows = rows,
          .batch_rows = phase == Phase::part ? capacity : samples,
          .parameters = size,
          .phase = phase,
          .centering = centering,
          .damped = damping.absolute > 0 || damping.relative > 0,
          .tensors = tensors};
}

void FisherMatrix::State::take_memory(const detail::BatchShape& wanted) {
  detail::Carver kept_count;
  detail::Carver system_count;
  detail::Carver scratch_count;
  curvature->layout({kept_count, system_count, scratch_count}, wanted);
  const Context& context = parameters.context();
  detail::Carver kept = grown(context, kept_, kept_count.bytes());
  detail::Carver system = grown(context, system_, system_count.bytes());
  detail::Carver scratch = context.state().arena().carve(scratch_count.bytes());
  curvature->layout({kept, system, scratch}, wanted);
}

void FisherMatrix::State::lay_out(const Call& call) {
  detail::BatchShape wanted = shape(Phase::finish, samples);
  wanted.gradient_given = call.gradient_given;
  wanted.coefficients_given = call.coefficients_given;
  wanted.inverts = call.inverts;
  wanted.gradients = call.gradients;
  wanted.measures = true;  // so that looking at a matrix that was solved allocates nothing
  take_memory(wanted);
}

/// Before the first rows: the matrix is of the parameters as they stand.
void FisherMatrix::State::begin(const detail::ScoreSet& rows) {
  if (size != parameters.size()) make_curvature();
  capacity = options.samples > 0 ? options.samples : rows.batch_samples();
  centering = rows.centering();
  no_gradient = nullptr;
  if (!scalar_memory_.empty()) return;
  detail::Carver count;
  const Scalars counted(count);
  Array memory = parameters.context().array({count.bytes() / 8, 1}, ElementType::float64);
  backend.fill(0, memory);
  detail::Carver carver(memory.view().data(), memory.view().device());
  scalars_ = Scalars(carver);
  scalar_memory_ = std::move(memory);
  upload_damping();
}

void FisherMatrix::State::accumulate(const detail::ScoreSet& rows) {
  rows.require_rows("accumulate", parameters);
  detail::require_scalable("accumulate", options.damping.scaling, options.form, rows);
  if (samples == 0) {
    begin(rows);
  } else {
    require_size("accumulate");
    if (rows.centering() != centering) {
      throw ArgumentError("accumulate: .centering of the set differs from that of the sets before");
    }
  }
  detail::BatchShape part = shape(Phase::part, rows.size());
  part.uses = rows.blocks().blocks;
  try {
    take_memory(part);
    if (curvature->form() == Form::dual && samples + rows.size() > capacity) {
      const std::string kept = samples == 0 ? "" : message(samples, " rows kept and ");
      throw ShapeError(message("accumulate: ", kept, rows.size(), samples == 0 ? " rows" : " more",
                               " are beyond .samples = ", capacity, " of the dual form"));
    }
    curvature->accumulate({rows, part.uses}, detail::Lifetime::copied);
  } catch (const DeviceError&) {
    reset();  // the sums may hold a part of this set
    throw;
  } catch (...) {
    if (samples == 0 || !curvature->intact()) reset();
    throw;
  }
  if (const char* reason = detail::missing_gradient(rows)) no_gradient = reason;
  samples += rows.size();
  factorized = false;
  eigensystem = {};
}

void FisherMatrix::State::reset() {
  curvature->forget();
  samples = 0;
  factorized = solved = false;
  eigensystem = {};
}

void FisherMatrix::State::upload_damping() {
  factorized = false;
  if (scalar_memory_.empty()) return;
  backend.fill(options.damping.absolute, scalar(scalars_.damping, &DampingState::absolute));
  backend.fill(options.damping.relative, scalar(scalars_.damping, &DampingState::relative));
}

void FisherMatrix::State::factorize() {
  if (factorized) return;
  curvature->factorize(damping());
  factorized = true;
}

void FisherMatrix::State::solve_several(const Gradient& gradient, const View& directions) {
  const ConstView& g = gradient.view;
  const std::int64_t together = curvature->substitutes();
  for (std::int64_t i = 0; i < g.rows(); ++i) {
    const std::int64_t place = together == 0 ? -1 : i % together;
    if (place == 0) {
      curvature->substitute(g.row_range(i, std::min(together, g.rows() - i)), gradient.scale);
    }
    backend.axpby(gradient.scale, detail::row_as_column(g, i), 0.0, curvature->gradient());
    curvature->solve({.substituted = place});
    finish(detail::row_as_column(directions, i), i == 0);
  }
}

void FisherMatrix::State::finish(const View& direction) {
  detail::judge_direction(backend, *curvature, scalars_.step, scalars_.solve);
  backend.commit(scalar(scalars_.step, &StepScalars::accept), curvature->direction(), direction);
  solved = true;
}

void FisherMatrix::State::finish(const View& direction, bool first) {
  detail::judge_direction(backend, *curvature, scalars_.step, scalars_.row);
  backend.commit(scalar(scalars_.step, &StepScalars::accept), curvature->direction(), direction);
  backend.evaluate(formulas::AddBlock{.block = detail::address<SolveScalars>(scalars_.row),
                                      .sum = detail::address<SolveScalars>(scalars_.solve),
                                      .first = first});
  solved = true;
}

const detail::Eigensystem& FisherMatrix::State::decompose() {
  curvature->fisher().decompose(parameters.context(), eigensystem);
  return eigensystem;
}

Outcome FisherMatrix::State::hand_out(Outcome outcome, const View& result, const View& to) {
  if (outcome != Outcome::accepted) return outcome;
  const Array rounded = parameters.context().array(to.shape(), to.type());
  backend.copy(result, rounded);
  // With nothing kept of theta, what `check_update` looks at is the result itself.
  const UpdatedTensor itself{rounded, rounded};
  backend.fill(1, scalars_.result);
  backend.check_update({&itself, 1}, 1.0, 1.0, scalars_.result);
  if (value(scalars_.result) == 0) return Outcome::not_finite;
  backend.copy(rounded, to);
  return outcome;
}

void FisherMatrix::State::require_size(const char* caller) const {
  if (size == parameters.size()) return;
  throw ArgumentError(message(caller, ": the parameters have grown from ", size, " to ",
                              parameters.size(), " since the first rows"));
}

void FisherMatrix::State::require_rows(const char* caller) const {
  if (samples == 0) throw ArgumentError(message(caller, ": no rows were accumulated"));
  require_size(caller);
}

void FisherMatrix::State::require_numbers(const char* name, const ConstView& view) const {
  detail::require_operand(name, view, {parameters.size(), 1}, parameters.type(), memory());
}

std::int64_t FisherMatrix::State::require_right_hand_sides(const ConstView& gradient,
                                                           const View& direction) const {
  const auto is_one = [&](const ConstView& view) {
    return view.empty() || view.columns() != size || view.shape() == Shape{size, 1};
  };
  if (is_one(gradient) && is_one(direction)) {
    require_numbers("solve: direction", direction);
    require_numbers("solve: gradient", gradient);
    return 0;
  }
  const ConstView& several = is_one(gradient) ? direction : gradient;
  const std::int64_t count = std::max<std::int64_t>(1, several.rows());
  for (const auto& [name, view] :
       {std::pair<const char*, const ConstView&>{"solve: gradient", gradient},
        {"solve: direction", direction}}) {
    detail::require_given(name, view, memory());
    detail::require_type(name, view, parameters.type());
    detail::require_shape(name, view, {count, size});
  }
  const bool in_place = gradient.data() == direction.data() &&
                        gradient.leading_dimension() == direction.leading_dimension();
  if (!in_place) detail::require_disjoint("solve: direction", direction, "gradient", gradient);
  return count;
}

void FisherMatrix::State::require_scale(const char* caller, const Gradient& gradient) const {
  if (std::isfinite(gradient.scale)) return;
  throw OptionError(message(caller, ": gradient .scale = ", gradient.scale, ", must be finite"));
}

void FisherMatrix::State::require_own_gradient(const Coefficients& coefficients) const {
  const ConstView& c = coefficients.view;
  if (!c.empty()) {
    if (curvature->form() != Form::dual) {
      throw ArgumentError(
          "solve: the primal form keeps no rows, and no block in it does; give the coefficients "
          "with the scores, or solve for a gradient");
    }
    if (centering == Centering::fisher_only) {
      throw ArgumentError(
          "solve: .centering = Centering::fisher_only goes with maximum likelihood, without "
          "coefficients");
    }
    return detail::require_column("solve: coefficients", c, samples, parameters.type(), memory());
  }
  if (no_gradient != nullptr) throw ArgumentError(message("solve: ", no_gradient));
}

}  // namespace natgrad
