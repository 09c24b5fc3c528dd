#include "natgrad/natural_gradient.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "fisher/accumulation.hpp"
#include "fisher/damped_system.hpp"
#include "fisher/form.hpp"
#include "natgrad/error.hpp"
#include "optimizer/options.hpp"
#include "scores/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace natgrad {

using detail::message;
using detail::scalar;

namespace {

constexpr std::int64_t ring_slots = 64;
constexpr std::int64_t most_failures = 10;
constexpr std::int64_t tile_rows = 256;

/// Scratch of one step.
struct StepBuffers {
  View direction;  // d (P), of the parameters' type
  detail::SystemBuffers system;
  View momentum_product;  // dual: S m (N), primal: F m (P), m the momentum
  View tile;              // primal: rows formed at a time (256, P)
  View wide_direction;    // primal: d (P), as are the next two, all float64
  View wide_momentum;
  View wide_rhs;  // primal: r (N)
  Scratch work;   // of the row operations

  StepBuffers(detail::Carver& carver, const detail::Rows& rows, Form form) {
    const Parameters& parameters = rows.parameters();
    const Backend& backend = parameters.context().state().backend();
    const ElementType type = form == Form::dual ? parameters.type() : ElementType::float64;
    const std::int64_t p = parameters.size();
    const std::int64_t n = form == Form::dual ? rows.size() : p;
    direction = carver.take({p, 1}, parameters.type());
    system = detail::SystemBuffers(carver, n, type);
    momentum_product = carver.take({n, 1}, type);
    if (form == Form::primal) {
      tile = carver.take({std::min(tile_rows, rows.size()), p}, type);
      wide_direction = carver.take({p, 1}, type);
      wide_momentum = carver.take({p, 1}, type);
      wide_rhs = carver.take({rows.size(), 1}, type);
    }
    work.bytes = backend.rows_scratch(rows.blocks(), type);
    work.data = carver.take_bytes(work.bytes);
  }
};

}  // namespace

struct NaturalGradient::State {
  Parameters parameters;
  Options options;
  Backend& backend;
  // Allocated by the first step.
  Array scalars;          // a StepScalars
  Array ring;             // (64) of them: the last reports
  Array momentum;         // (P)
  std::int64_t size = 0;  // P at the first step
  // What the host knows of the steps in the ring.
  struct Enqueued {
    Form form;
    Kind kind;
  };
  std::array<Enqueued, ring_slots> enqueued{};
  std::int64_t steps = 0;
  std::int64_t reported = 0;         // by reports()
  std::int64_t failures_thrown = 0;  // failures in a row when StepFailed was last thrown

  State(Parameters given, Options wanted)
      : parameters(std::move(given)),
        options(wanted),
        backend(parameters.context().state().backend()) {}

  double spring() const {
    const auto* rule = std::get_if<Spring>(&options.momentum);
    return rule == nullptr ? 0 : rule->decay;
  }
  double heavy_ball() const {
    const auto* rule = std::get_if<HeavyBall>(&options.momentum);
    return rule == nullptr ? 0 : rule->decay;
  }
  View field(double StepScalars::*name) const { return scalar(scalars.view(), name); }

  void prepare();
  Form form_of(const detail::Rows& rows) const;
  void solve_dual(const detail::Rows& rows, const StepBuffers& b) const;
  void solve_primal(const detail::Rows& rows, const StepBuffers& b) const;
  void move(const View& direction) const;
  StepReport report_of(std::int64_t step) const;
  bool finished(std::int64_t step) const;
  const StepScalars& slot(std::int64_t step) const;
  void throw_after_failures();
};

void NaturalGradient::State::prepare() {
  if (!scalars.empty()) {
    if (size != parameters.size()) {
      throw ArgumentError(message("step: the parameters have grown from ", size, " to ",
                                  parameters.size(), " since the first step"));
    }
    return;
  }
  const Context& context = parameters.context();
  const std::int64_t width = step_scalars_count;
  Array new_ring = context.array({ring_slots, width}, ElementType::float64);
  Array new_momentum;
  if (!std::holds_alternative<NoMomentum>(options.momentum)) {
    new_momentum = context.array({parameters.size(), 1}, parameters.type());
    backend.fill(0, new_momentum);
  }
  Array new_scalars = context.array({width, 1}, ElementType::float64);
  StepScalars initial{};
  initial.rate = options.step.rate;
  initial.weight_decay = options.weight_decay;
  initial.absolute_damping = options.damping.absolute;
  initial.relative_damping = options.damping.relative;
  backend.upload(&initial, new_scalars);
  backend.fill(0, new_ring);
  ring = std::move(new_ring);
  momentum = std::move(new_momentum);
  scalars = std::move(new_scalars);
  size = parameters.size();
}

