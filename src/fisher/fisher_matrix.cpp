#include "natgrad/fisher_matrix.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "fisher/accumulation.hpp"
#include "fisher/damped_system.hpp"
#include "fisher/damping.hpp"
#include "fisher/form.hpp"
#include "fisher/kept_rows.hpp"
#include "scores/rows.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;
using detail::scalar;

namespace {

/// What the matrix keeps between calls: the system of its form.
struct Storage {
  detail::SystemBuffers system;
  View gradient;  // primal: S^T r (P) float64
  Storage() = default;
  Storage(detail::Carver& carver, std::int64_t n, ElementType type, Form form)
      : system(carver, n, type) {
    if (form == Form::primal) gradient = carver.take({n, 1}, type);
  }
};

/// Scratch of any one call.
struct Buffers {
  View rows;       // dual: (N), of the parameters' type
  View direction;  // (P), of the parameters' type
  View wide;       // primal: (P) float64
  View roots;      // dual: (N) float64, as is the next
  View rhs;
  Scratch work;  // of the row operations
  Buffers(detail::Carver& carver, const Parameters& parameters, const RowBlocks& blocks,
          Form form) {
    const std::int64_t p = parameters.size();
    direction = carver.take({p, 1}, parameters.type());
    if (form == Form::primal) {
      wide = carver.take({p, 1}, ElementType::float64);
      return;
    }
    rows = carver.take({blocks.rows(), 1}, parameters.type());
    roots = carver.take({blocks.rows(), 1}, ElementType::float64);
    rhs = carver.take({blocks.rows(), 1}, ElementType::float64);
    work.bytes = parameters.context().state().backend().rows_scratch(blocks, parameters.type());
    work.data = carver.take_bytes(work.bytes);
  }
};

/// Scratch of what forms rows.
struct TileBuffers {
  View tile;     // (tile rows, P), of the type asked for
  Scratch work;  // of the row operations
  TileBuffers(detail::Carver& carver, const Parameters& parameters, const RowBlocks& blocks,
              std::int64_t tile_rows, ElementType type) {
    tile = carver.take({std::min(tile_rows, blocks.rows()), parameters.size()}, type);
    work.bytes = parameters.context().state().backend().rows_scratch(blocks, type);
    work.data = carver.take_bytes(work.bytes);
  }
};

}  // namespace

struct FisherMatrix::State {
  Parameters parameters;
  Options options;
  Backend& backend;
  Form form = Form::automatic;
  std::int64_t size = 0;      // P at the first accumulate
  std::int64_t capacity = 0;  // rows in all
  std::int64_t samples = 0;
  bool assembled = false;  // dual: K is of all rows kept
  bool factorized = false;
  bool solved = false;
  detail::KeptRows kept;  // dual
  Array memory;           // of `storage`
  Storage storage;
  Array scalars;

  State(Parameters given, Options wanted)
      : parameters(std::move(given)),
        options(wanted),
        backend(parameters.context().state().backend()) {}

  bool primal() const { return form == Form::primal; }
  ElementType type() const { return primal() ? ElementType::float64 : parameters.type(); }
  Buffers buffers() const {
    return parameters.context().state().arena().buffers<Buffers>(
        parameters, primal() ? RowBlocks{} : kept.blocks(), form);
  }
  TileBuffers tiles(const RowBlocks& blocks, ElementType type) const {
    return parameters.context().state().arena().buffers<TileBuffers>(parameters, blocks,
                                                                     options.tile_rows, type);
  }
  /// Calls body(tile, whether it is the first) for all rows kept, formed a tile at a time.
  template <class Body>
  void for_each_tile(ElementType type, const Body& body) const {
    const View tile = tiles(kept.blocks(), type).tile;
    for (std::int64_t first = 0; first < samples; first += tile.rows()) {
      const View part = tile.row_range(0, std::min(tile.rows(), samples - first));
      backend.materialize(kept.blocks(), first, part);
      body(part, first == 0);
    }
  }

