#include "fisher/row_store.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "scores/gram_way.hpp"

#include <utility>

namespace natgrad::detail {

namespace {

/// Rows of the layer's factors that `rows` rows of the set take.
std::int64_t input_rows(const LayerUse& block, std::int64_t rows) {
  return block.inputs == 0 ? 0 : rows / block.rows_per_input * block.terms;
}

bool same_layer(const LayerUse& a, const LayerUse& b) {
  return a.weight_offset == b.weight_offset && a.bias_offset == b.bias_offset &&
         a.inputs == b.inputs && a.outputs == b.outputs && a.terms == b.terms &&
         a.rows_per_input == b.rows_per_input && a.bias_first_term == b.bias_first_term;
}

}  // namespace

StoreBuffers::StoreBuffers(Carver& carver, std::span<const LayerUse> blocks, std::int64_t capacity,
                           ElementType type)
    : scale(carver.take({capacity, 1}, ElementType::float64)),
      rhs(carver.take({capacity, 1}, ElementType::float64)),
      weights(carver.take({capacity, 1}, ElementType::float64)) {
  for (const LayerUse& block : blocks) {
    Factors factors;
    factors.output_score = carver.take({capacity * block.terms, block.outputs}, type);
    if (block.inputs > 0) {
      factors.input = carver.take({input_rows(block, capacity), block.inputs}, type);
    }
    layers.push_back(factors);
  }
}

bool RowStore::has_layers_of(std::span<const LayerUse> blocks) const {
  bool same = blocks.size() == layers_.size();
  for (std::size_t i = 0; same && i < blocks.size(); ++i) same = same_layer(blocks[i], layers_[i]);
  return same;
}

void RowStore::reserve(const Context& context, std::span<const LayerUse> blocks,
                       std::int64_t capacity, ElementType type) {
  Carver count;
  const StoreBuffers counted(count, blocks, capacity, type);
  clear();
  layers_.clear();
  capacity_ = 0;
  if (memory_.empty() || memory_.view().size() * 8 < count.bytes()) {
    memory_ = {};  // the old and the new together would be twice the memory
    memory_ = context.array({count.bytes() / 8, 1}, ElementType::float64);
  }
  Carver carver(memory_.view().data(), memory_.view().device());
  b_ = StoreBuffers(carver, blocks, capacity, type);
  layer_rows_.assign(blocks.size(), 0);
  layers_.assign(blocks.begin(), blocks.end());
  for (LayerUse& layer : layers_) {
    layer.input = {};
    layer.output_score = {};
  }
  capacity_ = capacity;
}

/// The block's rows follow those that are kept of its layer, and join them where they follow in the
/// set too.
void RowStore::append_block(Backend& backend, std::size_t layer, const LayerUse& block) {
  const StoreBuffers::Factors& to = b_.layers[layer];
  const std::int64_t kept = layer_rows_[layer];
  backend.copy(block.output_score,
               to.output_score.row_range(kept * block.terms, block.rows * block.terms));
  if (block.inputs > 0) {
    backend.copy(block.input,
                 to.input.row_range(input_rows(block, kept), input_rows(block, block.rows)));
  }
  layer_rows_[layer] += block.rows;

  LayerUse own = block;
  own.first += count_;
  std::int64_t start = kept;
  for (LayerUse& other : blocks_) {
    if (!same_layer(other, own) || other.output_score.data() != to.output_score.data()) continue;
    if (kept != other.rows || other.first + other.rows != own.first) continue;
    start = 0;
    own.first = other.first;
    own.rows += other.rows;
    other.rows = 0;
  }
  std::erase_if(blocks_, [](const LayerUse& other) { return other.rows == 0; });
  own.output_score = to.output_score.row_range(start * own.terms, own.rows * own.terms);
  if (own.inputs > 0) {
    own.input = to.input.row_range(input_rows(own, start), input_rows(own, own.rows));
  }
  blocks_.push_back(own);
  choose_gram_way(blocks_, own.first + own.rows, backend.row_costs());
}

void RowStore::append(const ScoreSet& rows, std::span<const LayerUse> blocks,
                      std::int64_t capacity) {
  if (count_ + rows.size() > capacity) {
    throw ShapeError(message("accumulate: ", count_, " rows kept and ", rows.size(),
                             " more are beyond .samples = ", capacity, " of the dual form"));
  }
  const bool same = capacity == capacity_ && has_layers_of(blocks);
  if (!same && count_ > 0) {
    throw ShapeError(message("accumulate: the set's ", blocks.size(), " layers are not the ",
                             layers_.size(), " layers of the rows kept before, in their order"));
  }
  const Context& context = rows.parameters().context();
  if (!same) reserve(context, blocks, capacity, rows.parameters().type());

  Backend& backend = context.state().backend();
  const std::int64_t count = rows.size();
  if (count_ == 0) {
    blocks_.clear();
    layer_rows_.assign(layers_.size(), 0);
  }
  const std::vector<LayerUse> blocks_before = blocks_;
  const std::vector<std::int64_t> rows_before = layer_rows_;
  try {
    for (std::size_t i = 0; i < blocks.size(); ++i) append_block(backend, i, blocks[i]);
    backend.copy(rows.scale(), b_.scale.row_range(count_, count));
    backend.copy(rows.rhs(), b_.rhs.row_range(count_, count));
    const View weights = b_.weights.row_range(count_, count);
    if (rows.set().weights.empty()) {
      backend.fill(1.0 / static_cast<double>(rows.batch_samples()), weights);
    } else {
      backend.copy(rows.set().weights, weights);
    }
  } catch (...) {
    blocks_ = blocks_before;
    layer_rows_ = rows_before;
    throw;
  }
  count_ += count;
}

}  // namespace natgrad::detail
