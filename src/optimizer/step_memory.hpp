#pragma once

#include "core/arena.hpp"
#include "core/growing_array.hpp"
#include "curvature/curvature.hpp"
#include "natgrad/context.hpp"
#include "natgrad/memory_plan.hpp"
#include "optimizer/curved_search.hpp"
#include "optimizer/local_model.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace natgrad::detail {

/// One call as memory knows it: its batch, and what the loop itself needs beside the curvature.
struct StepShape {
  BatchShape batch;
  std::int64_t scaled = 0;  // numbers of a step that is neither the direction nor in its place
  std::span<const LayerUse> gradient_uses = {};  // of other rows, whose S^T r is the gradient
  std::int64_t gradient_rows = 0;
  std::int64_t proposed = 0;      // numbers of a step that is handed out, frozen ones too
  std::int64_t kept = 0;          // parameters that are kept, to be taken back
  std::int64_t movement = 0;      // numbers of a step with its decay
  int products = 0;               // of a `LocalModel`
  bool gradient_numbers = false;  // the gradient is P numbers, for that model
  bool bends = false;             // a `CurvedSearch` moves the parameters
};

/// All of a shape but the views of its uses, to know it again.
class KnownShape {
 public:
  bool is(const StepShape& shape) const;
  /// Keeps the capacity: another shape that is no larger allocates nothing.
  void keep(const StepShape& shape);
  void forget() { known_ = false; }

 private:
  bool known_ = false;
  std::vector<LayerUse> uses_;
  std::vector<LayerUse> gradient_uses_;
  StepShape shape_;  // without spans
};

/// Memory of the loop within one call.
struct StepBuffers {
  View scaled;        // the step before the rate, of the parameters' type
  View gradient_rhs;  // r of the gradient's rows in float, where g is computed so
  View gradient_sum;  // g (P) float64 of a batch in parts
  Scratch gradient_work;
  View proposed;  // a step that is handed out, of the parameters' type
  View kept;      // theta before the step (P) of the parameters' type
  View movement;  // the step with its decay, before the rate, of that type
  ModelBuffers model;
  CurvedBuffers curved;
};

/// Takes the memory of a call for a curvature: scratch from the context's arena, and for batches in
/// parts an array that lasts. What a shape needs is counted once and kept while it does not change.
class StepMemory {
 public:
  StepMemory(const Context& context, ElementType type);

  /// Lays out curvature and buffers for one call. Throws `MemoryError`.
  const StepBuffers& lay_out(Curvature& curvature, const StepShape& shape);

  /// Allocates what a call of this shape needs. Throws `MemoryError`.
  void reserve(Curvature& curvature, const StepShape& shape);

  const StepBuffers& buffers() const { return buffers_; }

  /// Bytes of a call in scratch, and what they are for.
  std::vector<CarvedItem> scratch_items(Curvature& curvature, const StepShape& shape) const;
  /// Bytes that parts of a batch keep beside what the curvature reserves.
  std::int64_t kept_bytes(Curvature& curvature, const StepShape& shape) const;

 private:
  struct Counted {
    KnownShape shape;
    std::int64_t scratch = 0;
    std::int64_t kept = 0;
  };

  ModelShape model_shape(const StepShape& shape) const;

  StepBuffers carve(Curvature& curvature, const StepShape& shape, Carver& kept,
                    Carver& scratch) const;
  const Counted& counted(Curvature& curvature, const StepShape& shape);

  Context context_;
  ElementType type_;
  GrowingArray kept_;
  Counted counted_;
  StepBuffers buffers_;
};

}  // namespace natgrad::detail
