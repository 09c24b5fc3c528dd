#pragma once

#include "kernels/formulas/rules/quadratic_model.hpp"
#include "optimizer/rules/step_rule.hpp"

namespace natgrad::detail {

/// The minimizer of the quadratic model over the direction and the last step (Martens, Grosse 2015,
/// section 7).
class QuadraticModelStrategy final : public StepRuleStrategy {
 public:
  explicit QuadraticModelStrategy(const QuadraticModel& options) : options_(options) {}

  void layout(Carver& carver) override { scalars_ = take_scalars<QuadraticModelScalars>(carver); }
  Needs needs() const override {
    return {.name = "QuadraticModel", .fisher = !options_.allow_empirical, .products = true};
  }
  void check(OptionErrors& errors) const override {
    errors.check(".step rate", options_.rate, options_.rate > 0, "finite and > 0");
  }
  double rate() const override { return options_.rate; }
  void set_rate(double rate) override { options_.rate = rate; }

  const char* memory_name() const override { return "QuadraticModel"; }
  void use(const View& memory) override { last_ = memory; }
  bool changes_step() const override { return true; }

  void choose_step(Backend& backend, const StepModel& m) override {
    using Q = QuadraticModelScalars;
    const auto field = [&](double Q::*name) { return scalar(scalars_, name); };
    const View& d = m.step;
    const View along_d = m.model.multiply(d, 0, field(&Q::slope_d));
    const View along_p = m.model.multiply(last_, 1, field(&Q::slope_p));
    const auto dots = [&](const ConstView& x, const ConstView& y, double Q::*xx, double Q::*xy,
                          double Q::*yy) {
      backend.dot(x, x, field(xx));
      backend.dot(x, y, field(xy));
      backend.dot(y, y, field(yy));
    };
    dots(along_d, along_p, &Q::fisher_d, &Q::fisher_dp, &Q::fisher_p);
    dots(d, last_, &Q::square_d, &Q::square_dp, &Q::square_p);
    if (!m.parameters.empty()) {
      backend.dot(m.parameters, d, field(&Q::theta_d));
      backend.dot(m.parameters, last_, field(&Q::theta_p));
    }
    backend.evaluate(formulas::ChooseStepOfModel{.model = address<Q>(scalars_),
                                                 .eta = m.eta,
                                                 .solve = address<SolveScalars>(m.solve),
                                                 .trial = address<TrialScalars>(m.trial)});
    backend.axpby(scalar(m.trial, &TrialScalars::momentum), last_,
                  scalar(m.trial, &TrialScalars::model_rate), d);
  }

  /// The step before its decay, rate v, is the next one's last.
  void judged(Backend& backend, const JudgedStep& step) override {
    backend.axpby(0.0, step.step, scalar(step.scalars, &StepScalars::rate), step.step);
    backend.commit(scalar(step.scalars, &StepScalars::accept), step.step, last_);
  }

 private:
  QuadraticModel options_;
  View scalars_;  // a QuadraticModelScalars
  View last_;     // s_prev (P) of the parameters' type
};

}  // namespace natgrad::detail
