#include "scores/row_store.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "scores/gram_way.hpp"

#include <algorithm>
#include <utility>

namespace natgrad::detail {

namespace {

std::int64_t product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    throw MemoryError("rows kept of a batch: more numbers than an address can count");
  }
  return result;
}

Shape output_shape(const LayerUse& block, std::int64_t rows) {
  return {product(rows, block.terms), block.outputs};
}

/// No numbers without a weight.
Shape input_shape(const LayerUse& block, std::int64_t rows) {
  if (block.inputs == 0) return {0, 0};
  return {product(rows / block.rows_per_input, block.terms), block.input_columns()};
}

/// The input's numbers in memory for factors, which are no smaller than an index.
View input_in(const LayerUse& block, const View& numbers) {
  if (!block.lookup) return numbers;
  return {numbers.data(), ElementType::int32, numbers.shape(), {.device = numbers.device()}};
}

bool same_parameters(const LayerUse& a, const LayerUse& b) {
  return a.weight_offset == b.weight_offset && a.bias_offset == b.bias_offset &&
         a.inputs == b.inputs && a.outputs == b.outputs && a.lookup == b.lookup;
}

bool same_layer(const LayerUse& a, const LayerUse& b) {
  return same_parameters(a, b) && a.terms == b.terms && a.rows_per_input == b.rows_per_input &&
         a.bias_first_term == b.bias_first_term;
}

const void* end_of(const ConstView& view) {
  return static_cast<const std::byte*>(view.data()) + view.size() * size_of(view.type());
}

/// Whether the rows of `next` follow those of `use`, in the batch and in memory.
bool follows(const LayerUse& use, const LayerUse& next) {
  return same_layer(use, next) && use.first + use.rows == next.first &&
         end_of(use.output_score) == next.output_score.data() &&
         (use.inputs == 0 || end_of(use.input) == next.input.data());
}

/// Notes the most numbers a row that either use of a layer takes.
void note_terms(LayerUse& largest, const LayerUse& other) {
  largest.terms = std::max(largest.terms, other.terms);
  largest.rows_per_input = std::min(largest.rows_per_input, other.rows_per_input);
}

std::int64_t bytes_for(std::span<const LayerUse> blocks, std::int64_t capacity, ElementType type) {
  Carver count;
  const StoreBuffers counted(count, blocks, capacity, type);
  return count.bytes();
}

/// The same numbers with so many rows.
ConstView with_rows(const ConstView& view, std::int64_t rows) {
  return {view.data(), view.type(), {rows, view.columns()}, {.device = view.device()}};
}

}  // namespace

StoreBuffers::StoreBuffers(Carver& carver, std::span<const LayerUse> blocks, std::int64_t capacity,
                           ElementType type)
    : scale(carver.take({capacity, 1}, ElementType::float64)),
      rhs(carver.take({capacity, 1}, ElementType::float64)),
      weights(carver.take({capacity, 1}, ElementType::float64)) {
  for (const LayerUse& block : blocks) {
    Factors factors;
    factors.output_score = carver.take(output_shape(block, capacity), type);
    if (block.inputs > 0) factors.input = carver.take(input_shape(block, capacity), type);
    layers.push_back(factors);
  }
}

RowStore::Space::Space(const View& array) : numbers(array), end(array.empty() ? 0 : array.size()) {}

View RowStore::Space::front(Shape shape) {
  auto* start = static_cast<std::byte*>(numbers.data()) + begin * size_of(numbers.type());
  begin += shape.size();
  return {start, numbers.type(), shape, {.device = numbers.device()}};
}

View RowStore::Space::back(Shape shape) {
  end -= shape.size();
  auto* start = static_cast<std::byte*>(numbers.data()) + end * size_of(numbers.type());
  return {start, numbers.type(), shape, {.device = numbers.device()}};
}

void RowStore::clear() {
  count_ = 0;
  weighted_ = false;
  blocks_.clear();
  for (Space& space : spaces_) space = Space(space.numbers);
}