  void begin(const detail::Rows& rows);
  void add(const detail::Rows& rows);
  void forget();
  void store(std::int64_t n);
  void require_size(const char* caller) const;
  void require_rows(const char* caller) const;
  void require_direction(const char* name, const View& view) const;
  void upload_damping();
  void assemble();
  void factorize();
  void solve(const Buffers& b, const View& direction);
  void right_hand_side(const Buffers& b, const Coefficients& coefficients) const;
};

void FisherMatrix::State::store(std::int64_t n) {
  detail::Carver count;
  Storage(count, n, type(), form);
  if (memory.empty() || memory.view().size() * 8 < count.bytes()) {
    memory = {};
    memory = parameters.context().array({(count.bytes() + 7) / 8, 1}, ElementType::float64);
  }
  detail::Carver carver(memory.view().data(), memory.view().device());
  storage = Storage(carver, n, type(), form);
}

/// Decides the form with the first rows, and takes the memory that lasts.
void FisherMatrix::State::begin(const detail::Rows& rows) {
  if (size != 0) return require_size("accumulate");
  const std::int64_t all = options.samples > 0 ? options.samples : rows.batch_samples();
  const Form chosen = detail::choose_form({.form = options.form,
                                           .damping = options.damping,
                                           .rows = all,
                                           .parameters = parameters.size(),
                                           .factor_columns = detail::factor_columns(rows.blocks()),
                                           .tile_rows = options.tile_rows,
                                           .type = parameters.type()});
  if (chosen == Form::dual && rows.size() > all) {
    throw ShapeError(message("accumulate: ", rows.size(), " rows are beyond .samples = ", all,
                             " of the dual form"));
  }
  form = chosen;
  capacity = all;
  size = parameters.size();
  scalars = parameters.context().array({step_scalars_count, 1}, ElementType::float64);
  backend.fill(0, scalars);
  upload_damping();
  if (primal()) store(parameters.size());
}

/// As if nothing had ever been accumulated.
void FisherMatrix::State::forget() {
  form = Form::automatic;
  size = capacity = samples = 0;
  assembled = factorized = solved = false;
  kept = {};
  storage = {};
  memory = {};
  scalars = {};
}

