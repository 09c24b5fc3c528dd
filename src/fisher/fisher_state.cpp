#include "fisher/fisher_state.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "fisher/form.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

using detail::message;

FisherMatrix::State::Storage::Storage(detail::Carver& carver, const detail::SolveShape& shape)
    : system(carver, shape.unknowns(), shape.factorized(), shape.factor_work) {
  if (!shape.dual()) sums = detail::PrimalSums(carver, shape.parameters, shape.centering);
}

FisherMatrix::State::Buffers::Buffers(detail::Carver& carver, const detail::SolveShape& shape,
                                      const detail::SystemBuffers& system, std::int64_t work_bytes)
    : solve(carver, shape, system, work_bytes) {
  const bool centred = shape.centering != Centering::none;
  if (centred) mean = carver.take({shape.parameters, 1}, ElementType::float64);
  if (!shape.dual()) {
    wide = carver.take({shape.parameters, 1}, ElementType::float64);
    return;
  }
  rows = carver.take({shape.rows, 1}, shape.type);
  roots = carver.take({shape.rows, 1}, ElementType::float64);
  rhs = carver.take({shape.rows, 1}, ElementType::float64);
}

FisherMatrix::State::Tiles::Tiles(detail::Carver& carver, const State& state, ElementType type,
                                  std::int64_t work_bytes) {
  const Shape shape{std::min(state.options.tile_rows, state.samples), state.size};
  tile = carver.take(shape, type);
  if (state.shape.centering == Centering::none) return;
  wide = type == ElementType::float64 ? tile : carver.take(shape, ElementType::float64);
  mean = carver.take({state.size, 1}, ElementType::float64);
  centre = carver.take({state.samples, 1}, ElementType::float64);
  unused = carver.take({state.samples, 1}, ElementType::float64);
  work = {.data = carver.take_bytes(work_bytes), .bytes = work_bytes};
}

FisherMatrix::State::State(Parameters given, const Options& wanted)
    : parameters(std::move(given)),
      options(wanted),
      backend(parameters.context().state().backend()) {
  shape.form = Form::automatic;
}

void FisherMatrix::State::store() {
  shape.ask_factor_work(backend);
  detail::Carver count;
  const Storage counted(count, shape);
  if (memory.empty() || memory.view().size() * 8 < count.bytes()) {
    memory = {};
    memory = parameters.context().array({count.bytes() / 8, 1}, ElementType::float64);
  }
  detail::Carver carver(memory.view().data(), memory.view().device());
  storage = Storage(carver, shape);
}

/// Decides the form with the first rows, and takes the memory that lasts.
void FisherMatrix::State::begin(const detail::ScoreSet& rows) {
  if (size != 0) {
    require_size("accumulate");
    if (!empty() && rows.centering() != shape.centering) {
      throw ArgumentError("accumulate: .centering of the set differs from that of the sets before");
    }
    if (rows.centering() == shape.centering) return;
    forget();
  }
  const std::int64_t all = options.samples > 0 ? options.samples : rows.batch_samples();
  const ElementType type = parameters.type();
  const ElementType gram =
      rows.centering() != Centering::none ? ElementType::float64 : options.gram_type.value_or(type);
  const Damping& damping = options.damping;
  const auto blocks = rows.blocks().blocks;
  const Form form = detail::choose_form(
      {.form = options.form,
       .damped = damping.absolute > 0 || damping.relative > 0,
       .rows = all,
       .parameters = parameters.size(),
       .gram_operations = detail::gram_operations(blocks, rows.size(), backend.row_costs()),
       .tile_rows = options.tile_rows,
       .type = type,
       .gram = gram});
  if (form == Form::dual && rows.size() > all) {
    throw ShapeError(message("accumulate: ", rows.size(), " rows are beyond .samples = ", all,
                             " of the dual form"));
  }
  shape = {.form = form,
           .parameters = parameters.size(),
           .type = type,
           .gram = gram,
           .refinement = options.refinement,
           .mode = backend.math_mode(options.allow_tf32),
           .centering = rows.centering()};
  capacity = all;
  size = parameters.size();
  scalars = parameters.context().array({step_scalars_count, 1}, ElementType::float64);
  backend.fill(0, scalars);
  upload_damping();
  if (primal()) store();
}

