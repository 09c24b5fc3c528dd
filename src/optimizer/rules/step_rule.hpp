#pragma once

#include "core/option_errors.hpp"
#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/local_model.hpp"
#include "optimizer/saved_state.hpp"
#include "optimizer/strategy.hpp"

#include <limits>
#include <memory>

namespace natgrad::detail {

/// Which of several rates is taken: the first whose loss falls by enough, and whose KL divergence
/// is small enough. `Trial` does it, for all rules.
struct Search {
  int trials = 0;                  // 0: the rate is taken as it is
  double shrink = 0.5;             // of the rate from trial to trial
  double sufficient_decrease = 0;  // share of rate times slope
  double kl_radius = std::numeric_limits<double>::infinity();
};

/// How a rule steps along a parabola: its options, and its numbers on the device.
struct Bend {
  GeodesicAcceleration options;
  View state;    // a GeodesicState
  View scalars;  // a GeodesicScalars
};

/// What a rule that changes the direction may look at.
struct StepModel {
  const LocalModel& model;
  const View& step;      // v (P), which it changes in place
  ConstView parameters;  // theta (P), where there is a penalty
  const View& solve;     // a SolveScalars
  const View& trial;     // a TrialScalars
  double eta = 0;        // of the penalty
};

/// Chooses how far a step goes along its direction.
class StepRuleStrategy : public Strategy {
 public:
  using Needs = StrategyNeeds;
  virtual Needs needs() const = 0;
  /// Notes which of its options are out of range.
  virtual void check(OptionErrors& errors) const = 0;
  /// The rate before any schedule: a fixed one, or the largest.
  virtual double rate() const = 0;
  virtual void set_rate(double rate) = 0;
  virtual Search search() const { return {}; }

  /// Null, or what it remembers of steps, as messages and checkpoints name it: P numbers of the
  /// parameters' type, which are the momentum of an optimizer without another.
  virtual const char* memory_name() const { return nullptr; }
  virtual void use(const View& memory) { static_cast<void>(memory); }
  /// Whether it calls `choose_step`, for which the local model has room for two products.
  virtual bool changes_step() const { return false; }
  /// Enqueues: replaces v by the step that the rule wants.
  virtual void choose_step(Backend&, const StepModel& model) { static_cast<void>(model); }

  /// Whether the step is along a parabola, for which `CurvedSearch` takes `bend`.
  virtual bool bends() const { return false; }
  virtual Bend bend() const { return {}; }

  /// Enqueues: lowers the scheduled rate in `step`, a StepScalars, by what `solve`, a SolveScalars,
  /// says of the direction.
  virtual void choose_rate(Backend&, const View& solve, const View& step) {
    static_cast<void>(solve);
    static_cast<void>(step);
  }

  /// Its state as a checkpoint keeps it.
  virtual void save(SavedState&) const {}
};

/// Notes which options of a search are out of range; `trials` from `fewest`.
inline void check_search(OptionErrors& errors, const Search& search, int fewest) {
  errors.check(".step trials", search.trials, search.trials >= fewest && search.trials <= 64,
               fewest == 0 ? "0 to 64" : "1 to 64");
  errors.check(".step shrink", search.shrink, search.shrink > 0 && search.shrink < 1,
               "> 0 and < 1");
  errors.check(".step sufficient_decrease", search.sufficient_decrease,
               search.sufficient_decrease >= 0 && search.sufficient_decrease < 1, ">= 0 and < 1");
}

/// The rule of the options. A new one is a class in a new file, and a row here.
std::unique_ptr<StepRuleStrategy> make_step_rule(const StepRule& rule);

}  // namespace natgrad::detail
