#include "optimizer/trial.hpp"

#include <cmath>
#include <limits>

namespace natgrad::detail {

void Trial::begin() {
  backend_.evaluate(formulas::BeginStep{.settings = address<RateSettings>(scalars_.settings),
                                        .counters = address<Counters>(scalars_.counters),
                                        .step = address<StepScalars>(scalars_.step)});
}

void Trial::limit(const ConstView& step, bool has_limit) {
  if (has_limit) backend_.dot(step, step, field(&StepScalars::step_square));
  backend_.evaluate(formulas::LimitStep{.settings = address<RateSettings>(scalars_.settings),
                                        .step = address<StepScalars>(scalars_.step)});
}

/// A callable that writes nothing has measured NaN. It may use the context, whose scratch holds
/// this step's.
void Trial::measure(const BatchFunction& number, const View& result) {
  backend_.fill(std::numeric_limits<double>::quiet_NaN(), result);
  const ContextState::CallersTurn turn(context_);
  number(result);
}

void Trial::search(const Searched& s) {
  s.active.keep(backend_, s.kept);
  if (!s.movement.empty()) {
    const auto dot = [&](const View& x, const View& y, double TrialScalars::*result) {
      s.active.penalty_dot(backend_, x, y, field(&TrialScalars::restore), field(result));
    };
    dot(s.kept, s.kept, &TrialScalars::parameter_square);
    dot(s.kept, s.movement, &TrialScalars::parameter_step);
    dot(s.movement, s.movement, &TrialScalars::step_square);
  }
  try {
    measure(s.batch.loss, field(&TrialScalars::loss_before));
    backend_.evaluate(
        formulas::BeginTrials{.trial = address<TrialScalars>(scalars_.trial), .eta = s.eta});
    for (int i = 1; i <= s.search.trials; ++i) try_rate(s, i == s.search.trials);
  } catch (...) {
    take_back_attempt(s);
    throw;
  }
}

void Trial::try_rate(const Searched& s, bool last) {
  auto* trial = address<TrialScalars>(scalars_.trial);
  auto* step = address<StepScalars>(scalars_.step);
  const View rate = field(&StepScalars::rate);
  const View shrink = field(&StepScalars::shrink);
  backend_.check_update(s.tensors, rate, shrink, field(&StepScalars::finite));
  backend_.evaluate(
      formulas::OpenTrial{.trial = trial, .solve = address<SolveScalars>(s.solve), .step = step});
  backend_.update(field(&TrialScalars::open), s.tensors, rate, shrink);
  const bool compares_kl = std::isfinite(s.search.kl_radius);
  measure(s.batch.loss, field(&TrialScalars::measured));
  if (compares_kl) measure(s.batch.kl, field(&TrialScalars::measured_kl));
  backend_.evaluate(formulas::JudgeTrial{.trial = trial,
                                         .solve = address<SolveScalars>(s.solve),
                                         .step = step,
                                         .settings = address<RateSettings>(scalars_.settings),
                                         .eta = s.eta,
                                         .epsilon = 2 * half_epsilon(s.kept.type()),
                                         .sufficient_decrease = s.search.sufficient_decrease,
                                         .kl_radius = s.search.kl_radius,
                                         .shrink = s.search.shrink,
                                         .last = last});
  s.active.restore(backend_, field(&TrialScalars::restore), s.kept);
}

void Trial::take_back_attempt(const Searched& s) {
  const View always = field(&TrialScalars::restore);
  backend_.fill(1, always);
  s.active.restore(backend_, always, s.kept);
  backend_.axpby(-1.0, always, 1.0, scalar(scalars_.counters, &Counters::attempts));
}

void Trial::judge(std::span<const UpdatedTensor> tensors, const View& solve,
                  const Verdict& verdict) {
  const bool searched = (verdict.applies & formulas::applies_loss) != 0;
  if (!searched) {
    backend_.check_update(tensors, field(&StepScalars::rate), field(&StepScalars::shrink),
                          field(&StepScalars::finite));
  }
  backend_.evaluate(formulas::JudgeStep{.solve = address<SolveScalars>(solve),
                                        .step = address<StepScalars>(scalars_.step),
                                        .counters = address<Counters>(scalars_.counters),
                                        .record = address<StepRecord>(scalars_.record),
                                        .form = static_cast<double>(verdict.form),
                                        .predicts_kl = verdict.predicts_kl ? 1.0 : 0.0,
                                        .gradient_given = verdict.gradient_given ? 1.0 : 0.0,
                                        .trial = address<TrialScalars>(scalars_.trial),
                                        .applies = verdict.applies});
}

void Trial::move(std::span<const UpdatedTensor> tensors) {
  backend_.update(field(&StepScalars::accept), tensors, field(&StepScalars::rate),
                  field(&StepScalars::shrink));
}

}  // namespace natgrad::detail
