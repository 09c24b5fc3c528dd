// A batch that comes in parts.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

using detail::message;

void NaturalGradient::State::discard() {
  gathered.rows = 0;
  gathered.gradient_rows = gathered.gradient_batch_rows = 0;
  gathered.kept.clear();
}

/// Memory for F and its sums, or for a gradient of its own; kept for the next batch.
void NaturalGradient::State::reserve_gathered(const detail::StepShape& shape) {
  detail::Carver count;
  const detail::GatheredBuffers counted(count, shape.solve);
  const std::int64_t held = gathered.memory.empty() ? 0 : gathered.memory.view().size() * 8;
  if (count.bytes() > held) {
    gathered.memory = {};
    gathered.memory = parameters.context().array({count.bytes() / 8, 1}, ElementType::float64);
  }
  if (gathered.memory.empty()) return;
  detail::Carver carver(gathered.memory.view().data(), gathered.memory.view().device());
  gathered.buffers = detail::GatheredBuffers(carver, shape.solve);
}

/// Fixes what all parts of the batch share.
void NaturalGradient::State::begin_gathering(const detail::BatchShape& shape, FisherKind kind) {
  require_budget(shape);
  prepare();
  const detail::StepShape own = gather_shape(shape);
  reserve_gathered(own);
  gathered.batch_rows = shape.batch_rows;
  gathered.centering = shape.centering;
  gathered.general = shape.general;
  gathered.kind = kind;
  gathered.form = own.solve.form;
}

void NaturalGradient::State::gather(const Batch& batch) {
  const detail::ScoreSet& rows = batch.fisher.rows();
  check("accumulate", batch);
  if (gathered.rows > 0) {
    const auto require_same = [](bool same, const char* what) {
      if (same) return;
      throw ArgumentError(
          message("accumulate: ", what, " differs from that of the parts before; step() first"));
    };
    require_same(rows.batch_samples() == gathered.batch_rows, ".batch_samples");
    require_same(rows.kind() == gathered.kind, "the kind of the rows");
    require_same(rows.centering() == gathered.centering, ".centering");
    require_same(batch.gradient.given() == gathered.general, "the source of the gradient");
    require_same((batch.gradient.rows() != nullptr) == (gathered.gradient_rows > 0),
                 "the source of the gradient");
    if (batch.gradient.rows() != nullptr) {
      require_same(batch.gradient.rows()->batch_samples() == gathered.gradient_batch_rows,
                   "the gradient's .batch_samples");
    }
  }
  if (gathered.rows + rows.size() > rows.batch_samples()) {
    throw ArgumentError(message("accumulate: ", gathered.rows, " rows and ", rows.size(),
                                " more are beyond the batch's ", rows.batch_samples()));
  }
  detail::BatchShape shape = batch_shape(batch);
  shape.accumulated = true;
  const bool first = gathered.rows == 0;
  if (first) begin_gathering(shape, rows.kind());
  shape.form = gathered.form;
  const detail::StepShape own = gather_shape(shape);
  const auto b = parameters.context().state().arena().buffers<detail::GatherBuffers>(own);
  const bool dual = gathered.form == Form::dual;
  if (dual) gathered.kept.append(rows, shape.blocks, gathered.batch_rows);
  try {
    if (!dual) {
      const detail::PrimalAccumulation sum(backend, gathered.buffers.system.matrix,
                                           gathered.buffers.sums, scalars);
      sum.add({shape.blocks, rows.scale()}, rows.set().scale, rows.rhs(), first, b.primal);
    }
    if (gathered.general) {
      add_gradient(batch.gradient, first ? 0 : 1, gathered.buffers.gradient, {}, b.work);
    }
  } catch (...) {
    discard();  // the sums may hold a part of this set
    throw;
  }
  if (batch.gradient.rows() != nullptr) {
    gathered.gradient_rows += batch.gradient.rows()->samples();
    gathered.gradient_batch_rows = batch.gradient.rows()->batch_samples();
  }
  gathered.rows += rows.size();
}

}  // namespace natgrad
