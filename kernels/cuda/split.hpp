#pragma once

#include "kernels/cuda/launch.hpp"

#include <cstdint>

// What a product of floats on tensor cores needs beside cuBLAS, enqueued on a stream: factors split
// into two numbers of eleven significant bits, and the addresses of blocks of a product.

namespace natgrad::kernels {

/// Rows of split numbers, some pieces of columns at a time: a row holds a string of each piece,
/// lo | hi | hi | lo | hi, each `width` wide. `width` numbers of three from the first on, times
/// three from 2 `width` on, are then lo hi + hi lo + hi hi.
struct SplitRows {
  Half* data;           // (rows, pieces 5 width), contiguous and aligned to 16 bytes
  std::int64_t width;   // columns of a piece, a multiple of 16
  std::int64_t pieces;  // at a time

  NATGRAD_FORMULA std::int64_t string() const { return 5 * width; }
  NATGRAD_FORMULA std::int64_t length() const { return pieces * string(); }  // of a row
};

/// Splits the columns of `from` from `first` on, as many as `to` takes: x = 2^power (hi + lo) with
/// hi and lo of half precision, where the row's power makes the largest |hi| one of 2^14 to 2^15.
/// What is left of x is at most 2^-23 |x| or 2^-39 of the row's largest. Columns of the last piece
/// beyond those of `from` are 0. A row of zeros, or with NaN or infinity, has power 0, and its NaN
/// and infinity are hi, lo is 0; a power is no less than -126. Powers are found for whole rows
/// where `first` is 0, and read elsewhere. Costs another pass over the rows then.
void split_rows(Stream stream, const Matrix<const float>& from, std::int64_t first,
                const SplitRows& to, std::int32_t* powers);

/// Square blocks of a product: of each row of blocks the first few.
struct BlockStairs {
  static constexpr int most_rows = 64;
  std::int64_t size = 0;              // rows and columns of a block
  std::int64_t rows = 0;              // of blocks
  std::int64_t columns = 0;           // of the longest row
  std::int32_t ends[most_rows] = {};  // the number of blocks up to each row's end

  std::int64_t count() const { return rows == 0 ? 0 : ends[rows - 1]; }
};

/// A product of factors whose columns come in pieces.
template <class Factor>
struct PiecewiseProduct {
  Matrix<const Factor> left;  // the first piece
  Matrix<const Factor> right;
  float* product;
  std::int64_t leading_dimension;  // of the product
  std::int64_t pieces = 1;
  std::int64_t stride = 0;  // of either factor's pieces
};

/// Addresses of the factors and the product of each block.
struct BlockPointers {
  const void** left;   // (pieces, blocks)
  const void** right;  // the same
  void** product;      // (blocks)
};

/// Writes the addresses of the blocks of product = left right^T, row after row. `Factor` is float
/// or Half.
template <class Factor>
void point_to_blocks(Stream stream, const BlockStairs& blocks,
                     const PiecewiseProduct<Factor>& factors, const BlockPointers& pointers);

}  // namespace natgrad::kernels
