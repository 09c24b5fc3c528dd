#pragma once

#include "scores/row_store.hpp"
#include "fisher/solver.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/active.hpp"
#include "optimizer/step_buffers.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace natgrad {

/// What an optimizer keeps from step to step.
struct NaturalGradient::State {
  static constexpr std::int64_t ring_slots = 64;

  /// A batch that comes in parts.
  struct Gathered {
    std::int64_t rows = 0;  // so far
    std::int64_t batch_rows = 0;
    std::int64_t gradient_rows = 0;        // other rows, whose S^T r is the gradient, so far
    std::int64_t gradient_batch_rows = 0;  // in all
    Centering centering = Centering::none;
    bool general = false;
    FisherKind kind = FisherKind::empirical;
    Form form = Form::dual;
    detail::RowStore kept;  // dual
    Array memory;           // of `buffers`
    detail::GatheredBuffers buffers;
  };
  /// What one call works on.
  struct Work {
    RowBatch rows;
    ConstView r;             // (N) float64
    ConstView weights = {};  // of rows from several sets, (N) float64
    const detail::StepShape& shape;
    const detail::StepBuffers& buffers;
    View scalars;
    GradientSource gradient = {};  // general
    bool with_momentum = true;
  };

  State(Parameters given, Options wanted);

  double spring() const;
  double heavy_ball() const;
  bool damped() const;
  View field(double StepScalars::*name) const { return detail::scalar(scalars.view(), name); }

  // prepare.cpp: memory that lasts, checks, shapes.
  void prepare();
  void follow_parameters();
  void upload_options();
  Options adopted(const StepScalars& loaded) const;
  void adopt_scalars();
  void require_damping(const char* caller, std::int64_t rows) const;
  void check_rule(const char* caller, FisherKind kind) const;
  void check(const char* caller, const Batch& batch);
  void check_gradient(const char* caller, const detail::ScoreSet& rows,
                      const GradientSource& gradient) const;
  detail::BatchShape batch_shape(const Batch& batch);
  detail::BatchShape gathered_shape() const;
  Form form_of(const detail::BatchShape& batch) const;
  detail::StepShape step_shape(const detail::BatchShape& batch, bool with_momentum) const;
  detail::StepShape gather_shape(const detail::BatchShape& batch) const;

  // plan.cpp
  MemoryPlan plan_of(const detail::BatchShape& batch) const;
  MemoryPlan plan_of(const ScoresShape& shape) const;
  struct PlannedBatch;
  std::vector<detail::CarvedItem> scratch_of(const detail::BatchShape& batch) const;
  void reserve(const MemoryPlan& plan);
  void require_budget(const detail::BatchShape& batch) const;

  // gather.cpp
  void gather(const Batch& batch);
  void begin_gathering(const detail::BatchShape& shape, FisherKind kind);
  void reserve_gathered(const detail::StepShape& shape);
  void discard();

  // step.cpp
  void step(const Batch& batch);
  void step_gathered();
  void direction(const Batch& batch, const View& out);
  void commit_direction(const detail::StepBuffers& b, const View& out) const;
  void take_step(const Work& work, FisherKind kind);
  void solve(const Work& work) const;
  void solve_general(const detail::Solver& solver, const Work& work) const;
  void add_gradient(const GradientSource& source, double beta, const View& g, const View& rhs,
                    const Scratch& work) const;
  void finish(const detail::Solver& solver, const Work& work) const;
  View scaled_step(const Work& work) const;
  void move(const View& step, const View& direction, const ScalarArguments& of);

  // reports.cpp
  const StepScalars& slot(std::int64_t step) const;
  std::optional<StepReport> report_of(std::int64_t step) const;
  std::int64_t newest() const;
  void throw_after_failures();

  Parameters parameters;
  Options options;
  Backend& backend;
  detail::Active active;
  // Allocated by the first step.
  Array scalars;                     // a StepScalars
  Array direction_scalars;           // another, of `direction`
  Array ring;                        // (64) of them: the last reports
  Array momentum;                    // (P)
  std::int64_t reported = 0;         // by reports()
  std::int64_t failures_thrown = 0;  // failures in a row when StepFailed was last thrown
  Gathered gathered;
  // Blocks without frozen parameters, of the last call.
  std::vector<LayerUse> fisher_blocks;
  std::vector<LayerUse> gradient_blocks;
  std::optional<Form> direction_form;  // of the last `direction`
};

}  // namespace natgrad