Form NaturalGradient::State::form_of(const detail::Rows& rows) const {
  return detail::choose_form({.form = options.form,
                              .damping = options.damping,
                              .rows = rows.batch_samples(),
                              .parameters = size,
                              .factor_columns = detail::factor_columns(rows.blocks()),
                              .tile_rows = tile_rows,
                              .type = parameters.type()});
}

/// d = S^T y, (K + lambda I) y = r; with SPRING d = mu m + S^T y and r - mu S m on the right.
void NaturalGradient::State::solve_dual(const detail::Rows& rows, const StepBuffers& b) const {
  const RowBlocks blocks = rows.blocks();
  const detail::DampedSystem system(backend, b.system, scalars);
  backend.gram(blocks, b.system.matrix, b.work);
  system.factorize(std::min(rows.size(), size));

  backend.copy(rows.rhs(), b.system.rhs);
  const double mu = spring();
  if (mu > 0) {
    backend.apply(blocks, momentum, b.momentum_product, b.work);
    backend.axpby(-mu, b.momentum_product, 1.0, b.system.rhs);
    backend.copy(momentum, b.direction);
  }
  system.solve();
  backend.adjoint(blocks, b.system.solution, mu, b.direction, b.work);

  View rows_product = b.system.product;  // S d, here S S^T y
  if (mu > 0) {
    backend.axpby(mu, b.momentum_product, 1.0, rows_product);
  } else if (heavy_ball() > 0) {
    backend.axpby(heavy_ball(), momentum, 1.0, b.direction);
    backend.apply(blocks, b.direction, rows_product, b.work);
  }
  backend.dot(rows_product, rows_product, field(&StepScalars::quadratic_form));
}

/// (F + lambda I) d = S^T r in double; with SPRING (F + lambda I)(d - mu m) = S^T r - mu F m.
void NaturalGradient::State::solve_primal(const detail::Rows& rows, const StepBuffers& b) const {
  const RowBlocks blocks = rows.blocks();
  const detail::DampedSystem system(backend, b.system, scalars);
  detail::accumulate_primal(backend, blocks, 0, b.tile, b.system.matrix);
  system.factorize(std::min(rows.size(), size));

  backend.copy(rows.rhs(), b.wide_rhs);
  backend.adjoint(blocks, b.wide_rhs, 0, b.system.rhs, b.work);
  const double mu = spring();
  if (!momentum.empty()) backend.copy(momentum, b.wide_momentum);
  if (mu > 0) {
    backend.symv(Triangle::lower, b.system.matrix, b.wide_momentum, b.momentum_product);
    backend.axpby(-mu, b.momentum_product, 1.0, b.system.rhs);
  }
  system.solve();
  backend.copy(b.system.solution, b.wide_direction);

  View fisher_product = b.system.product;  // F d
  if (mu > 0) {
    backend.axpby(mu, b.wide_momentum, 1.0, b.wide_direction);
    backend.axpby(mu, b.momentum_product, 1.0, fisher_product);
  } else if (heavy_ball() > 0) {
    backend.axpby(heavy_ball(), b.wide_momentum, 1.0, b.wide_direction);
    backend.symv(Triangle::lower, b.system.matrix, b.wide_direction, fisher_product);
  }
  backend.dot(b.wide_direction, fisher_product, field(&StepScalars::quadratic_form));
  backend.copy(b.wide_direction, b.direction);
}

/// Counts and judges the step, and moves parameters and momentum where it is accepted.
void NaturalGradient::State::move(const View& direction) const {
  backend.update_scalars(ScalarRule::begin_step, {}, scalars);
  const Scalar rate = field(&StepScalars::rate);
  const Scalar shrink = field(&StepScalars::shrink);
  for (int i = 0; i < parameters.segments(); ++i) {
    backend.check_update(parameters.tensor({i}), parameters.part({i}, direction), rate, shrink,
                         field(&StepScalars::update_finite));
  }
  backend.update_scalars(ScalarRule::judge_step, {}, scalars);
  const View accept = field(&StepScalars::accept);
  for (int i = 0; i < parameters.segments(); ++i) {
    backend.update(accept, parameters.part({i}, direction), rate, shrink, parameters.tensor({i}));
  }
  if (!momentum.empty()) backend.commit(accept, direction, momentum);
  backend.publish(scalars, ring);
}

