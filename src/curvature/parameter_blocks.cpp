#include "curvature/parameter_blocks.hpp"

#include "scores/gram_way.hpp"

#include <algorithm>

namespace natgrad::detail {

std::int64_t ParameterBlocks::Block::offset_among_all(std::int64_t offset) const {
  std::size_t i = 0;
  while (tensors[i].offset != offset) ++i;
  return offsets[i];
}

std::size_t ParameterBlocks::tensor_at(std::int64_t offset) const {
  const auto at = std::upper_bound(
      tensors_.begin(), tensors_.end(), offset,
      [](std::int64_t value, const ParameterTensor& tensor) { return value < tensor.offset; });
  return static_cast<std::size_t>(at - tensors_.begin()) - 1;
}

std::size_t ParameterBlocks::root(std::size_t tensor) const {
  while (roots_[tensor] != tensor) tensor = roots_[tensor];
  return tensor;
}

void ParameterBlocks::join(std::size_t a, std::size_t b) {
  a = root(a);
  b = root(b);
  roots_[std::max(a, b)] = std::min(a, b);
}

void ParameterBlocks::follow(std::span<const ParameterTensor> tensors) {
  tensors_.assign(tensors.begin(), tensors.end());
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    for (ParameterTensor& tensor : blocks_[owners_[i]].tensors) {
      if (tensor.offset == local_[i]) tensor.theta = tensors_[i].theta;
    }
  }
}

bool ParameterBlocks::divide(std::span<const ParameterTensor> tensors,
                             std::span<const LayerUse> uses,
                             const std::vector<std::vector<std::size_t>>& groups) {
  tensors_.assign(tensors.begin(), tensors.end());
  roots_.resize(tensors.size());
  for (std::size_t i = 0; i < roots_.size(); ++i) roots_[i] = i;
  for (const std::vector<std::size_t>& group : groups) {
    for (std::size_t tensor : group) join(group.front(), tensor);
  }
  if (groups.empty()) {
    for (const LayerUse& use : uses) {
      if (use.weight_offset < 0 || use.bias_offset < 0) continue;
      join(tensor_at(use.weight_offset), tensor_at(use.bias_offset));
    }
  }
  for (std::size_t i = 0; i < roots_.size(); ++i) roots_[i] = root(i);

  const bool same_sizes = std::equal(
      tensors_.begin(), tensors_.end(), sizes_before_.begin(), sizes_before_.end(),
      [](const ParameterTensor& tensor, std::int64_t size) { return tensor.theta.size() == size; });
  if (same_sizes && roots_ == roots_before_) {
    follow(tensors);
    return false;
  }
  build();
  return true;
}

void ParameterBlocks::build() {
  roots_before_.clear();  // nothing is known while what follows may throw
  blocks_.clear();
  owners_.assign(tensors_.size(), 0);
  local_.assign(tensors_.size(), 0);
  sizes_before_.clear();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const ParameterTensor& tensor = tensors_[i];
    if (roots_[i] == i) {
      owners_[i] = blocks_.size();
      blocks_.emplace_back();
    } else {
      owners_[i] = owners_[roots_[i]];
    }
    Block& block = blocks_[owners_[i]];
    local_[i] = block.size;
    block.tensors.push_back({.theta = tensor.theta, .offset = block.size, .l2 = tensor.l2});
    block.offsets.push_back(tensor.offset);
    block.adjacent = block.adjacent && tensor.offset == block.offsets.front() + block.size;
    block.size += tensor.theta.size();
    sizes_before_.push_back(tensor.theta.size());
  }
  roots_before_ = roots_;
}

void ParameterBlocks::distribute(std::span<const LayerUse> uses, std::int64_t rows,
                                 const RowCosts& costs) {
  for (Block& block : blocks_) {
    block.uses.clear();
    block.divided = false;
  }
  for (const LayerUse& use : uses) add(use);
  for (Block& block : blocks_) {
    if (!block.divided) continue;
    // The cheaper way to the Gram of a part may be another one; uses that share a parameter agree.
    for (std::size_t i = 1; i <= block.uses.size(); ++i) {
      choose_gram_way(std::span(block.uses).first(i), rows, costs);
    }
  }
}

