#pragma once

#include "backend/backend.hpp"
#include "curvature/curvature.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// The tensors of the parameters in blocks, and the uses of layers as each block sees them.
class ParameterBlocks {
 public:
  struct Block {
    std::vector<ParameterTensor> tensors;  // in their order; offsets within the block
    std::vector<std::int64_t> offsets;     // of the same among all P numbers
    std::int64_t size = 0;                 // numbers of the block
    bool adjacent = true;                  // they follow each other among all P
    std::vector<LayerUse> uses;            // offsets within the block
    bool divided = false;                  // some use is the block's part of a larger one

    /// Where the tensor with this offset within the block stands among all P numbers.
    std::int64_t offset_among_all(std::int64_t offset) const;
  };

  /// Divides the tensors into `groups` (places in `tensors`, each in one group); without groups
  /// into the connected components of tensors that one use names as weight and bias. Returns
  /// whether the blocks are others than before; where they are not, nothing is allocated.
  /// Takes in where tensors lie now, of a division that stays.
  void follow(std::span<const ParameterTensor> tensors);
  bool divide(std::span<const ParameterTensor> tensors, std::span<const LayerUse> uses,
              const std::vector<std::vector<std::size_t>>& groups);

  /// Hands every use to the block of its parameters. A use whose weight and bias stand in different
  /// blocks becomes a use of each; dense rows become a range of columns for every run of tensors in
  /// one block. Uses without parameters are left out. `rows`: N of the set; `costs`: of the
  /// backend, for the Gram of parts.
  void distribute(std::span<const LayerUse> uses, std::int64_t rows, const RowCosts& costs);

  std::vector<Block>& blocks() { return blocks_; }
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  std::size_t tensor_at(std::int64_t offset) const;
  std::size_t root(std::size_t tensor) const;
  void join(std::size_t a, std::size_t b);
  void build();
  void add(const LayerUse& use);
  void add_columns(const LayerUse& use);

  std::vector<Block> blocks_;
  // One a tensor.
  std::vector<std::size_t> roots_;  // first tensor of its block
  std::vector<std::size_t> roots_before_;
  std::vector<std::size_t> owners_;         // its block
  std::vector<std::int64_t> local_;         // its offset there
  std::vector<ParameterTensor> tensors_;    // as given
  std::vector<std::int64_t> sizes_before_;  // what the blocks were built for
};

/// Copies the block's numbers out of `all` (P) to contiguous `numbers`, or back.
void take_part(Backend& backend, const ParameterBlocks::Block& block, const ConstView& all,
               const View& numbers);
void put_part(Backend& backend, const ParameterBlocks::Block& block, const ConstView& numbers,
              const View& all);

/// The block's numbers of `all` (P): a view of them where they are adjacent, else a copy in
/// `scratch` (of as many numbers or more) of the same type.
ConstView part_of(Backend& backend, const ParameterBlocks::Block& block, const ConstView& all,
                  const View& scratch);

/// Columns [first, first + count) of a matrix.
ConstView column_range(const ConstView& matrix, std::int64_t first, std::int64_t count);
View column_range(const View& matrix, std::int64_t first, std::int64_t count);

}  // namespace natgrad::detail