void FisherMatrix::State::add(const detail::Rows& rows) {
  if (primal()) {
    const TileBuffers b = tiles(rows.blocks(), ElementType::float64);
    const double beta = samples == 0 ? 0 : 1;
    backend.adjoint(rows.blocks(), rows.rhs(), beta, storage.gradient, b.work);
    detail::accumulate_primal(backend, rows.blocks(), beta, b.tile, storage.system.matrix);
  } else {
    kept.append(rows, capacity);
  }
  samples += rows.size();
  assembled = factorized = false;
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

void FisherMatrix::State::require_direction(const char* name, const View& view) const {
  detail::require_operand(name, view, {parameters.size(), 1}, parameters.type(),
                          parameters.context().device());
}

void FisherMatrix::State::upload_damping() {
  if (scalars.empty()) return;
  backend.fill(options.damping.absolute, scalar(scalars, &StepScalars::absolute_damping));
  backend.fill(options.damping.relative, scalar(scalars, &StepScalars::relative_damping));
}

/// A in the system's lower triangle: F is always there, K is formed when it is first needed.
void FisherMatrix::State::assemble() {
  if (assembled || primal()) return;
  store(kept.size());
  const Buffers b = buffers();
  backend.gram(kept.blocks(), storage.system.matrix, b.work);
  assembled = true;
}

void FisherMatrix::State::factorize() {
  assemble();
  if (factorized) return;
  const detail::DampedSystem system(backend, storage.system, scalars);
  system.factorize(std::min(samples, size));
  factorized = true;
}

/// From the right-hand side in place to the direction, where all went well.
void FisherMatrix::State::solve(const Buffers& b, const View& direction) {
  const detail::DampedSystem system(backend, storage.system, scalars);
  backend.update_scalars(ScalarRule::begin_step, {}, scalars);
  system.solve();
  const View quadratic = scalar(scalars, &StepScalars::quadratic_form);
  if (primal()) {
    backend.dot(storage.system.solution, storage.system.product, quadratic);
    backend.copy(storage.system.solution, b.direction);
  } else {
    backend.dot(storage.system.product, storage.system.product, quadratic);
    backend.adjoint(kept.blocks(), storage.system.solution, 0, b.direction, b.work);
  }
  detail::judge_solve(backend, form, type(), scalars);
  // A direction that overflows its type is no direction: with nothing kept of theta, the new
  // parameters that this checks are the direction itself.
  backend.check_update(b.direction, b.direction, 1.0, 1.0,
                       scalar(scalars, &StepScalars::update_finite));
  backend.update_scalars(ScalarRule::judge_step, {}, scalars);
  backend.commit(scalar(scalars, &StepScalars::accept), b.direction, direction);
  solved = true;
}

/// r, or S^T r, of the coefficients given or of those that came with the rows.
void FisherMatrix::State::right_hand_side(const Buffers& b,
                                          const Coefficients& coefficients) const {
  const View& rhs = storage.system.rhs;
  if (primal()) return backend.copy(storage.gradient, rhs);
  if (coefficients.view.empty()) return backend.copy(kept.rhs(), rhs);
  backend.row_scaling(kept.weights(), 0, coefficients.view, 1, b.roots, b.rhs);
  backend.copy(b.rhs, rhs);
}

FisherMatrix::FisherMatrix(Parameters parameters)
    : FisherMatrix(std::move(parameters), Options{}) {}

FisherMatrix::FisherMatrix(Parameters parameters, Options options) {
  detail::OptionErrors errors("Fisher matrix");
  detail::check_damping(options.damping, errors);
  errors.check(".samples", static_cast<double>(options.samples), options.samples >= 0, ">= 0");
  errors.check(".tile_rows", static_cast<double>(options.tile_rows), options.tile_rows > 0, "> 0");
  errors.throw_if_any();
  if (parameters.size() == 0) throw ArgumentError("Fisher matrix: the parameters are empty");
  state_ = std::make_unique<State>(std::move(parameters), options);
}

FisherMatrix::~FisherMatrix() = default;
FisherMatrix::FisherMatrix(FisherMatrix&&) noexcept = default;
FisherMatrix& FisherMatrix::operator=(FisherMatrix&&) noexcept = default;

std::int64_t FisherMatrix::size() const { return state_->parameters.size(); }
std::int64_t FisherMatrix::samples() const { return state_->samples; }
Form FisherMatrix::form() const { return state_->form; }

void FisherMatrix::reset() {
  state_->kept.clear();
  state_->samples = 0;
  state_->assembled = state_->factorized = state_->solved = false;
}

void FisherMatrix::accumulate(const Scores& scores) {
  State& s = *state_;
  const detail::Rows& rows = scores.rows();
  rows.require_rows("accumulate", s.parameters);
  const bool first = s.size == 0;
  try {
    s.begin(rows);
    s.add(rows);
  } catch (...) {
    if (first) s.forget();
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
                            s.parameters.type(), s.parameters.context().device());
  }
  s.factorize();
  const Buffers b = s.buffers();
  s.right_hand_side(b, coefficients);
  s.solve(b, direction);
}

