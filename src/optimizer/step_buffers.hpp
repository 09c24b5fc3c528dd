#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "fisher/accumulation.hpp"
#include "scores/row_store.hpp"
#include "fisher/solver.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// The rows of a call as memory knows them.
struct BatchShape {
  std::span<const LayerUse> blocks = {};
  std::int64_t rows = 0;        // of the set
  std::int64_t batch_rows = 0;  // of the whole batch
  Centering centering = Centering::none;
  bool general = false;                            // the gradient is not S^T r of these rows
  std::span<const LayerUse> gradient_blocks = {};  // where it is of other rows
  std::int64_t gradient_rows = 0;
  bool accumulated = false;     // the set is a part, gathered before the step
  Form form = Form::automatic;  // where it was decided before
};

/// What a step is, as far as its memory goes.
struct StepShape {
  SolveShape solve;
  std::int64_t work = 0;           // bytes of row operations
  std::int64_t tile_rows = 0;      // formed at a time in the primal form
  bool accumulated = false;        // the batch was gathered before
  std::int64_t gradient_rows = 0;  // whose S^T r is the gradient
  std::int64_t scaled = 0;         // numbers of what is neither direction nor in its place
};

/// Scratch of one step.
struct StepBuffers {
  SystemBuffers system;  // but F, where it was accumulated
  SolveBuffers solve;
  PrimalSums sums;       // primal, of one call
  PrimalBuffers primal;  // likewise
  View gradient_rhs;     // r of the gradient's rows, of the vectors' type
  View scaled;           // the step before the rate (P), of the parameters' type

  StepBuffers(Carver& carver, const StepShape& shape, const SystemBuffers& kept_system);
};

/// Scratch of gathering a part of a batch.
struct GatherBuffers {
  PrimalBuffers primal;
  Scratch work;  // of the gradient's rows

  GatherBuffers(Carver& carver, const StepShape& shape);
};

/// What is gathered of a batch: rows in the dual form, F and its sums in the primal one.
struct GatheredBuffers {
  SystemBuffers system;
  PrimalSums sums;
  View gradient;  // g (P) float64, where it is not S^T r

  GatheredBuffers() = default;
  GatheredBuffers(Carver& carver, const SolveShape& shape);
};

}  // namespace natgrad::detail
