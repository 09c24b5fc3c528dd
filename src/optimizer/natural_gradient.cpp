#include "natgrad/natural_gradient.hpp"

#include "core/context_state.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/options.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

NaturalGradient::NaturalGradient(Parameters parameters)
    : NaturalGradient(std::move(parameters), Options{}) {}

NaturalGradient::NaturalGradient(Parameters parameters, Options options) {
  detail::check_options(options, parameters.type());
  if (parameters.size() == 0) throw ArgumentError("optimizer: the parameters are empty");
  state_ = std::make_unique<State>(std::move(parameters), std::move(options));
}

NaturalGradient::~NaturalGradient() = default;
NaturalGradient::NaturalGradient(NaturalGradient&&) noexcept = default;
NaturalGradient& NaturalGradient::operator=(NaturalGradient&&) noexcept = default;

const NaturalGradient::Options& NaturalGradient::options() const { return state_->options; }
const Parameters& NaturalGradient::parameters() const { return state_->parameters; }

void NaturalGradient::step(const Batch& batch) { state_->step(batch); }
void NaturalGradient::step(const Scores& scores) { step(Batch{.fisher = scores}); }
void NaturalGradient::step() { state_->step_gathered(); }

void NaturalGradient::accumulate(const Batch& batch) { state_->gather(batch); }
void NaturalGradient::accumulate(const Scores& scores) { accumulate(Batch{.fisher = scores}); }
void NaturalGradient::discard() { state_->discard(); }

void NaturalGradient::direction(const Batch& batch, const View& direction) {
  state_->direction(batch, direction);
}
void NaturalGradient::direction(const Scores& scores, const View& direction) {
  this->direction(Batch{.fisher = scores}, direction);
}

SolveReport NaturalGradient::direction_report() const {
  const State& s = *state_;
  if (!s.direction_form) throw ArgumentError("direction report: no direction was computed yet");
  StepScalars scalars{};
  s.backend.download(s.direction_scalars, &scalars);
  return detail::solve_report(scalars, *s.direction_form);
}

void NaturalGradient::set_rate(double rate) {
  Options changed = state_->options;
  if (auto* ball = std::get_if<KlBall>(&changed.step))
    ball->max_rate = rate;
  else
    changed.step = FixedRate{rate};
  detail::check_options(changed, state_->parameters.type());
  state_->options.step = changed.step;
  state_->upload_options();
}

void NaturalGradient::set_damping(const Damping& damping) {
  Options changed = state_->options;
  changed.damping = damping;
  detail::check_options(changed, state_->parameters.type());
  state_->options.damping = damping;
  state_->upload_options();
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
  s.reported = std::max(s.reported, s.steps - State::ring_slots);
  while (s.reported < s.steps && s.finished(s.reported + 1)) {
    reports.push_back(s.report_of(++s.reported));
  }
  return reports;
}

}  // namespace natgrad