void FisherMatrix::solve(const Gradient& gradient, const View& direction) {
  State& s = *state_;
  s.require_rows("solve");
  s.require_direction("solve: direction", direction);
  detail::require_operand("solve: gradient", gradient.view, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().device());
  if (!std::isfinite(gradient.scale)) {
    throw OptionError(message("solve: gradient .scale = ", gradient.scale, ", must be finite"));
  }
  if (!s.primal()) {
    throw ArgumentError(
        "solve: a gradient of P numbers needs the primal form, this matrix is dual; "
        "solve for coefficients, or ask for .form = Form::primal");
  }
  s.factorize();
  const Buffers b = s.buffers();
  s.backend.copy(gradient.view, b.wide);
  s.backend.axpby(gradient.scale, b.wide, 0.0, s.storage.system.rhs);
  s.solve(b, direction);
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
  const State& s = *state_;
  s.require_rows("apply");
  detail::require_operand("apply: v", v, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().device());
  s.require_direction("apply: product", product);
  detail::require_disjoint("apply: product", product, "v", v);
  const Buffers b = s.buffers();
  if (s.primal()) {
    s.backend.copy(v, s.storage.system.residual);
    s.backend.symv(Triangle::lower, s.storage.system.matrix, s.storage.system.residual, b.wide);
    s.backend.copy(b.wide, product);
  } else {
    s.backend.apply(s.kept.blocks(), v, b.rows, b.work);
    s.backend.adjoint(s.kept.blocks(), b.rows, 0, product, b.work);
  }
}

double FisherMatrix::quadratic_form(const ConstView& v) const {
  const State& s = *state_;
  s.require_rows("quadratic form");
  detail::require_operand("quadratic form: v", v, {s.size, 1}, s.parameters.type(),
                          s.parameters.context().device());
  const Buffers b = s.buffers();
  const View result = scalar(s.scalars, &StepScalars::scratch);
  if (s.primal()) {
    const View& wide = s.storage.system.residual;
    s.backend.copy(v, wide);
    s.backend.symv(Triangle::lower, s.storage.system.matrix, wide, b.wide);
    s.backend.dot(wide, b.wide, result);
  } else {
    s.backend.apply(s.kept.blocks(), v, b.rows, b.work);
    s.backend.dot(b.rows, b.rows, result);
  }
  double value = 0;
  s.backend.download(result, &value);
  return value;
}

void FisherMatrix::diagonal(const View& diagonal) const {
  const State& s = *state_;
  s.require_rows("diagonal");
  s.require_direction("diagonal", diagonal);
  if (s.primal()) {
    const View wide = s.buffers().wide;
    s.backend.diagonal(s.storage.system.matrix, wide);
    s.backend.copy(wide, diagonal);
    return;
  }
  s.for_each_tile(s.parameters.type(), [&](const View& tile, bool first) {
    s.backend.column_squares(tile, !first, diagonal);
  });
}

double FisherMatrix::trace() const {
  const State& s = *state_;
  s.require_rows("trace");
  const View result = scalar(s.scalars, &StepScalars::scratch);
  double trace = 0;
  const auto add_dot = [&](const View& x, const View& y) {
    double value = 0;
    s.backend.dot(x, y, result);
    s.backend.download(result, &value);
    trace += value;
  };
  if (s.primal()) {
    const View wide = s.buffers().wide;
    const View& ones = s.storage.system.residual;
    s.backend.diagonal(s.storage.system.matrix, wide);
    s.backend.fill(1, ones);
    add_dot(wide, ones);
  } else {
    s.for_each_tile(s.parameters.type(), [&](const View& tile, bool) { add_dot(tile, tile); });
  }
  return trace;
}

void FisherMatrix::to_dense(const View& matrix) const {
  const State& s = *state_;
  s.require_rows("to dense");
  detail::require_given("to dense: matrix", matrix, s.parameters.context().device());
  detail::require_shape("to dense: matrix", matrix, {s.size, s.size});
  if (matrix.type() != ElementType::float64) {
    detail::require_type("to dense: matrix", matrix, s.parameters.type());
  }
  if (s.primal()) {
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
  return {.outcome = static_cast<Outcome>(static_cast<int>(scalars.outcome)),
          .form = s.form,
          .damping = scalars.damping,
          .residual = scalars.residual,
          .error_bound = scalars.error_bound,
          .quadratic_form = scalars.quadratic_form};
}

}  // namespace natgrad
