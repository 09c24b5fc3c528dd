#include "backend/cuda/triangle_products.hpp"

#include "kernels/cuda/split.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace natgrad::cuda {

namespace {

using kernels::Half;
using kernels::Matrix;
using kernels::PiecewiseProducts;

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

/// Products of one shape on tensor cores of which blocks below a diagonal are needed, one piece of
/// the factors' columns at a time: by square blocks in one call, and what remains at their ragged
/// edges in two more; or by rows.
template <class Factor>
class TensorProducts {
 public:
  TensorProducts(const PiecewiseProducts<Factor>& factors, const Needed& needed, std::int64_t block)
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
    const std::int64_t count = factors_.pieces * factors_.count * blocks_.count();
    pointers_ = {.left = const_cast<const void**>(addresses),
                 .right = const_cast<const void**>(addresses + count),
                 .product = addresses + 2 * count};
    kernels::point_to_blocks(work.stream, blocks_, factors_, pointers_);
  }

  /// A piece of some of the products. Adds where beta is 1.
  void multiply(const Work& work, std::int64_t piece, Range products, float beta) const {
    const auto multiply_part = [&](Range rows, Range columns) {
      this->multiply_part(work, piece, products, rows, columns, beta);
    };
    if (!by_blocks_) return for_each_row_piece(factors_.left.rows, needed_, multiply_part);
    const std::int64_t first = (piece * factors_.count + products.begin) * blocks_.count();
    work.blas.multiply_batched<Factor>(
        blocks_.size, blocks_.size, factors_.left.columns, pointers_.left + first,
        factors_.left.leading_dimension, pointers_.right + first, factors_.right.leading_dimension,
        beta, pointers_.product + products.begin * blocks_.count(), factors_.leading_dimension,
        products.size() * blocks_.count());
    const std::int64_t rows = factors_.left.rows;
    multiply_part({first_at_edge_, edge_row_}, {edge_column_, factors_.right.rows});
    if (edge_row_ < rows) multiply_part({edge_row_, rows}, {0, needed_(rows - 1)});
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

  /// Some rows and columns of them.
  void multiply_part(const Work& work, std::int64_t piece, Range products, Range rows,
                     Range columns, float beta) const {
    if (rows.empty() || columns.empty()) return;
    const auto series_of = [&](const Matrix<const Factor>& factor, std::int64_t next, Range own) {
      return MatrixSeries<const Factor>{factor.data + piece * factors_.stride +
                                            products.begin * next +
                                            own.begin * factor.leading_dimension,
                                        factor.leading_dimension, next};
    };
    float* const to = factors_.product + products.begin * factors_.next_product +
                      rows.begin * factors_.leading_dimension + columns.begin;
    work.blas.multiply<Factor>(rows.size(), columns.size(), factors_.left.columns,
                               series_of(factors_.left, factors_.next_left, rows),
                               series_of(factors_.right, factors_.next_right, columns), beta,
                               {to, factors_.leading_dimension, factors_.next_product},
                               products.size());
  }

  PiecewiseProducts<Factor> factors_;
  const Needed& needed_;
  bool by_blocks_ = false;
  std::int64_t edge_row_;  // where whole blocks end
  std::int64_t edge_column_;
  std::int64_t first_at_edge_;  // the first row of blocks that needs columns beyond them
  kernels::BlockStairs blocks_;
  kernels::BlockPointers pointers_{};
};

/// The two factors of a product, and where their strings go.
struct ProductFactors {
  kernels::FactorToSplit left;
  kernels::FactorToSplit right;
  bool shared;  // the left factor is some rows of the right one, and so are its strings
};

ProductFactors product_factors(const TriangleProduct<float>& product, std::int64_t width,
                               std::int64_t pieces) {
  const auto& [left, right, to, leading_dimension, needed] = product;
  ProductFactors factors{.left = {left, {to.split_left, width, pieces}, to.powers + right.rows},
                         .right = {right, {to.split_right, width, pieces}, to.powers},
                         .shared = false};
  const std::int64_t before = (left.data - right.data) / right.leading_dimension;
  factors.shared = left.leading_dimension == right.leading_dimension && left.data >= right.data &&
                   left.data == right.data + before * right.leading_dimension &&
                   before + left.rows <= right.rows;
  if (factors.shared) {
    factors.left.to.data = factors.right.to.data + before * factors.right.to.length();
    factors.left.powers = factors.right.powers + before;
  }
  return factors;
}

/// The factors of a product, or of two of one shape, some columns at a time, as strings of split
/// numbers. Two have pieces of one width, that of the wider ones.
class SplitProducts {
 public:
  SplitProducts(std::span<const TriangleProduct<float>> products, const GramRule& rule)
      : products_(products) {
    for (const TriangleProduct<float>& product : products_) {
      columns_ = std::max(columns_, product.left.columns);
      width_ = std::max(width_, rule.piece_width(product.left.columns));
    }
    pieces_ = std::min((columns_ + width_ - 1) / width_, rule.split_pieces);
    for (std::size_t i = 0; i < products_.size(); ++i) {
      factors_[i] = product_factors(products_[i], width_, pieces_);
    }
  }

  std::int64_t columns() const { return columns_; }
  std::int64_t columns_at_a_time() const { return pieces_ * width_; }
  std::int64_t width() const { return width_; }

