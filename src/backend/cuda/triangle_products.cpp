#include "backend/cuda/triangle_products.hpp"

#include "kernels/cuda/split.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::cuda {

namespace {

using kernels::Matrix;

/// Rows of a product that fill a device.
constexpr std::int64_t rows_at_a_time = 1024;

/// Some rows and columns of a product.
template <class T>
void multiply_part(const Work& work, const TriangleProduct<T>& product, Range rows, Range columns,
                   T beta, MathMode mode) {
  if (rows.empty() || columns.empty()) return;
  const auto& [left, right, to, leading_dimension, needed] = product;
  work.blas.gemm<T>(Transpose::no, Transpose::yes, rows.size(), columns.size(), left.columns, 1,
                    left.data + rows.begin * left.leading_dimension, left.leading_dimension,
                    right.data + columns.begin * right.leading_dimension, right.leading_dimension,
                    beta, to + rows.begin * leading_dimension + columns.begin, leading_dimension,
                    mode);
}

/// A product by square blocks in one call, and what remains at its ragged edges in two more.
class BlockedProduct {
 public:
  BlockedProduct(const TriangleProduct<float>& product, std::int64_t block)
      : product_(product),
        edge_row_(product.left.rows / block * block),
        edge_column_(product.right.rows / block * block),
        first_at_edge_(edge_row_) {
    blocks_.size = block;
    blocks_.rows = edge_row_ / block;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < blocks_.rows; ++i) {
      const std::int64_t needed = product.needed((i + 1) * block - 1);
      blocks_.columns = (std::min(needed, edge_column_) + block - 1) / block;
      count += blocks_.columns;
      blocks_.ends[i] = static_cast<std::int32_t>(count);
      if (needed > edge_column_) first_at_edge_ = std::min(first_at_edge_, i * block);
    }
  }

  /// Whether the blocks fill a device, and leave out much. They must be aligned: a batched call
  /// does not see addresses that lie on the device, and cuBLAS asks for it.
  bool is_worthwhile(std::int64_t least_blocks) const {
    if (!is_aligned(product_.left) || !is_aligned(product_.right)) return false;
    const std::int64_t all = blocks_.rows * (edge_column_ / blocks_.size);
    return blocks_.count() >= least_blocks && 4 * blocks_.count() <= 3 * all;
  }

  /// Writes the blocks' addresses to this memory of the device.
  void point(const Work& work, void** addresses) {
    const std::int64_t count = blocks_.count();
    pointers_ = {.left = const_cast<const void**>(addresses),
                 .right = const_cast<const void**>(addresses + count),
                 .product = addresses + 2 * count};
    const auto& [left, right, to, leading_dimension, needed] = product_;
    kernels::point_to_blocks(work.stream, blocks_, left.data, left.leading_dimension, right.data,
                             right.leading_dimension, to, leading_dimension, pointers_);
  }

  void multiply(const Work& work, float beta) const {
    const auto& [left, right, to, leading_dimension, needed] = product_;
    work.blas.gemm_batched(blocks_.size, blocks_.size, left.columns, pointers_.left,
                           left.leading_dimension, pointers_.right, right.leading_dimension, beta,
                           pointers_.product, leading_dimension, blocks_.count(), MathMode::tf32);
    multiply_part(work, product_, {first_at_edge_, edge_row_}, {edge_column_, right.rows}, beta,
                  MathMode::tf32);
    if (edge_row_ == left.rows) return;
    multiply_part(work, product_, {edge_row_, left.rows}, {0, needed(left.rows - 1)}, beta,
                  MathMode::tf32);
  }

 private:
  static bool is_aligned(const Matrix<const float>& factor) {
    return reinterpret_cast<std::uintptr_t>(factor.data) % 16 == 0 &&
           factor.leading_dimension % 4 == 0;
  }

  TriangleProduct<float> product_;
  std::int64_t edge_row_;  // where whole blocks end
  std::int64_t edge_column_;
  std::int64_t first_at_edge_;  // the first row of blocks that needs columns beyond them
  kernels::BlockStairs blocks_;
  kernels::BlockPointers pointers_{};
};

/// The two factors of a product, some columns at a time, as strings of split numbers.
class SplitFactors {
 public:
  SplitFactors(const TriangleProduct<float>& product, std::int64_t width,
               const TileScratch<float>& scratch)
      : left_(product.left),
        right_(product.right),
        width_(width),
        split_left_(scratch.split_left),
        split_right_(scratch.split_right) {
    const std::int64_t before = (left_.data - right_.data) / right_.leading_dimension;
    shared_ = left_.leading_dimension == right_.leading_dimension && left_.data >= right_.data &&
              left_.data == right_.data + before * right_.leading_dimension &&
              before + left_.rows <= right_.rows;
    if (shared_) split_left_ = split_right_ + before * 5 * width;
  }

  /// lo, hi, hi and hi, lo, hi.
  Matrix<const float> left() const { return {split_left_, left_.rows, 3 * width_, 5 * width_}; }
  Matrix<const float> right() const {
    return {split_right_ + 2 * width_, right_.rows, 3 * width_, 5 * width_};
  }

  void split(const Work& work, std::int64_t first) const {
    kernels::split_tf32(work.stream, columns_from(first, right_), width_, split_right_);
    if (shared_) return;
    kernels::split_tf32(work.stream, columns_from(first, left_), width_, split_left_);
  }

 private:
  Matrix<const float> columns_from(std::int64_t first, const Matrix<const float>& factor) const {
    return {factor.data + first, factor.rows, std::min(width_, factor.columns - first),
            factor.leading_dimension};
  }

  Matrix<const float> left_;
  Matrix<const float> right_;
  std::int64_t width_;
  bool shared_;  // the left factor is some rows of the right one
  float* split_left_;
  float* split_right_;
};

}  // namespace

template <class T>
void multiply_rows(const Work& work, const TriangleProduct<T>& product, T beta, MathMode mode) {
  for_each_piece({0, product.left.rows}, rows_at_a_time, [&](Range rows) {
    multiply_part(work, product, rows, {0, product.needed(rows.end - 1)}, beta, mode);
  });
}
template void multiply_rows<float>(const Work&, const TriangleProduct<float>&, float, MathMode);
template void multiply_rows<double>(const Work&, const TriangleProduct<double>&, double, MathMode);

void multiply_on_tensor_cores(const Work& work, const GramRule& rule,
                              const TriangleProduct<float>& product,
                              const TileScratch<float>& scratch) {
  const std::int64_t columns = product.left.columns;
  const std::int64_t width = rule.split_width(columns);
  const bool splits = work.mode == MathMode::strict;
  const SplitFactors factors(product, width, scratch);
  TriangleProduct<float> operands = product;
  if (splits) {
    operands.left = factors.left();
    operands.right = factors.right();
  }
  BlockedProduct blocked(operands, rule.block);
  const bool by_blocks = blocked.is_worthwhile(rule.least_blocks);
  if (by_blocks) blocked.point(work, scratch.addresses);
  const auto multiply = [&](float beta) {
    if (by_blocks)
      blocked.multiply(work, beta);
    else
      multiply_rows(work, operands, beta, MathMode::tf32);
  };
  if (!splits) return multiply(0);
  for (std::int64_t first = 0; first < columns; first += width) {
    factors.split(work, first);
    multiply(first == 0 ? 0.0F : 1.0F);
  }
}

}  // namespace natgrad::cuda