/// Whether the memory is laid out for `capacity` rows of such layers, in one piece.
bool RowStore::has_room(std::span<const LayerUse> blocks, std::int64_t capacity) const {
  if (capacity != capacity_ || blocks.size() != layers_.size() || !more_.empty()) return false;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto fits = [&](const Space& space, Shape shape) {
      return !space.numbers.empty() ? space.numbers.size() >= shape.size() : shape.size() == 0;
    };
    if (!fits(spaces_[2 * i], output_shape(blocks[i], capacity))) return false;
    if (!fits(spaces_[2 * i + 1], input_shape(blocks[i], capacity))) return false;
  }
  return true;
}

void RowStore::lay_out(const Context& context, std::span<const LayerUse> blocks,
                       std::int64_t capacity, ElementType type) {
  const std::int64_t needed = bytes_for(blocks, capacity, type);
  clear();
  spaces_.clear();
  layers_.clear();
  capacity_ = 0;
  // What a batch took beyond its layout becomes one piece, so that it serves any other batch.
  std::int64_t bytes = needed;
  if (!more_.empty()) {
    std::int64_t held = memory_.bytes();
    for (const Array& array : more_) held += array.view().size() * size_of(array.view().type());
    bytes = std::max(bytes, held);
  }
  if (memory_.bytes() < bytes) {
    const DeviceMemory& memory = context.state().memory();
    memory_.replace(memory);  // the old and the new together would be twice the memory
    for (Array& array : more_) memory_.outgrow(memory, array);
    more_.clear();
    memory_.replace(memory, context.array({(bytes + 7) / 8, 1}, ElementType::float64));
  }
  Carver carver(memory_.view().data(), memory_.view().device());
  b_ = StoreBuffers(carver, blocks, capacity, type);
  for (const Factors& factors : b_.layers) {
    spaces_.emplace_back(factors.output_score);
    spaces_.emplace_back(factors.input);
  }
  const std::int64_t left = (memory_.bytes() - carver.bytes()) / size_of(type);
  if (left > 0) spaces_.emplace_back(carver.take({left, 1}, type));
  layers_.assign(blocks.begin(), blocks.end());
  capacity_ = capacity;
}

void RowStore::reserve(const Context& context, std::span<const LayerUse> blocks,
                       std::int64_t capacity, ElementType type) {
  lay_out(context, blocks, capacity, type);
  largest_ = layers_;
}

/// Readies the memory for a batch whose first set has these layers.
void RowStore::begin(const Context& context, std::span<const LayerUse> blocks,
                     std::int64_t capacity, ElementType type) {
  if (!has_room(blocks, capacity)) {
    std::vector<LayerUse> largest(blocks.begin(), blocks.end());
    const bool same =
        std::equal(blocks.begin(), blocks.end(), largest_.begin(), largest_.end(),
                   [](const LayerUse& a, const LayerUse& b) {
                     return a.inputs == b.inputs && a.outputs == b.outputs && a.lookup == b.lookup;
                   });
    if (same) {
      for (std::size_t i = 0; i < largest.size(); ++i) note_terms(largest[i], largest_[i]);
    }
    // A plan knows one shape: what other batches needed takes memory that is there, or that this
    // batch was seen to need.
    const bool fits = bytes_for(largest, capacity, type) <= memory_.bytes() || !more_.empty();
    if (!fits) largest.assign(blocks.begin(), blocks.end());
    lay_out(context, largest, capacity, type);
    largest_ = std::move(largest);
  }
  clear();
  layers_.assign(blocks.begin(), blocks.end());
}

/// Memory for the factors of block `index` of a set: where its layer's rows of the sets before end,
/// if the memory was laid out for it.
StoreBuffers::Factors RowStore::place(const Context& context, std::span<const LayerUse> set,
                                      std::size_t index) {
  const LayerUse& block = set[index];
  const Shape output = output_shape(block, block.rows);
  const Shape input = input_shape(block, block.rows);
  // Uses of one weight in the same rows are as many layers that look alike: the k-th goes to the
  // k-th.
  auto before = std::count_if(set.begin(), set.begin() + static_cast<std::ptrdiff_t>(index),
                              [&](const LayerUse& other) { return same_layer(other, block); });
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (!same_layer(layers_[i], block) || before-- > 0) continue;
    Space& outputs = spaces_[2 * i];
    Space& inputs = spaces_[2 * i + 1];
    if (!outputs.has(output.size()) || !inputs.has(input.size())) break;
    Factors factors;
    factors.output_score = outputs.front(output);
    if (block.inputs > 0) factors.input = inputs.front(input);
    return factors;
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (same_parameters(layers_[i], block)) note_terms(largest_[i], block);
  }
  Factors factors;
  factors.output_score = place_elsewhere(context, block, output, false);
  if (block.inputs > 0) factors.input = place_elsewhere(context, block, input, true);
  return factors;
}