/// Without rows; what they took is kept.
void FisherMatrix::State::reset() {
  kept.clear();
  samples = 0;
  assembled = factorized = solved = false;
}

/// As if nothing had ever been accumulated.
void FisherMatrix::State::forget() {
  shape = {.form = Form::automatic};
  size = capacity = samples = 0;
  assembled = factorized = solved = false;
  kept = {};
  storage = {};
  memory = {};
  scalars = {};
}

void FisherMatrix::State::add(const detail::ScoreSet& rows) {
  const auto blocks = rows.blocks();
  if (primal()) {
    const std::int64_t work =
        backend.rows_scratch(blocks.blocks, rows.size(), parameters.type(), ElementType::float64);
    const auto b = parameters.context().state().arena().buffers<detail::PrimalBuffers>(
        size, std::min(options.tile_rows, rows.size()), work);
    const detail::PrimalAccumulation sum(backend, storage.system.matrix, storage.sums, scalars);
    try {
      if (assembled && shape.centering != Centering::none) sum.undo_centre(storage.system.residual);
      sum.add(blocks, rows.set().scale, rows.rhs(), samples == 0, b);
    } catch (...) {
      reset();  // F may hold a part of this set
      throw;
    }
  } else {
    kept.append(rows, blocks.blocks, capacity);
  }
  if (samples == 0) has_gradient = true;
  if (shape.centering == Centering::rows && rows.set().coefficients.empty()) has_gradient = false;
  samples += rows.size();
  shape.rows = samples;
  assembled = factorized = false;
}

void FisherMatrix::State::require_size(const char* caller) const {
  if (size == parameters.size()) return;
  throw ArgumentError(message(caller, ": the parameters have grown from ", size, " to ",
                              parameters.size(), " since the first rows"));
}

void FisherMatrix::State::require_rows(const char* caller) const {
  if (empty()) throw ArgumentError(message(caller, ": no rows were accumulated"));
  require_size(caller);
}

void FisherMatrix::State::require_direction(const char* name, const View& view) const {
  detail::require_operand(name, view, {parameters.size(), 1}, parameters.type(),
                          parameters.context().state().memory());
}

void FisherMatrix::State::require_gradient(const Coefficients& coefficients) const {
  const bool given = !coefficients.view.empty();
  if (given && shape.centering == Centering::fisher_only) {
    throw ArgumentError(
        "solve: .centering = Centering::fisher_only goes with maximum likelihood, without "
        "coefficients");
  }
  if (given || has_gradient) return;
  throw ArgumentError(
      "solve: centred rows of maximum likelihood (no .coefficients) have the gradient 0; give "
      "coefficients, or .centering = Centering::fisher_only");
}

void FisherMatrix::State::upload_damping() {
  if (scalars.empty()) return;
  backend.fill(options.damping.absolute, field(&StepScalars::absolute_damping));
  backend.fill(options.damping.relative, field(&StepScalars::relative_damping));
}

FisherMatrix::State::Buffers FisherMatrix::State::buffers(bool general) const {
  detail::SolveShape own = shape;
  own.general = general;
  const ElementType most = own.vectors() == ElementType::float64 || own.gram == ElementType::float64
                               ? ElementType::float64
                               : own.type;
  const std::int64_t work =
      primal() ? 0
               : std::max(backend.rows_scratch(kept.blocks().blocks, samples, own.type, most),
                          backend.rows_scratch(kept.blocks().blocks, samples, own.type, own.type));
  return parameters.context().state().arena().buffers<Buffers>(own, storage.system, work);
}

