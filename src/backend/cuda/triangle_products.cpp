#include "backend/cuda/triangle_products.hpp"

#include "kernels/cuda/split.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::cuda {

namespace {

using kernels::Half;
using kernels::Matrix;
using kernels::PiecewiseProduct;

using Needed = std::function<std::int64_t(std::int64_t)>;  // columns of a product, of its row

/// Rows of a product that fill a device.
constexpr std::int64_t rows_at_a_time = 1024;

/// Calls body(rows, columns) for pieces of the rows of a product, with the columns that they need.
template <class Body>
void for_each_row_piece(std::int64_t rows, const Needed& needed, const Body& body) {
  for_each_piece({0, rows}, rows_at_a_time, [&](Range piece) {
    const Range columns{0, needed(piece.end - 1)};
    if (!columns.empty()) body(piece, columns);
  });
}

/// A product on tensor cores of which blocks below a diagonal are needed, one piece of the factors'
/// columns at a time: by square blocks in one call, and what remains at its ragged edges in two
/// more; or by rows.
template <class Factor>
class TensorProduct {
 public:
  TensorProduct(const PiecewiseProduct<Factor>& factors, const Needed& needed, std::int64_t block)
      : factors_(factors),
        needed_(needed),
        edge_row_(factors.left.rows / block * block),
        edge_column_(factors.right.rows / block * block),
        first_at_edge_(edge_row_) {
    blocks_.size = block;
    blocks_.rows = edge_row_ / block;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < blocks_.rows; ++i) {
      const std::int64_t columns = needed((i + 1) * block - 1);
      blocks_.columns = (std::min(columns, edge_column_) + block - 1) / block;
      count += blocks_.columns;
      blocks_.ends[i] = static_cast<std::int32_t>(count);
      if (columns > edge_column_) first_at_edge_ = std::min(first_at_edge_, i * block);
    }
  }

  /// Writes the blocks' addresses to this memory of the device, where it multiplies by blocks.
  void prepare(const Work& work, std::int64_t least_blocks, void** addresses) {
    by_blocks_ = has_worthwhile_blocks(least_blocks);
    if (!by_blocks_) return;
    const std::int64_t count = factors_.pieces * blocks_.count();
    pointers_ = {.left = const_cast<const void**>(addresses),
                 .right = const_cast<const void**>(addresses + count),
                 .product = addresses + 2 * count};
    kernels::point_to_blocks(work.stream, blocks_, factors_, pointers_);
  }

  /// Adds where beta is 1.
  void multiply(const Work& work, std::int64_t piece, float beta) const {
    if (!by_blocks_) {
      for_each_row_piece(factors_.left.rows, needed_, [&](Range rows, Range columns) {
        multiply_part(work, piece, rows, columns, beta);
      });
      return;
    }
    const auto& [left, right, product, leading_dimension, pieces, stride] = factors_;
    const std::int64_t first = piece * blocks_.count();
    work.blas.multiply_batched<Factor>(blocks_.size, blocks_.size, left.columns,
                                       pointers_.left + first, left.leading_dimension,
                                       pointers_.right + first, right.leading_dimension, beta,
                                       pointers_.product, leading_dimension, blocks_.count());
    multiply_part(work, piece, {first_at_edge_, edge_row_}, {edge_column_, right.rows}, beta);
    if (edge_row_ == left.rows) return;
    multiply_part(work, piece, {edge_row_, left.rows}, {0, needed_(left.rows - 1)}, beta);
  }

 private:
  /// Whether the blocks fill a device, and leave out much. They must be aligned: a batched call
  /// does not see addresses that lie on the device, and cuBLAS asks for it.
  bool has_worthwhile_blocks(std::int64_t least_blocks) const {
    if (!is_aligned(factors_.left) || !is_aligned(factors_.right)) return false;
    const std::int64_t all = blocks_.rows * (edge_column_ / blocks_.size);
    return blocks_.count() >= least_blocks && 4 * blocks_.count() <= 3 * all;
  }

  static bool is_aligned(const Matrix<const Factor>& factor) {
    return reinterpret_cast<std::uintptr_t>(factor.data) % 16 == 0 &&
           factor.leading_dimension % (16 / std::int64_t{sizeof(Factor)}) == 0;
  }

  /// Some rows and columns of the product.
  void multiply_part(const Work& work, std::int64_t piece, Range rows, Range columns,
                     float beta) const {
    if (rows.empty() || columns.empty()) return;
    const auto& [left, right, product, leading_dimension, pieces, stride] = factors_;
    work.blas.multiply<Factor>(
        rows.size(), columns.size(), left.columns,
        left.data + piece * stride + rows.begin * left.leading_dimension, left.leading_dimension,
        right.data + piece * stride + columns.begin * right.leading_dimension,
        right.leading_dimension, beta, product + rows.begin * leading_dimension + columns.begin,
        leading_dimension);
  }