  /// The products whose factors have this column.
  Range products_with(std::int64_t column) const {
    Range range{0, static_cast<std::int64_t>(products_.size())};
    while (products_[range.begin].left.columns <= column) ++range.begin;
    while (products_[range.end - 1].left.columns <= column) --range.end;
    return range;
  }

  /// Of strings lo, hi, hi and hi, lo, hi.
  PiecewiseProducts<Half> strings() const {
    const TriangleProduct<float>& product = products_.front();
    const ProductFactors& first = factors_.front();
    const ProductFactors& last = factors_[products_.size() - 1];
    const kernels::HalfStrings& right = first.right.to;
    return {.left = {first.left.to.data, product.left.rows, 3 * width_, right.length()},
            .right = {right.data + 2 * width_, product.right.rows, 3 * width_, right.length()},
            .product = product.to.numbers,
            .leading_dimension = product.leading_dimension,
            .pieces = pieces_,
            .stride = right.string(),
            .count = static_cast<std::int64_t>(products_.size()),
            .next_left = last.left.to.data - first.left.to.data,
            .next_right = last.right.to.data - right.data,
            .next_product = products_.back().to.numbers - product.to.numbers};
  }

  void split(const Work& work, std::int64_t first) const {
    std::array<kernels::FactorToSplit, kernels::most_factors_to_split> own{};
    std::size_t count = 0;
    for (std::size_t i = 0; i < products_.size(); ++i) {
      own[count++] = factors_[i].right;
      if (!factors_[i].shared) own[count++] = factors_[i].left;
    }
    kernels::split_rows(work.stream, {own.data(), count}, first);
  }

  kernels::FactorProduct<float> result(std::size_t i) const {
    const auto& [left, right, to, leading_dimension, needed] = products_[i];
    return {{to.numbers, left.rows, right.rows, leading_dimension},
            factors_[i].left.powers,
            factors_[i].right.powers};
  }

 private:
  std::span<const TriangleProduct<float>> products_;
  std::array<ProductFactors, 2> factors_{};
  std::int64_t columns_ = 0;  // of the longer factors
  std::int64_t width_ = 1;    // of a piece
  std::int64_t pieces_ = 0;   // at a time
};

/// The factors as they are, some columns at a time.
void multiply_tf32(const Work& work, const GramRule& rule, const TriangleProduct<float>& product,
                   void** addresses) {
  for_each_piece({0, product.left.columns}, rule.most_columns, [&](Range columns) {
    const auto columns_of = [&](const Matrix<const float>& factor) {
      return Matrix<const float>{factor.data + columns.begin, factor.rows, columns.size(),
                                 factor.leading_dimension};
    };
    TensorProducts<float> part({.left = columns_of(product.left),
                                .right = columns_of(product.right),
                                .product = product.to.numbers,
                                .leading_dimension = product.leading_dimension},
                               product.needed, rule.block);
    part.prepare(work, rule.least_blocks, addresses);
    part.multiply(work, 0, {0, 1}, columns.begin == 0 ? 0.0F : 1.0F);
  });
}

/// Sums the products' pieces.
void multiply_split(const Work& work, const GramRule& rule, const SplitProducts& factors,
                    const Needed& needed, void** addresses) {
  TensorProducts<Half> products(factors.strings(), needed, rule.block);
  products.prepare(work, rule.least_blocks, addresses);
  for_each_piece({0, factors.columns()}, factors.columns_at_a_time(), [&](Range columns) {
    factors.split(work, columns.begin);
    for_each_piece(columns, factors.width(), [&](Range piece) {
      products.multiply(work, (piece.begin - columns.begin) / factors.width(),
                        factors.products_with(piece.begin), piece.begin == 0 ? 0.0F : 1.0F);
    });
  });
}

}  // namespace

template <class T>
void multiply_rows(const Work& work, const TriangleProduct<T>& product, T beta, MathMode mode) {
  const Matrix<const T>& left = product.left;
  const Matrix<const T>& right = product.right;
  for_each_row_piece(left.rows, product.needed, [&](Range rows, Range columns) {
    work.blas.gemm<T>(Transpose::no, Transpose::yes, rows.size(), columns.size(), left.columns, 1,
                      left.data + rows.begin * left.leading_dimension, left.leading_dimension,
                      right.data, right.leading_dimension, beta,
                      product.to.numbers + rows.begin * product.leading_dimension,
                      product.leading_dimension, mode);
  });
}
template void multiply_rows<float>(const Work&, const TriangleProduct<float>&, float, MathMode);
template void multiply_rows<double>(const Work&, const TriangleProduct<double>&, double, MathMode);

kernels::FactorProduct<float> multiply_on_tensor_cores(const Work& work, const GramRule& rule,
                                                       const TriangleProduct<float>& product,
                                                       void** addresses) {
  if (work.mode == MathMode::tf32) {
    multiply_tf32(work, rule, product, addresses);
    return {{product.to.numbers, product.left.rows, product.right.rows, product.leading_dimension}};
  }
  const SplitProducts factors({&product, 1}, rule);
  multiply_split(work, rule, factors, product.needed, addresses);
  return factors.result(0);
}

std::array<kernels::FactorProduct<float>, 2> multiply_on_tensor_cores(
    const Work& work, const GramRule& rule, const std::array<TriangleProduct<float>, 2>& products,
    void** addresses) {
  const SplitProducts factors(products, rule);
  multiply_split(work, rule, factors, products[0].needed, addresses);
  return {factors.result(0), factors.result(1)};
}

}  // namespace natgrad::cuda
