#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <algorithm>
#include <atomic>
#include <optional>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t most_failures = 10;

}  // namespace

const StepScalars& NaturalGradient::State::slot(std::int64_t step) const {
  const View slots = ring.view();
  return reinterpret_cast<const StepScalars*>(slots.as<double>())[(step - 1) % slots.rows()];
}

namespace {

/// The number of the step in a slot, 0 for none: the device writes it last, and the host may look
/// at any time.
std::int64_t step_in(const StepScalars& slot) {
  double step = 0;
  __atomic_load(&slot.step, &step, __ATOMIC_ACQUIRE);
  return static_cast<std::int64_t>(step);
}

}  // namespace

/// The newest step that is known to have ended; 0 for none. It is read from the ring, for a step
/// that was captured in a graph runs as often as the graph does.
std::int64_t NaturalGradient::State::newest() const {
  std::int64_t newest = 0;
  for (std::int64_t i = 1; !ring.empty() && i <= ring_slots; ++i) {
    newest = std::max(newest, step_in(slot(i)));
  }
  return newest;
}

/// None where the slot has gone to a later step.
std::optional<StepReport> NaturalGradient::State::report_of(std::int64_t step) const {
  if (step_in(slot(step)) != step) return std::nullopt;
  const StepScalars s = slot(step);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (step_in(slot(step)) != step) return std::nullopt;
  StepReport report{.step = step,
                    .outcome = static_cast<Outcome>(static_cast<int>(s.outcome)),
                    .form = static_cast<Form>(static_cast<int>(s.form)),
                    .rate = s.step_rate,
                    .damping = s.damping,
                    .quadratic_form = s.quadratic_form,
                    .predicted_kl = std::nullopt,
                    .residual = s.residual,
                    .error_bound = s.error_bound,
                    .failures_in_a_row = static_cast<std::int64_t>(s.failures)};
  const auto kind = static_cast<FisherKind>(static_cast<int>(s.kind));
  if (kind == FisherKind::sampled || kind == FisherKind::exact) {
    report.predicted_kl = 0.5 * s.step_rate * s.step_rate * s.quadratic_form;
  }
  return report;
}

void NaturalGradient::State::throw_after_failures() {
  const std::int64_t last = newest();
  if (last == 0) return;
  const std::optional<StepReport> report = report_of(last);
  if (!report) return;
  const std::int64_t failures = report->failures_in_a_row;
  failures_thrown = std::min(failures_thrown, failures);
  if (failures - failures_thrown < most_failures) return;
  failures_thrown = failures;
  throw StepFailed(
      message("step ", last, ": ", failures, " attempts in a row have failed, the last as ",
              to_string(report->outcome), "; the parameters are those of before them"));
}

}  // namespace natgrad