/// Memory for a factor that the layout does not know. What belongs to no layer comes first, so that
/// the layers' rows stay together; then what the same parameters were given, which is enough where
/// they take fewer numbers a row; then all else.
View RowStore::place_elsewhere(const Context& context, const LayerUse& block, Shape shape,
                               bool input) {
  const std::int64_t count = shape.size();
  for (std::size_t i = 2 * layers_.size(); i < spaces_.size(); ++i) {
    if (spaces_[i].has(count)) return spaces_[i].back(shape);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    Space& space = spaces_[2 * i + (input ? 1 : 0)];
    if (same_parameters(layers_[i], block) && space.has(count)) return space.back(shape);
  }
  for (Space& space : spaces_) {
    if (space.has(count)) return space.back(shape);
  }
  more_.push_back(context.array({count, 1}, block.output_score.type()));
  spaces_.emplace_back(more_.back().view());
  return spaces_.back().back(shape);
}

void RowStore::append_block(const Context& context, std::span<const LayerUse> set,
                            std::size_t index) {
  Factors to = place(context, set, index);
  LayerUse use = set[index];
  if (use.lookup) to.input = input_in(use, to.input);
  Backend& backend = context.state().backend();
  backend.copy(use.output_score, to.output_score);
  if (use.inputs > 0) backend.copy(use.input, to.input);
  use.first += count_;
  use.output_score = to.output_score;
  use.input = to.input;

  const auto before = std::find_if(blocks_.begin(), blocks_.end(),
                                   [&](const LayerUse& other) { return follows(other, use); });
  if (before != blocks_.end()) {
    use.first = before->first;
    use.rows += before->rows;
    use.output_score = with_rows(before->output_score, use.rows * use.terms);
    if (use.inputs > 0) {
      use.input = with_rows(before->input, use.rows / use.rows_per_input * use.terms);
    }
    blocks_.erase(before);
  }
  blocks_.push_back(use);
  choose_gram_way(blocks_, use.first + use.rows, backend.row_costs());
}

void RowStore::append(const ScoreSet& rows, std::span<const LayerUse> blocks,
                      std::int64_t capacity) {
  if (count_ + rows.size() > capacity) {
    throw ShapeError(message("accumulate: ", count_, " rows kept and ", rows.size(),
                             " more are beyond .samples = ", capacity, " of the dual form"));
  }
  const Context& context = rows.parameters().context();
  if (count_ == 0) begin(context, blocks, capacity, rows.parameters().type());

  Backend& backend = context.state().backend();
  const std::int64_t count = rows.size();
  before_.count = count_;
  before_.weighted = weighted_;
  before_.blocks = blocks_;
  before_.spaces = spaces_;
  before_.more = more_.size();
  try {
    for (std::size_t i = 0; i < blocks.size(); ++i) append_block(context, blocks, i);
    backend.copy(rows.scale(), b_.scale.row_range(count_, count));
    backend.copy(rows.rhs(), b_.rhs.row_range(count_, count));
    const View weights = b_.weights.row_range(count_, count);
    if (rows.set().weights.empty()) {
      backend.fill(rows.uniform_weight(), weights);
    } else {
      backend.copy(rows.set().weights, weights);
    }
  } catch (...) {
    undo();
    throw;
  }
  count_ += count;
  weighted_ = weighted_ || !rows.set().weights.empty();
}

void RowStore::undo() noexcept {
  count_ = before_.count;
  weighted_ = before_.weighted;
  blocks_.swap(before_.blocks);
  spaces_.swap(before_.spaces);
  more_.erase(more_.begin() + static_cast<std::ptrdiff_t>(before_.more), more_.end());
}

}  // namespace natgrad::detail
