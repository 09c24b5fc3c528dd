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
  if (auto* ball = std::get_if<KlTrustRegion>(&changed.step))
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
  State& s = *state_;
  if (!s.ring.empty()) s.backend.synchronize();
  const std::int64_t last = s.newest();
  if (last == 0) throw ArgumentError("report: no step was taken yet");
  return *s.report_of(last);
}

std::vector<StepReport> NaturalGradient::reports() {
  State& s = *state_;
  s.throw_after_failures();
  std::vector<StepReport> reports;
  const std::int64_t last = s.newest();
  for (std::int64_t step = std::max(s.reported, last - State::ring_slots); step < last;) {
    if (const std::optional<StepReport> report = s.report_of(++step)) reports.push_back(*report);
  }
  s.reported = std::max(s.reported, last);
  return reports;
}

}  // namespace natgrad