  PiecewiseProduct<Factor> factors_;
  const Needed& needed_;
  bool by_blocks_ = false;
  std::int64_t edge_row_;  // where whole blocks end
  std::int64_t edge_column_;
  std::int64_t first_at_edge_;  // the first row of blocks that needs columns beyond them
  kernels::BlockStairs blocks_;
  kernels::BlockPointers pointers_{};
};

/// The two factors of a product, some columns at a time, as strings of split numbers.
class SplitFactors {
 public:
  SplitFactors(const TriangleProduct<float>& product, const GramRule& rule,
               const TileScratch<float>& scratch, std::int32_t* powers)
      : left_(product.left),
        right_(product.right),
        width_(rule.piece_width(left_.columns)),
        pieces_(rule.pieces_at_a_time(left_.columns)),
        split_left_{scratch.split_left, width_, pieces_},
        split_right_{scratch.split_right, width_, pieces_},
        left_powers_(powers + right_.rows),
        right_powers_(powers) {
    const std::int64_t before = (left_.data - right_.data) / right_.leading_dimension;
    shared_ = left_.leading_dimension == right_.leading_dimension && left_.data >= right_.data &&
              left_.data == right_.data + before * right_.leading_dimension &&
              before + left_.rows <= right_.rows;
    if (!shared_) return;
    split_left_.data = split_right_.data + before * split_right_.length();
    left_powers_ = right_powers_ + before;
  }

  std::int64_t columns_at_a_time() const { return pieces_ * width_; }
  std::int64_t width() const { return width_; }
  const std::int32_t* left_powers() const { return left_powers_; }
  const std::int32_t* right_powers() const { return right_powers_; }

  /// Of strings lo, hi, hi and hi, lo, hi.
  PiecewiseProduct<Half> strings(float* product, std::int64_t leading_dimension) const {
    const std::int64_t length = split_right_.length();
    return {.left = {split_left_.data, left_.rows, 3 * width_, length},
            .right = {split_right_.data + 2 * width_, right_.rows, 3 * width_, length},
            .product = product,
            .leading_dimension = leading_dimension,
            .pieces = pieces_,
            .stride = split_right_.string()};
  }

  void split(const Work& work, std::int64_t first) const {
    kernels::split_rows(work.stream, right_, first, split_right_, right_powers_);
    if (shared_) return;
    kernels::split_rows(work.stream, left_, first, split_left_, left_powers_);
  }

 private:
  Matrix<const float> left_;
  Matrix<const float> right_;
  std::int64_t width_;   // of a piece
  std::int64_t pieces_;  // at a time
  bool shared_;          // the left factor is some rows of the right one
  kernels::SplitRows split_left_;
  kernels::SplitRows split_right_;
  std::int32_t* left_powers_;
  std::int32_t* right_powers_;
};

}  // namespace

template <class T>
void multiply_rows(const Work& work, const TriangleProduct<T>& product, T beta, MathMode mode) {
  const auto& [left, right, to, leading_dimension, needed] = product;
  for_each_row_piece(left.rows, needed, [&](Range rows, Range columns) {
    work.blas.gemm<T>(Transpose::no, Transpose::yes, rows.size(), columns.size(), left.columns, 1,
                      left.data + rows.begin * left.leading_dimension, left.leading_dimension,
                      right.data, right.leading_dimension, beta,
                      to + rows.begin * leading_dimension, leading_dimension, mode);
  });
}
template void multiply_rows<float>(const Work&, const TriangleProduct<float>&, float, MathMode);
template void multiply_rows<double>(const Work&, const TriangleProduct<double>&, double, MathMode);

kernels::FactorProduct<float> multiply_on_tensor_cores(const Work& work, const GramRule& rule,
                                                       const TriangleProduct<float>& product,
                                                       const TileScratch<float>& scratch,
                                                       std::int32_t* powers) {
  const auto& [left, right, to, leading_dimension, needed] = product;
  const Matrix<const float> result{to, left.rows, right.rows, leading_dimension};
  if (work.mode == MathMode::tf32) {
    TensorProduct<float> whole(
        {.left = left, .right = right, .product = to, .leading_dimension = leading_dimension},
        needed, rule.block);
    whole.prepare(work, rule.least_blocks, scratch.addresses);
    whole.multiply(work, 0, 0);
    return {result};
  }
  const SplitFactors factors(product, rule, scratch, powers);
  TensorProduct<Half> pieces(factors.strings(to, leading_dimension), needed, rule.block);
  pieces.prepare(work, rule.least_blocks, scratch.addresses);
  for_each_piece({0, left.columns}, factors.columns_at_a_time(), [&](Range columns) {
    factors.split(work, columns.begin);
    for_each_piece(columns, factors.width(), [&](Range piece) {
      pieces.multiply(work, (piece.begin - columns.begin) / factors.width(),
                      piece.begin == 0 ? 0.0F : 1.0F);
    });
  });
  return {result, factors.left_powers(), factors.right_powers()};
}

}  // namespace natgrad::cuda
