#include "optimizer/trial.hpp"

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

void Trial::judge(std::span<const UpdatedTensor> tensors, const View& solve, Form form,
                  bool predicts_kl, bool gradient_given) {
  backend_.check_update(tensors, field(&StepScalars::rate), field(&StepScalars::shrink),
                        field(&StepScalars::finite));
  backend_.evaluate(formulas::JudgeStep{.solve = address<SolveScalars>(solve),
                                        .step = address<StepScalars>(scalars_.step),
                                        .counters = address<Counters>(scalars_.counters),
                                        .record = address<StepRecord>(scalars_.record),
                                        .form = static_cast<double>(form),
                                        .predicts_kl = predicts_kl ? 1.0 : 0.0,
                                        .gradient_given = gradient_given ? 1.0 : 0.0});
}

void Trial::move(std::span<const UpdatedTensor> tensors) {
  backend_.update(field(&StepScalars::accept), tensors, field(&StepScalars::rate),
                  field(&StepScalars::shrink));
}

}  // namespace natgrad::detail
