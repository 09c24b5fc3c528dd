#include "fisher/kept_rows.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <utility>

namespace natgrad::detail {

bool KeptRows::has_layers_of(const Rows& rows) const {
  const auto blocks = rows.blocks().blocks;
  bool same = blocks.size() == blocks_.size();
  for (std::size_t i = 0; same && i < blocks.size(); ++i) {
    same = blocks[i].weight_offset == blocks_[i].weight_offset &&
           blocks[i].bias_offset == blocks_[i].bias_offset &&
           blocks[i].output_score.columns() == kept_[i].output_score.view().columns();
  }
  return same;
}

void KeptRows::allocate(const Rows& rows, std::int64_t capacity) {
  *this = KeptRows();  // the old and the new together would be twice the memory
  const Context& context = rows.parameters().context();
  const ElementType type = rows.parameters().type();
  scale_ = context.array({capacity, 1}, ElementType::float64);
  rhs_ = context.array({capacity, 1}, ElementType::float64);
  weights_ = context.array({capacity, 1}, ElementType::float64);
  for (const RowBlock& block : rows.blocks().blocks) {
    Block kept;
    kept.output_score = context.array({capacity, block.output_score.columns()}, type);
    if (!block.input.empty()) kept.input = context.array({capacity, block.input.columns()}, type);
    kept_.push_back(std::move(kept));
    blocks_.push_back({.weight_offset = block.weight_offset, .bias_offset = block.bias_offset});
  }
  capacity_ = capacity;
}

void KeptRows::append(const Rows& rows, std::int64_t capacity) {
  if (count_ + rows.size() > capacity) {
    throw ShapeError(message("accumulate: ", count_, " rows kept and ", rows.size(),
                             " more are beyond .samples = ", capacity, " of the dual form"));
  }
  const bool same = capacity == capacity_ && has_layers_of(rows);
  if (!same && count_ > 0) {
    throw ShapeError(message("accumulate: the set's ", rows.blocks().blocks.size(),
                             " layers are not the ", blocks_.size(),
                             " layers of the rows kept before, in their order"));
  }
  if (!same) allocate(rows, capacity);

  Backend& backend = rows.parameters().context().state().backend();
  const std::int64_t first = count_;
  const std::int64_t count = rows.size();
  const auto blocks = rows.blocks().blocks;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    backend.copy(blocks[i].output_score, kept_[i].output_score.view().row_range(first, count));
    if (!kept_[i].input.empty()) {
      backend.copy(blocks[i].input, kept_[i].input.view().row_range(first, count));
    }
  }
  backend.copy(rows.scale(), scale_.view().row_range(first, count));
  backend.copy(rows.rhs(), rhs_.view().row_range(first, count));
  const View weights = weights_.view().row_range(first, count);
  if (rows.set().weights.empty()) {
    backend.fill(1.0 / static_cast<double>(rows.batch_samples()), weights);
  } else {
    backend.copy(rows.set().weights, weights);
  }
  count_ += count;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].output_score = kept_[i].output_score.view().row_range(0, count_);
    if (!kept_[i].input.empty()) blocks_[i].input = kept_[i].input.view().row_range(0, count_);
  }
}

}  // namespace natgrad::detail