/// A in the system's lower triangle: K of all rows kept, or F, centred.
void FisherMatrix::State::assemble() {
  if (assembled) return;
  if (primal()) {
    const detail::PrimalAccumulation sum(backend, storage.system.matrix, storage.sums, scalars);
    sum.centre_matrix(shape.centering, storage.system.residual);
  } else {
    store();
    const Buffers b = buffers(false);
    const detail::Solver solver(backend, shape, storage.system, b.solve, scalars, kept.blocks());
    load_centre(solver);
    solver.gram();
  }
  assembled = true;
}

void FisherMatrix::State::factorize() {
  assemble();
  if (factorized) return;
  const detail::DampedSystem system(backend, storage.system, scalars);
  system.factorize(std::min(samples, size), shape.mean());
  factorized = true;
}

/// The direction, where all went well.
void FisherMatrix::State::finish(const detail::Solver& solver, const View& direction) {
  const detail::SolveBuffers& b = solver.buffers();
  solver.judge();
  if (b.direction.data() != b.narrow.data()) backend.copy(b.direction, b.narrow);
  backend.fill(1, field(&StepScalars::update_finite));
  // A direction that overflows its type is no direction: with nothing kept of theta, the new
  // parameters that this checks are the direction itself.
  const UpdatedTensor itself{b.narrow, b.narrow};
  backend.check_update({&itself, 1}, 1.0, 1.0, field(&StepScalars::update_finite));
  backend.update_scalars(ScalarRule::judge_step, {}, scalars);
  backend.commit(field(&StepScalars::accept), b.narrow, direction);
  solved = true;
}

void FisherMatrix::State::load_centre(const detail::Solver& solver) const {
  solver.load_centre(primal() ? ConstView() : kept.weights());
}

FisherMatrix::State::Tiles FisherMatrix::State::tiles(ElementType type) const {
  const bool centred = shape.centering != Centering::none;
  const RowBatch rows = kept.blocks();
  const std::int64_t work =
      centred ? backend.rows_scratch(rows.blocks, samples, shape.type, ElementType::float64) : 0;
  const Tiles t = parameters.context().state().arena().buffers<Tiles>(*this, type, work);
  if (!centred) return t;
  backend.row_scaling(kept.weights(), 0, {}, 1, t.centre, t.unused);
  backend.dot(t.centre, t.centre, field(&StepScalars::centre_square));
  backend.update_scalars(ScalarRule::centre, {}, scalars);
  const View scale = field(&StepScalars::centre_scale);
  backend.axpby(0.0, t.centre, scale, t.centre);
  backend.adjoint(rows, t.centre, 0, t.mean, t.work);
  return t;
}

View FisherMatrix::State::form_tile(const Tiles& t, std::int64_t first) const {
  const std::int64_t count = std::min(t.tile.rows(), samples - first);
  const View part = t.tile.row_range(0, count);
  if (shape.centering == Centering::none) {
    backend.materialize(kept.blocks(), first, part);
    return part;
  }
  // The mean may be far larger than what is left: it goes before anything is squared or rounded.
  const View wide = t.wide.row_range(0, count);
  backend.materialize(kept.blocks(), first, wide);
  const ConstView mean(t.mean.as<double>(), {1, size}, {.device = t.mean.device()});
  backend.gemm(Transpose::no, Transpose::no, -1, t.centre.row_range(first, count), mean, 1, wide);
  if (wide.data() != part.data()) backend.copy(wide, part);
  return part;
}

View FisherMatrix::State::apply_rows(const ConstView& v, const Buffers& b) const {
  if (shape.centering == Centering::none) {
    backend.apply(kept.blocks(), v, b.rows, b.solve.work);
    return b.rows;
  }
  backend.copy(v, b.mean);
  backend.row_scaling(kept.weights(), 0, {}, 1, b.roots, b.rhs);
  backend.apply(kept.blocks(), b.mean, b.rhs, b.solve.work);
  backend.project(b.roots, b.rhs);
  return b.rhs;
}

}  // namespace natgrad
