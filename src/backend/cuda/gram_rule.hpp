#pragma once

#include <algorithm>
#include <cstdint>

namespace natgrad::cuda {

/// Rounds up to a multiple of 16 numbers, at which accesses of 16 bytes are aligned.
inline std::int64_t aligned_numbers(std::int64_t count) { return (count + 15) / 16 * 16; }

/// How the Gram multiplies its factors, float products on tensor cores among them. Tests take
/// smaller sizes.
struct GramRule {
  bool tensor_cores = true;  // where the device has those that the backend uses
  /// Terms of a use that are multiplied at a time, down and across K.
  std::int64_t tile_height = 2048;
  std::int64_t tile_width = 4096;
  /// Rows and columns of a block of a batched product, and blocks that fill a device. A tile has at
  /// most `kernels::BlockStairs::most_rows` blocks down.
  std::int64_t block = 512;
  std::int64_t least_blocks = 10;
  /// Columns of split numbers that tensor cores sum. They cut the sum that they add to, so that an
  /// error grows with the length of a sum: on an H200 a sum of positive numbers is 1e-6 of itself
  /// too small with 256 columns, 4e-6 with 1024.
  std::int64_t summed_columns = 256;
  /// Pieces that are split at a time, by one launch.
  std::int64_t split_pieces = 4;
  /// Columns of dense rows whose products a kernel adds to K at a time, and of one product in TF32.
  std::int64_t most_columns = 4096;
  /// Columns of a layer's factor. cuBLAS adds the products of its pieces, which loses about 1.2e-8
  /// of the sum a piece; beyond this many the products are strict.
  std::int64_t most_factor_columns = 32768;
  /// Narrower factors are not worth the splitting.
  std::int64_t least_columns = 64;
  /// Smaller products, by their multiplications, are as fast in strict float: 20 us on an H200.
  std::int64_t least_products = std::int64_t{1} << 29;

  /// Whether the product of two floats' factors, (m, k) and (n, k), is large enough for tensor
  /// cores. Monotone in m, n and k, on which the plan of scratch relies.
  bool takes(std::int64_t m, std::int64_t n, std::int64_t k) const {
    return tensor_cores && std::min(m, n) >= block && k >= least_columns &&
           static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) >=
               static_cast<double>(least_products);
  }

  /// Pieces of k columns, and the columns of each.
  std::int64_t pieces(std::int64_t k) const { return (k + summed_columns - 1) / summed_columns; }
  std::int64_t piece_width(std::int64_t k) const {
    return aligned_numbers((k + pieces(k) - 1) / pieces(k));
  }
  std::int64_t pieces_at_a_time(std::int64_t k) const { return std::min(pieces(k), split_pieces); }
  /// No less than are split at a time of k columns or fewer.
  std::int64_t most_split_columns(std::int64_t k) const {
    return pieces_at_a_time(k) * aligned_numbers(std::min(k, summed_columns));
  }
};

}  // namespace natgrad::cuda