void ParameterBlocks::add(const LayerUse& use) {
  if (use.weight_offset >= 0) {
    const std::size_t weight = tensor_at(use.weight_offset);
    Block& block = blocks_[owners_[weight]];
    LayerUse part = use;
    part.weight_offset = local_[weight];
    part.bias_offset = -1;
    bool whole = use.bias_offset < 0;
    if (use.bias_offset >= 0) {
      const std::size_t bias = tensor_at(use.bias_offset);
      whole = owners_[bias] == owners_[weight];
      if (whole) part.bias_offset = local_[bias];
    }
    block.uses.push_back(part);
    if (whole) return;
    block.divided = true;
  }
  if (use.bias_offset >= 0) add_columns(use);
}

/// The columns of the use that are its output scores themselves: one use for every run of tensors
/// in one block.
void ParameterBlocks::add_columns(const LayerUse& use) {
  const std::int64_t end = use.bias_offset + use.outputs;
  std::size_t next = tensor_at(use.bias_offset);
  while (next < tensors_.size() && tensors_[next].offset < end) {
    const std::size_t first = next;
    std::int64_t count = 0;
    for (; next < tensors_.size() && tensors_[next].offset < end && owners_[next] == owners_[first];
         ++next) {
      count += tensors_[next].theta.size();
    }
    LayerUse part = use;
    part.weight_offset = -1;
    part.inputs = 0;
    part.lookup = false;
    part.rows_per_input = 1;
    part.input = {};
    part.bias_offset = local_[first];
    part.outputs = count;
    if (!use.output_score.empty()) {
      part.output_score =
          column_range(use.output_score, tensors_[first].offset - use.bias_offset, count);
    }
    Block& block = blocks_[owners_[first]];
    block.uses.push_back(part);
    block.divided = block.divided || count != use.outputs || use.weight_offset >= 0;
  }
}

void take_part(Backend& backend, const ParameterBlocks::Block& block, const ConstView& all,
               const View& numbers) {
  if (block.adjacent) {
    return backend.copy(all.row_range(block.offsets.front(), block.size), numbers);
  }
  for (std::size_t i = 0; i < block.tensors.size(); ++i) {
    const ParameterTensor& tensor = block.tensors[i];
    backend.copy(all.row_range(block.offsets[i], tensor.theta.size()),
                 numbers.row_range(tensor.offset, tensor.theta.size()));
  }
}

void put_part(Backend& backend, const ParameterBlocks::Block& block, const ConstView& numbers,
              const View& all) {
  if (block.adjacent) {
    return backend.copy(numbers, all.row_range(block.offsets.front(), block.size));
  }
  for (std::size_t i = 0; i < block.tensors.size(); ++i) {
    const ParameterTensor& tensor = block.tensors[i];
    backend.copy(numbers.row_range(tensor.offset, tensor.theta.size()),
                 all.row_range(block.offsets[i], tensor.theta.size()));
  }
}

ConstView part_of(Backend& backend, const ParameterBlocks::Block& block, const ConstView& all,
                  const View& scratch) {
  if (block.adjacent) return all.row_range(block.offsets.front(), block.size);
  const View part = scratch.row_range(0, block.size);
  take_part(backend, block, all, part);
  return part;
}

ConstView column_range(const ConstView& matrix, std::int64_t first, std::int64_t count) {
  const auto* start = static_cast<const std::byte*>(matrix.data()) + first * size_of(matrix.type());
  return {start,
          matrix.type(),
          {matrix.rows(), count},
          {.leading_dimension = matrix.leading_dimension(), .device = matrix.device()}};
}

View column_range(const View& matrix, std::int64_t first, std::int64_t count) {
  auto* start = static_cast<std::byte*>(matrix.data()) + first * size_of(matrix.type());
  return {start,
          matrix.type(),
          {matrix.rows(), count},
          {.leading_dimension = matrix.leading_dimension(), .device = matrix.device()}};
}

}  // namespace natgrad::detail
