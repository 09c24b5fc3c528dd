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

/// The lanes of a row find its power, and split eight adjacent numbers at a time each. The blocks
/// along x take one factor each.
template <bool aligned>
struct SplitRows {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = RowLanes::block;
  static constexpr int together = 8;
  std::int64_t first;
  FactorToSplit factors[most_factors_to_split];  // that have columns from the first on

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const RowLanes lanes{thread};
    const FactorToSplit& factor = factors[thread.block.x];
    for (std::int64_t i = thread.row(); i < factor.from.rows; i += thread.rows()) {
      const std::int32_t power = first == 0 ? find_power(lanes, factor, i) : factor.powers[i];
      split(lanes, factor, i, from_bits<float>(static_cast<std::uint32_t>(127 - power) << 23));
    }
  }

 private:
  NATGRAD_DEVICE std::int32_t find_power(const RowLanes& lanes, const FactorToSplit& factor,
                                         std::int64_t i) const {
    std::uint32_t largest = 0;
    for (std::int64_t j = 4 * lanes.index(); j < factor.from.columns; j += 4 * lanes.count()) {
      const Pack<float, 4> quad = load(factor.from, i, j);
      for (int e = 0; e < 4; ++e) {
        const std::uint32_t size = to_bits(quad.elements[e]) & ~(1U << 31);
        largest = size > largest ? size : largest;
      }
    }
    const std::int32_t power = power_of_row(lanes.largest(largest));
    if (lanes.index() == 0) factor.powers[i] = power;
    return power;
  }

  NATGRAD_DEVICE void split(const RowLanes& lanes, const FactorToSplit& factor, std::int64_t i,
                            float scale) const {
    const auto& [from, to, powers] = factor;
    const auto width = static_cast<std::uint32_t>(to.width);
    const std::uint32_t packs = width / together;  // of a piece
    const std::int64_t columns =
        from.columns - first < to.pieces * to.width ? from.columns - first : to.pieces * to.width;
    const std::uint32_t pieces = (static_cast<std::uint32_t>(columns) + width - 1) / width;
    for (auto k = static_cast<std::uint32_t>(lanes.index()); k < packs * pieces;
         k += static_cast<std::uint32_t>(lanes.count())) {
      const std::uint32_t piece = k / packs;
      const std::uint32_t column = (k - piece * packs) * together;
      Pack<Half, together> high;
      Pack<Half, together> low;
      NATGRAD_UNROLL
      for (int quad = 0; quad < together; quad += 4) {
        const Pack<float, 4> x = load(from, i, first + piece * to.width + column + quad);
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

  NATGRAD_DEVICE static Pack<float, 4> load(const Matrix<const float>& from, std::int64_t i,
                                            std::int64_t j) {
    if (aligned && j + 4 <= from.columns) return read_pack<4>(from, i, j);
    Pack<float, 4> quad;
    for (int e = 0; e < 4; ++e) quad.elements[e] = j + e < from.columns ? from(i, j + e) : 0;
    return quad;
  }
};

template <bool aligned>
void launch_split(Stream stream, std::span<const FactorToSplit> factors, std::int64_t first) {
  SplitRows<aligned> kernel{.first = first, .factors = {}};
  unsigned count = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  for (const FactorToSplit& factor : factors) {
    if (factor.from.columns <= first) continue;
    kernel.factors[count++] = factor;
    rows = std::max(rows, factor.from.rows);
    columns = std::max(columns, factor.from.columns);
  }
  const Extent threads = RowLanes::threads(columns);
  launch(stream, {count, blocks_for(rows, threads.y)}, threads, kernel);
}

}  // namespace

void split_rows(Stream stream, std::span<const FactorToSplit> factors, std::int64_t first) {
  const bool aligned = std::ranges::all_of(factors, [](const FactorToSplit& factor) {
    return begins_with_packs<4>(factor.from, {factor.from.rows, factor.from.columns});
  });
  if (aligned)
    launch_split<true>(stream, factors, first);
  else
    launch_split<false>(stream, factors, first);
}

namespace {

template <class Factor>
struct PointToBlocks {
  BlockStairs blocks;
  PiecewiseProducts<Factor> factors;
  BlockPointers pointers;

  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t column) const {
    const std::int64_t group = column / blocks.columns;  // of a piece and a product
    const std::int64_t piece = group / factors.count;
    const std::int64_t product = group - piece * factors.count;
    const std::int64_t j = column - group * blocks.columns;
    const std::int64_t block = (i == 0 ? 0 : blocks.ends[i - 1]) + j;
    if (block >= blocks.ends[i]) return;
    const std::int64_t own = group * blocks.ends[blocks.rows - 1] + block;
    const std::int64_t first = piece * factors.stride;
    pointers.left[own] = &factors.left(i * blocks.size, first + product * factors.next_left);
    pointers.right[own] = &factors.right(j * blocks.size, first + product * factors.next_right);
    if (piece > 0) return;
    pointers.product[own] = factors.product + product * factors.next_product +
                            i * blocks.size * factors.leading_dimension + j * blocks.size;
  }
};

}  // namespace

template <class Factor>
void point_to_blocks(Stream stream, const BlockStairs& blocks,
                     const PiecewiseProducts<Factor>& factors, const BlockPointers& pointers) {
  map(stream, {blocks.rows, blocks.columns * factors.pieces * factors.count},
      PointToBlocks<Factor>{blocks, factors, pointers});
}

template void point_to_blocks<float>(Stream, const BlockStairs&, const PiecewiseProducts<float>&,
                                     const BlockPointers&);
template void point_to_blocks<Half>(Stream, const BlockStairs&, const PiecewiseProducts<Half>&,
                                    const BlockPointers&);

}  // namespace natgrad::kernels