const StepScalars& NaturalGradient::State::slot(std::int64_t step) const {
  const View slots = ring.view();
  return reinterpret_cast<const StepScalars*>(slots.as<double>())[(step - 1) % slots.rows()];
}

bool NaturalGradient::State::finished(std::int64_t step) const {
  return slot(step).step == static_cast<double>(step);
}

StepReport NaturalGradient::State::report_of(std::int64_t step) const {
  const StepScalars& s = slot(step);
  const Enqueued& host = enqueued[static_cast<std::size_t>((step - 1) % ring_slots)];
  StepReport report{.step = step,
                    .outcome = static_cast<Outcome>(static_cast<int>(s.outcome)),
                    .form = host.form,
                    .rate = s.rate,
                    .damping = s.damping,
                    .quadratic_form = s.quadratic_form,
                    .predicted_kl = std::nullopt,
                    .residual = s.residual,
                    .error_bound = s.error_bound,
                    .failures_in_a_row = static_cast<std::int64_t>(s.failures)};
  if (host.kind == Kind::sampled || host.kind == Kind::exact) {
    report.predicted_kl = 0.5 * s.rate * s.rate * s.quadratic_form;
  }
  return report;
}

void NaturalGradient::State::throw_after_failures() {
  if (steps == 0) return;
  // The newest step that is known to have ended.
  std::int64_t last = steps;
  while (last > 0 && last > steps - ring_slots && !finished(last)) --last;
  if (last == 0 || last == steps - ring_slots) return;
  const auto failures = static_cast<std::int64_t>(slot(last).failures);
  failures_thrown = std::min(failures_thrown, failures);
  if (failures - failures_thrown < most_failures) return;
  failures_thrown = failures;
  throw StepFailed(
      message("step ", last, ": ", failures, " attempts in a row have failed, the last as ",
              to_string(report_of(last).outcome), "; the parameters are those of before them"));
}

NaturalGradient::NaturalGradient(Parameters parameters)
    : NaturalGradient(std::move(parameters), Options{}) {}

NaturalGradient::NaturalGradient(Parameters parameters, Options options) {
  detail::check_options(options);
  if (parameters.size() == 0) throw ArgumentError("optimizer: the parameters are empty");
  state_ = std::make_unique<State>(std::move(parameters), options);
}

NaturalGradient::~NaturalGradient() = default;
NaturalGradient::NaturalGradient(NaturalGradient&&) noexcept = default;
NaturalGradient& NaturalGradient::operator=(NaturalGradient&&) noexcept = default;

const NaturalGradient::Options& NaturalGradient::options() const { return state_->options; }

void NaturalGradient::step(const Scores& scores) {
  State& s = *state_;
  const detail::Rows& rows = scores.rows();
  rows.require_rows("step", s.parameters);
  if (rows.batch_samples() != rows.size()) {
    throw ArgumentError(message("step: the scores hold ", rows.size(), " of ", rows.batch_samples(),
                                " samples; a step takes the whole batch"));
  }
  s.throw_after_failures();
  s.prepare();
  const Form form = s.form_of(rows);
  const auto buffers = s.parameters.context().state().arena().buffers<StepBuffers>(rows, form);

  if (form == Form::dual)
    s.solve_dual(rows, buffers);
  else
    s.solve_primal(rows, buffers);
  detail::judge_solve(s.backend, form, buffers.system.matrix.type(), s.scalars);
  s.enqueued[static_cast<std::size_t>(s.steps % ring_slots)] = {form, rows.kind()};
  ++s.steps;
  s.move(buffers.direction);
}

StepReport NaturalGradient::report() {
  if (state_->steps == 0) throw ArgumentError("report: no step was taken yet");
  state_->backend.synchronize();
  return state_->report_of(state_->steps);
}

std::vector<StepReport> NaturalGradient::reports() {
  State& s = *state_;
  s.throw_after_failures();
  std::vector<StepReport> reports;
  s.reported = std::max(s.reported, s.steps - ring_slots);
  while (s.reported < s.steps && s.finished(s.reported + 1)) {
    reports.push_back(s.report_of(++s.reported));
  }
  return reports;
}

}  // namespace natgrad
