#include "optimizer/report_ring.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <atomic>

namespace natgrad::detail {

namespace {

constexpr std::int64_t most_failures = 10;

/// The number of the step in a slot, 0 for none: the device writes it last, and the host may look
/// at any time.
std::int64_t step_in(const StepRecord& slot) {
  double step = 0;
  __atomic_load(&slot.step, &step, __ATOMIC_ACQUIRE);
  return static_cast<std::int64_t>(step);
}

/// Why the last trial was refused: for its KL divergence, or for its loss.
std::string advice_rejected(const StepReport& report) {
  const bool loss_grew = !(report.loss_after.value_or(0) <= report.loss_before.value_or(0));
  if (!report.actual_kl || loss_grew) {
    return "no trial lowered the loss enough: the loss is not of this batch or not of this "
           "gradient, the rate is too large for .trials, or it is at its minimum up to rounding";
  }
  return message("no trial was within the KL radius, the last had a divergence of ",
                 *report.actual_kl,
                 " nats: .kl is not of this batch or not from the parameters before the step, or "
                 "the radius is too large for .trials");
}

std::string advice(const StepReport& report, const std::function<std::string()>& find_operand) {
  if (report.not_finite == NotFinite::loss) {
    return "the loss that .loss measures before the step is not finite";
  }
  if (report.outcome == Outcome::rejected) {
    return advice_rejected(report);
  }
  if (report.outcome != Outcome::not_finite) {
    return "raise .damping, take .gram_type = float64, or another .form";
  }
  std::string operand = find_operand();
  if (!operand.empty()) return operand;
  return "the operands at hand are finite: products of them overflow, or an earlier batch was not; "
         "Scores::check and check_scores name the operand; lower the rate";
}

/// What rules report of themselves, where they do.
void add_measured(const StepRecord& record, StepReport& report) {
  const int applies = static_cast<int>(record.applies);
  const auto put = [&](int what, double value, std::optional<double>& to) {
    if ((applies & what) != 0) to = value;
  };
  put(formulas::applies_loss, record.loss_before, report.loss_before);
  put(formulas::applies_loss, record.loss_after, report.loss_after);
  put(formulas::applies_kl, record.actual_kl, report.actual_kl);
  put(formulas::applies_ratio, record.reduction_ratio, report.reduction_ratio);
  put(formulas::applies_model, record.model_rate, report.model_rate);
  put(formulas::applies_model, record.momentum, report.momentum);
}

}  // namespace

void ReportRing::allocate(const Context& context) {
  constexpr auto width = static_cast<std::int64_t>(sizeof(StepRecord) / sizeof(double));
  Array ring = context.state().visible_array({slots, width}, ElementType::float64);
  context.state().backend().fill(0, ring);
  ring_ = std::move(ring);
}

const StepRecord& ReportRing::slot(std::int64_t step) const {
  return reinterpret_cast<const StepRecord*>(ring_.view().as<double>())[(step - 1) % slots];
}

std::int64_t ReportRing::newest() const {
  std::int64_t newest = 0;
  for (std::int64_t i = 1; !ring_.empty() && i <= slots; ++i) {
    newest = std::max(newest, step_in(slot(i)));
  }
  return newest;
}

std::optional<StepReport> ReportRing::report(std::int64_t step) const {
  if (step_in(slot(step)) != step) return std::nullopt;
  const StepRecord record = slot(step);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (step_in(slot(step)) != step) return std::nullopt;
  StepReport report{.step = step,
                    .outcome = static_cast<Outcome>(static_cast<int>(record.outcome)),
                    .not_finite = static_cast<NotFinite>(static_cast<int>(record.not_finite)),
                    .structure = structure_,
                    .form = static_cast<Form>(static_cast<int>(record.form)),
                    .rate = record.rate,
                    .damping = record.damping,
                    .quadratic_form = record.quadratic_form,
                    .predicted_kl = std::nullopt,
                    .residual = record.residual,
                    .error_bound = record.error_bound,
                    .failures_in_a_row = static_cast<std::int64_t>(record.failures),
                    .trials = static_cast<std::int64_t>(record.trials)};
  add_measured(record, report);
  if (record.predicts_kl > 0) {
    report.predicted_kl = 0.5 * record.rate * record.rate * record.quadratic_form;
  }
  return report;
}

std::vector<StepReport> ReportRing::take() {
  std::vector<StepReport> reports;
  const std::int64_t last = newest();
  for (std::int64_t step = std::max(reported, last - slots); step < last;) {
    if (const std::optional<StepReport> found = report(++step)) reports.push_back(*found);
  }
  reported = std::max(reported, last);
  return reports;
}

void ReportRing::throw_after_failures(const std::function<std::string()>& find_operand) {
  const std::int64_t last = newest();
  if (last == 0) return;
  const std::optional<StepReport> newest_report = report(last);
  if (!newest_report) return;
  const std::int64_t failures = newest_report->failures_in_a_row;
  failures_thrown = std::min(failures_thrown, failures);
  if (failures - failures_thrown < most_failures) return;
  failures_thrown = failures;
  throw StepFailed(
      message("step ", last, ": ", failures, " attempts in a row have failed, the last ", "as ",
              to_string(newest_report->outcome), " at damping ", newest_report->damping,
              "; the parameters are those of before them: ", advice(*newest_report, find_operand)));
}

}  // namespace natgrad::detail
