#include "natgrad/natural_gradient.hpp"

#include "core/context_owners.hpp"
#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "curvature/damping_options.hpp"
#include "curvature/solve_report.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/settings.hpp"
#include "scores/not_finite.hpp"

#include <exception>
#include <string>
#include <utility>

namespace natgrad {

using detail::with_memory_errors;

namespace {

std::string bad_rows(const char* role, const Scores& scores) {
  std::string text = detail::describe_bad_columns(scores.rows());
  if (text.empty()) text = detail::describe_bad_factors(scores.rows());
  return text.empty() ? text : role + text;
}

/// The first number of a batch, or of the parameters, that is not finite; empty where there is
/// none, or no memory to look.
std::string operand_that_is_not_finite(const Parameters& parameters, const Batch* batch) {
  try {
    std::string text = detail::describe_bad_parameters(parameters);
    if (batch == nullptr || !text.empty()) return text;
    text = bad_rows("", batch->fisher);
    if (!text.empty() || !batch->gradient.given()) return text;
    if (batch->gradient.rows() != nullptr) return bad_rows(".gradient: ", *batch->gradient.rows());
    return detail::describe_bad_numbers(".gradient", parameters, batch->gradient.numbers()->view);
  } catch (const std::exception&) {
    return {};
  }
}

/// What a call that takes a batch begins with: lets go of owners whose work has run, and holds that
/// of the batch's gradient until this call's work has.
class Operands {
 public:
  Operands(const Parameters& parameters, const Batch& batch)
      : gradient_(parameters.context(),
                  batch.gradient.numbers() ? batch.gradient.numbers()->owner : nullptr) {
    parameters.context().state().backend().release_finished();
  }

 private:
  detail::HeldOwners gradient_;
};

}  // namespace

NaturalGradient::NaturalGradient(Parameters parameters)
    : NaturalGradient(std::move(parameters), Options{}) {}

NaturalGradient::NaturalGradient(Parameters parameters, Options options) {
  with_memory_errors([&] {
    detail::check_options(options, parameters.type());
    if (parameters.size() == 0) throw ArgumentError("optimizer: the parameters are empty");
    state_ = std::make_unique<State>(std::move(parameters), std::move(options));
  });
}

NaturalGradient::~NaturalGradient() = default;
NaturalGradient::NaturalGradient(NaturalGradient&&) noexcept = default;
NaturalGradient& NaturalGradient::operator=(NaturalGradient&&) noexcept = default;

const NaturalGradient::Options& NaturalGradient::options() const { return state_->options; }
const Parameters& NaturalGradient::parameters() const { return state_->parameters; }

void NaturalGradient::step(const Batch& batch) {
  with_memory_errors([&] {
    const Operands held(parameters(), batch);
    state_->step(batch);
  });
  state_->ring.throw_after_failures(
      [&] { return operand_that_is_not_finite(parameters(), &batch); });
}
void NaturalGradient::step(const Scores& scores) { step(Batch{.fisher = scores}); }
void NaturalGradient::step() {
  with_memory_errors([&] { state_->step_parts(); });
  state_->ring.throw_after_failures(
      [&] { return operand_that_is_not_finite(parameters(), nullptr); });
}

void NaturalGradient::propose(const Batch& batch, const View& step) {
  with_memory_errors([&] {
    const Operands held(parameters(), batch);
    state_->propose(&batch, step);
  });
  state_->ring.throw_after_failures(
      [&] { return operand_that_is_not_finite(parameters(), &batch); });
}
void NaturalGradient::propose(const Scores& scores, const View& step) {
  propose(Batch{.fisher = scores}, step);
}
void NaturalGradient::propose(const View& step) {
  with_memory_errors([&] { state_->propose(nullptr, step); });
  state_->ring.throw_after_failures(
      [&] { return operand_that_is_not_finite(parameters(), nullptr); });
}

void NaturalGradient::accumulate(const Batch& batch) {
  with_memory_errors([&] {
    const Operands held(parameters(), batch);
    state_->accumulate(batch);
  });
}
void NaturalGradient::accumulate(const Scores& scores) { accumulate(Batch{.fisher = scores}); }
void NaturalGradient::discard() { state_->discard(); }

void NaturalGradient::direction(const Batch& batch, const View& direction) {
  with_memory_errors([&] {
    const Operands held(parameters(), batch);
    state_->direction(batch, direction);
  });
}
void NaturalGradient::direction(const Scores& scores, const View& direction) {
  this->direction(Batch{.fisher = scores}, direction);
}

SolveReport NaturalGradient::direction_report() const {
  const State& s = *state_;
  if (!s.direction_form) throw ArgumentError("direction report: no direction was computed yet");
  SolveScalars scalars{};
  s.backend.download(s.scalars.direction, &scalars);
  return detail::solve_report(scalars, s.options.structure, *s.direction_form);
}

void NaturalGradient::set_rate(double rate) {
  with_memory_errors([&] {
    State& s = *state_;
    Options changed = s.options;
    changed.step = detail::with_rate(changed.step, rate);
    detail::check_options(changed, s.parameters.type());
    s.options.step = changed.step;
    s.rule->set_rate(rate);
    if (!s.scalar_memory.empty()) detail::upload_rate(s.backend, rate, s.options, s.scalars);
  });
}

void NaturalGradient::set_damping(const Damping& damping) {
  with_memory_errors([&] {
    State& s = *state_;
    Options changed = s.options;
    changed.damping = detail::with_numbers(s.options.damping, damping);
    detail::check_options(changed, s.parameters.type());
    detail::check_same_scaling("optimizer", damping, s.options.damping);
    s.options.damping = changed.damping;
    s.damping->set(changed.damping);
    if (!s.scalar_memory.empty()) s.damping->upload(s.backend);
  });
}

void NaturalGradient::set_rate_factors(std::vector<SegmentFactor> factors) {
  with_memory_errors([&] {
    Options changed = state_->options;
    changed.rate_factors = std::move(factors);
    state_->set_factors("set_rate_factors", changed);
  });
}

void NaturalGradient::set_weight_decay_factors(std::vector<SegmentFactor> factors) {
  with_memory_errors([&] {
    Options changed = state_->options;
    changed.weight_decay_factors = std::move(factors);
    state_->set_factors("set_weight_decay_factors", changed);
  });
}

void NaturalGradient::reset_momentum() {
  State& s = *state_;
  if (!s.momentum_memory.empty()) s.backend.fill(0, s.momentum_memory);
}

StepReport NaturalGradient::report() {
  State& s = *state_;
  if (!s.ring.empty()) s.backend.synchronize();
  const std::int64_t last = s.ring.newest();
  if (last == 0) throw ArgumentError("report: no step was taken yet");
  return *s.ring.report(last);
}

std::vector<StepReport> NaturalGradient::reports() {
  return with_memory_errors([&] {
    state_->backend.release_finished();
    return state_->ring.take();
  });
}

}  // namespace natgrad
