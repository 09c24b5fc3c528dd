#pragma once

#include "kernels/cuda/launch.hpp"

#include <cstdint>
#include <span>

// What a product of floats on tensor cores needs beside cuBLAS, enqueued on a stream: factors split
// into two numbers of eleven significant bits, and the addresses of blocks of a product.

namespace natgrad::kernels {

/// Rows of split numbers as strings of halves, some pieces of columns at a time: a row holds a
/// string of each piece, lo | hi | hi | lo | hi, each `width` wide. `width` numbers of three from
/// the first on, times three from 2 `width` on, are then lo hi + hi lo + hi hi.
struct HalfStrings {
  Half* data;           // (rows, pieces 5 width), contiguous and aligned to 16 bytes
  std::int64_t width;   // columns of a piece, a multiple of 16
  std::int64_t pieces;  // at a time

  NATGRAD_FORMULA std::int64_t string() const { return 5 * width; }
  NATGRAD_FORMULA std::int64_t length() const { return pieces * string(); }  // of a row
};

/// A factor to split, and where its strings go.
struct FactorToSplit {
  Matrix<const float> from;
  HalfStrings to;
  std::int32_t* powers;  // of the rows
};
/// Factors that one launch splits.
inline constexpr int most_factors_to_split = 4;

/// Splits the columns of factors from `first` on, as many as `to` takes: x = 2^power (hi + lo) with
/// hi and lo of half precision, where the row's power makes the largest |hi| one of 2^14 to 2^15.
/// What is left of x is at most 2^-23 |x| or 2^-39 of the row's largest. Columns of the last piece
/// beyond those of `from` are 0; nothing is written of a piece without any. A row of zeros, or with
/// NaN or infinity, has power 0, and its NaN and infinity are hi, lo is 0; a power is no less than
/// -126. Powers are found for whole rows where `first` is 0, and read elsewhere. Costs another pass
/// over the rows then. At most `most_factors_to_split` factors.
void split_rows(Stream stream, std::span<const FactorToSplit> factors, std::int64_t first);

/// Square blocks of a product: of each row of blocks the first few. At most `most_rows` rows.
struct BlockStairs {
  static constexpr int most_rows = 64;
  std::int64_t size = 0;              // rows and columns of a block
  std::int64_t rows = 0;              // of blocks
  std::int64_t columns = 0;           // of the longest row
  std::int32_t ends[most_rows] = {};  // the number of blocks up to each row's end

  std::int64_t count() const { return rows == 0 ? 0 : ends[rows - 1]; }
};

/// Products of one shape of factors whose columns come in pieces. Those of the next product lie
/// equally far from the first one's.
template <class Factor>
struct PiecewiseProducts {
  Matrix<const Factor> left;  // the first piece
  Matrix<const Factor> right;
  float* product = nullptr;
  std::int64_t leading_dimension = 0;  // of a product
  std::int64_t pieces = 1;
  std::int64_t stride = 0;  // of either factor's pieces
  std::int64_t count = 1;
  std::int64_t next_left = 0;  // numbers from one product's to the next one's
  std::int64_t next_right = 0;
  std::int64_t next_product = 0;
};

/// Addresses of the factors and the product of each block.
struct BlockPointers {
  const void** left;   // (pieces, products, blocks)
  const void** right;  // the same
  void** product;      // (products, blocks)
};

/// Writes the addresses of the blocks of products = left right^T, row after row. `Factor` is float
/// or Half.
template <class Factor>
void point_to_blocks(Stream stream, const BlockStairs& blocks,
                     const PiecewiseProducts<Factor>& factors, const BlockPointers& pointers);

}  // namespace natgrad::kernels
