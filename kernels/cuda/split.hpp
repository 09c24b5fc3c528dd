#pragma once

#include "kernels/cuda/launch.hpp"

#include <cstdint>

// What a product of floats on TF32 tensor cores needs beside cuBLAS, enqueued on a stream: factors
// split into two numbers of eleven significant bits, and the addresses of blocks of a product.

namespace natgrad::kernels {

/// Splits a = hi + lo, hi and lo rounded to nearest TF32, so that a - hi - lo is at most 2^-22 |a|,
/// and writes each row of `from` as lo | hi | hi | lo | hi, each `width` wide (a multiple of 4, no
/// less than the columns; the rest is 0). A row of 3 `width` numbers from the first on, times one
/// from 2 `width` on, is then lo hi + hi lo + hi hi. NaN and infinity are hi, and lo is 0.
/// `to` (rows, 5 width), contiguous and aligned to 16 bytes.
void split_tf32(Stream stream, const Matrix<const float>& from, std::int64_t width, float* to);

/// Square blocks of a product: of each row of blocks the first few.
struct BlockStairs {
  static constexpr int most_rows = 64;
  std::int64_t size = 0;              // rows and columns of a block
  std::int64_t rows = 0;              // of blocks
  std::int64_t columns = 0;           // of the longest row
  std::int32_t ends[most_rows] = {};  // the number of blocks up to each row's end

  std::int64_t count() const { return rows == 0 ? 0 : ends[rows - 1]; }
};

/// Addresses of the factors and the product of each block.
struct BlockPointers {
  const void** left;
  const void** right;
  void** product;
};

/// Writes the addresses of the blocks of product = left right^T, row after row.
void point_to_blocks(Stream stream, const BlockStairs& blocks, const float* left,
                     std::int64_t left_leading_dimension, const float* right,
                     std::int64_t right_leading_dimension, float* product,
                     std::int64_t product_leading_dimension, const BlockPointers& pointers);

}  // namespace natgrad::kernels
