#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/row_lanes.hpp"
#include "kernels/cuda/split.hpp"
#include "kernels/formulas/elementary.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::kernels {

namespace {

using formulas::from_bits;
using formulas::to_bits;

constexpr std::uint32_t infinity = 0x7F800000U;

/// Of a row whose largest |x| has these bits: x 2^-power is below 2^15. No less than -126, for
/// 2^126 and its inverse are normal.
NATGRAD_DEVICE std::int32_t power_of_row(std::uint32_t largest) {
  if (largest == 0 || largest >= infinity) return 0;
  const std::int32_t power = static_cast<std::int32_t>(largest >> 23) - 127 - 14;
  return power < -126 ? -126 : power;
}

/// The lanes of a row find its power, and split eight adjacent numbers at a time each.
template <bool aligned>
struct SplitColumns {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = RowLanes::block;
  static constexpr int together = 8;
  Matrix<const float> from;
  std::int64_t first;
  SplitRows to;
  std::int64_t pieces;  // that have columns
  std::int32_t* powers;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const RowLanes lanes{thread};
    for (std::int64_t i = thread.row(); i < from.rows; i += thread.rows()) {
      const std::int32_t power = first == 0 ? find_power(lanes, i) : powers[i];
      split(lanes, i, from_bits<float>(static_cast<std::uint32_t>(127 - power) << 23));
    }
  }

 private:
  NATGRAD_DEVICE std::int32_t find_power(const RowLanes& lanes, std::int64_t i) const {
    std::uint32_t largest = 0;
    for (std::int64_t j = 4 * lanes.index(); j < from.columns; j += 4 * lanes.count()) {
      const Pack<float, 4> quad = load(i, j);
      for (int e = 0; e < 4; ++e) {
        const std::uint32_t size = to_bits(quad.elements[e]) & ~(1U << 31);
        largest = size > largest ? size : largest;
      }
    }
    const std::int32_t power = power_of_row(lanes.largest(largest));
    if (lanes.index() == 0) powers[i] = power;
    return power;
  }

  NATGRAD_DEVICE void split(const RowLanes& lanes, std::int64_t i, float scale) const {
    const auto packs = static_cast<std::uint32_t>(to.width / together);  // of a piece
    const auto all = packs * static_cast<std::uint32_t>(pieces);
    for (auto k = static_cast<std::uint32_t>(lanes.index()); k < all;
         k += static_cast<std::uint32_t>(lanes.count())) {
      const std::uint32_t piece = k / packs;
      const std::uint32_t column = (k - piece * packs) * together;
      Pack<Half, together> high;
      Pack<Half, together> low;
      NATGRAD_UNROLL
      for (int quad = 0; quad < together; quad += 4) {
        const Pack<float, 4> x = load(i, first + piece * to.width + column + quad);
        for (int e = 0; e < 4; ++e) {
          split_number(x.elements[e] * scale, high.elements[quad + e], low.elements[quad + e]);
        }
      }
      Half* string = to.data + i * to.length() + piece * to.string() + column;
      for (int part = 0; part < 5; ++part) {
        *reinterpret_cast<Pack<Half, together>*>(string + part * to.width) =
            part == 0 || part == 3 ? low : high;
      }
    }
  }

  NATGRAD_DEVICE static void split_number(float x, Half& high, Half& low) {
    high = to_half(x);
    const float rounded = to_float(high);
    const bool is_finite = (to_bits(rounded) & infinity) != infinity;
    low = to_half(is_finite ? x - rounded : 0.0F);
  }

  NATGRAD_DEVICE Pack<float, 4> load(std::int64_t i, std::int64_t j) const {
    if (aligned && j + 4 <= from.columns) return read_pack<4>(from, i, j);
    Pack<float, 4> quad;
    for (int e = 0; e < 4; ++e) quad.elements[e] = j + e < from.columns ? from(i, j + e) : 0;
    return quad;
  }
};

}  // namespace

void split_rows(Stream stream, const Matrix<const float>& from, std::int64_t first,
                const SplitRows& to, std::int32_t* powers) {
  const std::int64_t pieces = std::min(to.pieces, (from.columns - first + to.width - 1) / to.width);
  const Extent threads = RowLanes::threads(from.columns);
  const Extent blocks{1, blocks_for(from.rows, threads.y)};
  if (begins_with_packs<4>(from, {from.rows, from.columns}))
    launch(stream, blocks, threads, SplitColumns<true>{from, first, to, pieces, powers});
  else
    launch(stream, blocks, threads, SplitColumns<false>{from, first, to, pieces, powers});
}

namespace {

template <class Factor>
struct PointToBlocks {
  BlockStairs blocks;
  PiecewiseProduct<Factor> factors;
  BlockPointers pointers;

  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t column) const {
    const std::int64_t piece = column / blocks.columns;
    const std::int64_t j = column - piece * blocks.columns;
    const std::int64_t block = (i == 0 ? 0 : blocks.ends[i - 1]) + j;
    if (block >= blocks.ends[i]) return;
    const std::int64_t own = piece * blocks.ends[blocks.rows - 1] + block;
    pointers.left[own] = &factors.left(i * blocks.size, piece * factors.stride);
    pointers.right[own] = &factors.right(j * blocks.size, piece * factors.stride);
    if (piece > 0) return;
    pointers.product[block] =
        factors.product + i * blocks.size * factors.leading_dimension + j * blocks.size;
  }
};

}  // namespace

template <class Factor>
void point_to_blocks(Stream stream, const BlockStairs& blocks,
                     const PiecewiseProduct<Factor>& factors, const BlockPointers& pointers) {
  map(stream, {blocks.rows, blocks.columns * factors.pieces},
      PointToBlocks<Factor>{blocks, factors, pointers});
}

template void point_to_blocks<float>(Stream, const BlockStairs&, const PiecewiseProduct<float>&,
                                     const BlockPointers&);
template void point_to_blocks<Half>(Stream, const BlockStairs&, const PiecewiseProduct<Half>&,
                                    const BlockPointers&);

}  // namespace natgrad::kernels
