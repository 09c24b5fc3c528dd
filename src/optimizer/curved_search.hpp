#pragma once

#include "backend/backend.hpp"
#include "core/context_state.hpp"
#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/active_parameters.hpp"
#include "optimizer/loop_scalars.hpp"
#include "optimizer/rules/step_rule.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// What such a search works on beside the parameters and the step.
struct CurvedBuffers {
  View residuals;     // r (N) float64, as the caller writes them
  View weighted;      // R = sqrt(w_n) r_n (N) float64
  View scale;         // sqrt(w_n) (N) float64
  View acceleration;  // c (P) of the parameters' type

  CurvedBuffers() = default;
  CurvedBuffers(Carver& carver, std::int64_t rows, std::int64_t parameters, ElementType type)
      : residuals(carver.take({rows, 1}, ElementType::float64)),
        weighted(carver.take({rows, 1}, ElementType::float64)),
        scale(carver.take({rows, 1}, ElementType::float64)),
        acceleration(carver.take({parameters, 1}, type)) {}
};

/// Moves the parameters of a least-squares problem along theta + a d + a^2/2 c: c from one
/// evaluation of the residuals and the factor at hand, a the best of falling rates. Stands in the
/// place of `Trial::search`.
class CurvedSearch {
 public:
  struct Input {
    Bend bend;
    const BatchFunction& measure;  // `Batch::residuals`
    const ScoreSet& rows;
    RepeatedSolve& solve;
    View solved;  // a SolveScalars
    ActiveParameters& active;
    View direction;  // d (P)
    View kept;       // (P), where theta is kept
    View movement;   // (P), a d + a^2/2 c
    const CurvedBuffers& buffers;
  };

  CurvedSearch(ContextState& context, const LoopScalars& scalars, const Input& input)
      : context_(context), backend_(context.backend()), scalars_(scalars), in_(input) {}

  /// Leaves the parameters at the best rate, or as they were. Calls the residuals once, and once a
  /// trial; when they throw, parameters and counters are as before the step. One product with the
  /// rows of N numbers and one of P, and a few passes over both a trial.
  void run();

 private:
  View field(double StepScalars::*name) const { return scalar(scalars_.step, name); }
  View field(double TrialScalars::*name) const { return scalar(scalars_.trial, name); }
  View field(double GeodesicScalars::*name) const { return scalar(in_.bend.scalars, name); }
  GeodesicScalars* geodesic() const { return address<GeodesicScalars>(in_.bend.scalars); }
  TrialScalars* trial() const { return address<TrialScalars>(scalars_.trial); }
  StepScalars* step() const { return address<StepScalars>(scalars_.step); }
  SolveScalars* solved() const { return address<SolveScalars>(in_.solved); }

  void begin();
  void accelerate();
  void try_rate(bool last);
  void finish();
  void load_movement();
  void measure();
  bool is_done() const;

  ContextState& context_;
  Backend& backend_;
  const LoopScalars& scalars_;
  Input in_;
};

}  // namespace natgrad::detail
