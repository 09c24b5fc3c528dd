#pragma once

#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/active_parameters.hpp"
#include "optimizer/batch_checks.hpp"
#include "optimizer/damping/damping_strategy.hpp"
#include "optimizer/loop_scalars.hpp"
#include "optimizer/momentum/momentum.hpp"
#include "optimizer/partial_batch.hpp"
#include "optimizer/report_ring.hpp"
#include "optimizer/rules/step_rule.hpp"
#include "optimizer/step_memory.hpp"
#include "optimizer/step_shapes.hpp"
#include "optimizer/trial.hpp"

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace natgrad {

/// The parts of an optimizer, each a class with its data, and the loop that asks them.
struct NaturalGradient::State {
  State(Parameters given, Options wanted);

  // step.cpp: the loop; step_parts.cpp: of a batch in parts.
  // With `proposal` (P) the step goes there and not to the parameters.
  void step(const Batch& batch, const View& proposal = {});
  void step_parts(const View& proposal = {});
  void accumulate(const Batch& batch);
  void direction(const Batch& batch, const View& out);
  /// Of what was accumulated where there is no batch.
  void propose(const Batch* batch, const View& out);

  // state.cpp
  void prepare();
  void follow_parameters();
  void make_curvatures();
  detail::BatchContract contract() const;
  void discard();
  /// Takes over options with other factors; nothing has changed when it throws.
  void set_factors(const char* caller, const Options& changed);
  bool remembers() const { return momentum->remembers() || rule->memory_name() != nullptr; }
  /// Throws `ArgumentError` within a `BatchFunction` of this optimizer's own step.
  void require_idle(const char* caller) const;

  // memory_plan.cpp
  struct PlannedBatch;
  MemoryPlan plan_of(const detail::StepShape& shape, Form form) const;
  /// Throws `MemoryError` for a batch whose plan is larger than the budget. Plans a batch whose
  /// shape is not that of the last one checked, which allocates on the host.
  void require_budget(const detail::StepShape& shape);

  Parameters parameters;
  Options options;
  Backend& backend;
  detail::ActiveParameters active;
  std::unique_ptr<detail::StepRuleStrategy> rule;
  std::unique_ptr<detail::DampingStrategy> damping;
  std::unique_ptr<detail::MomentumStrategy> momentum;
  detail::StepShapes shapes;
  detail::ReportRing ring;
  detail::StepMemory memory;
  detail::KnownShape within_budget;          // the last one that was checked
  std::unique_ptr<detail::Curvature> whole;  // of batches in one call
  std::unique_ptr<detail::Curvature> parts;  // of batches in parts
  detail::PartialBatch partial;
  // Allocated by the first step.
  Array scalar_memory;
  Array momentum_memory;  // (P)
  detail::LoopScalars scalars;
  std::optional<Form> direction_form;  // of the last `direction`
  bool busy = false;                   // a step calls the caller's functions
  /// What a CUDA graph may hold, of other frozen tensors.
  struct Outgrown {
    std::unique_ptr<detail::Curvature> whole;
    std::unique_ptr<detail::Curvature> parts;
    Array momentum;
  };
  std::vector<Outgrown> outgrown;

 private:
  /// What a step is taken from: rows that the curvature has, and with `batch` those at hand.
  struct StepInput {
    const GradientSource& gradient;
    FisherKind kind;
    const Batch* batch = nullptr;
    std::span<const LayerUse> uses = {};
    View proposal = {};  // takes the step in the place of the parameters
  };

  void take_step(detail::Curvature& curvature, const StepInput& input);
  void use_momentum(const View& numbers);
  void replace_active(detail::ActiveParameters& changed, const Options& options_of_it);
  // direction.cpp
  void check_numbers(const char* caller, const View& numbers) const;
  void require_proposes() const;
  void hand_out(const View& v, const View& proposal);
  // step_search.cpp: what rules ask for beside the solve.
  std::optional<detail::LocalModel> model_of(const StepInput& input);
  std::span<const LayerUse> other_uses(const GradientSource& gradient);
  void choose_step(const detail::LocalModel& model, const View& solved, const View& v);
  void search(detail::Trial& trial, const StepInput& input, std::span<const UpdatedTensor> tensors,
              const View& v, const View& solved, const detail::LocalModel* model);
  void bend(detail::Curvature& curvature, const Batch& batch, const View& d);
  detail::Trial::Verdict verdict_of(Form form, const StepInput& input) const;
  // step.cpp
  void solve(detail::Curvature& curvature, const GradientSource& gradient,
             const detail::RightHandSide& rhs);
  void add_gradient(const GradientSource& source, double beta, const View& g);
};

namespace detail {

/// What a curvature needs to know of an optimizer's options.
CurvatureOptions curvature_options(const NaturalGradient::Options& options,
                                   const Parameters& parameters, const ActiveParameters& active);

}  // namespace detail
}  // namespace natgrad
