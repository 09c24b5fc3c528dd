#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <algorithm>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t most_failures = 10;

}  // namespace

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
                    .rate = s.step_rate,
                    .damping = s.damping,
                    .quadratic_form = s.quadratic_form,
                    .predicted_kl = std::nullopt,
                    .residual = s.residual,
                    .error_bound = s.error_bound,
                    .failures_in_a_row = static_cast<std::int64_t>(s.failures)};
  if (host.kind == Kind::sampled || host.kind == Kind::exact) {
    report.predicted_kl = 0.5 * s.step_rate * s.step_rate * s.quadratic_form;
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

}  // namespace natgrad
