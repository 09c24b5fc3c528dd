#pragma once

#include "core/option_errors.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/saved_state.hpp"
#include "optimizer/strategy.hpp"

#include <memory>

namespace natgrad::detail {

/// Chooses how far a step goes along its direction.
class StepRuleStrategy : public Strategy {
 public:
  /// What it cannot work without; the checks of options and batches refuse from this alone.
  struct Needs {
    const char* name = "";     // of the rule, in messages
    bool fisher = false;       // rows of the Fisher matrix: sampled or exact ones
    bool full_matrix = false;  // d^T F d of all of it
  };
  virtual Needs needs() const = 0;
  /// Notes which of its options are out of range.
  virtual void check(OptionErrors& errors) const = 0;
  /// The rate before any schedule: a fixed one, or the largest.
  virtual double rate() const = 0;
  virtual void set_rate(double rate) = 0;

  /// Enqueues: lowers the scheduled rate in `step`, a StepScalars, by what `solve`, a SolveScalars,
  /// says of the direction.
  virtual void choose_rate(Backend&, const View& solve, const View& step) {
    static_cast<void>(solve);
    static_cast<void>(step);
  }

  /// Its state as a checkpoint keeps it.
  virtual void save(SavedState&) const {}
};

/// The rule of the options. A new one is a class in a new file, and a row here.
std::unique_ptr<StepRuleStrategy> make_step_rule(const StepRule& rule);

}  // namespace natgrad::detail
