#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/split.hpp"
#include "kernels/formulas/elementary.hpp"

#include <cstdint>

namespace natgrad::kernels {

namespace {

using formulas::from_bits;
using formulas::to_bits;

constexpr std::uint32_t exponent_bits = 0x7F800000U;
constexpr std::uint32_t quiet_bit = 0x00400000U;
constexpr int dropped = 13;  // bits of a float's fraction that TF32 lacks
constexpr std::uint32_t kept_bits = ~((1U << dropped) - 1);

NATGRAD_DEVICE bool is_finite(float x) { return (to_bits(x) & exponent_bits) != exponent_bits; }

/// The nearest TF32, ties to even; the largest one for what would round to infinity.
NATGRAD_DEVICE float nearest_tf32(float x) {
  const std::uint32_t bits = to_bits(x);
  // A NaN whose bits are all dropped would become infinity.
  if (!is_finite(x)) return from_bits<float>(x == x ? bits : bits | quiet_bit);
  const std::uint32_t half = (1U << (dropped - 1)) - 1 + (bits >> dropped & 1U);
  const float rounded = from_bits<float>((bits + half) & kept_bits);
  return is_finite(rounded) ? rounded : from_bits<float>(bits & kept_bits);
}

/// Adjacent floats that one instruction reads or writes.
struct alignas(16) Quad {
  float elements[4];
};

/// A thread splits four adjacent numbers.
template <bool aligned>
struct SplitTf32 {
  Matrix<const float> from;
  std::int64_t width;
  float* to;

  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t quad) const {
    const std::int64_t column = 4 * quad;
    const Quad numbers = load(i, column);
    Quad high;
    Quad low;
    for (int e = 0; e < 4; ++e) {
      const float number = numbers.elements[e];
      high.elements[e] = nearest_tf32(number);
      low.elements[e] = is_finite(number) ? nearest_tf32(number - high.elements[e]) : 0;
    }
    float* string = to + i * 5 * width + column;
    for (int part = 0; part < 5; ++part) {
      *reinterpret_cast<Quad*>(string + part * width) = part == 0 || part == 3 ? low : high;
    }
  }

 private:
  NATGRAD_DEVICE Quad load(std::int64_t i, std::int64_t column) const {
    if (aligned && column + 4 <= from.columns) {
      return *reinterpret_cast<const Quad*>(&from(i, column));
    }
    Quad numbers;
    for (int e = 0; e < 4; ++e) {
      numbers.elements[e] = column + e < from.columns ? from(i, column + e) : 0;
    }
    return numbers;
  }
};

}  // namespace

void split_tf32(Stream stream, const Matrix<const float>& from, std::int64_t width, float* to) {
  const Elements quads{from.rows, width / 4};
  const bool aligned = reinterpret_cast<std::uintptr_t>(from.data) % sizeof(Quad) == 0 &&
                       from.leading_dimension % 4 == 0;
  if (aligned)
    map(stream, quads, SplitTf32<true>{from, width, to});
  else
    map(stream, quads, SplitTf32<false>{from, width, to});
}

namespace {

struct PointToBlocks {
  BlockStairs blocks;
  const float* left;
  std::int64_t left_leading_dimension;
  const float* right;
  std::int64_t right_leading_dimension;
  float* product;
  std::int64_t product_leading_dimension;
  BlockPointers pointers;

  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    const std::int64_t block = (i == 0 ? 0 : blocks.ends[i - 1]) + j;
    if (block >= blocks.ends[i]) return;
    const std::int64_t row = i * blocks.size;
    const std::int64_t column = j * blocks.size;
    pointers.left[block] = left + row * left_leading_dimension;
    pointers.right[block] = right + column * right_leading_dimension;
    pointers.product[block] = product + row * product_leading_dimension + column;
  }
};

}  // namespace

void point_to_blocks(Stream stream, const BlockStairs& blocks, const float* left,
                     std::int64_t left_leading_dimension, const float* right,
                     std::int64_t right_leading_dimension, float* product,
                     std::int64_t product_leading_dimension, const BlockPointers& pointers) {
  map(stream, {blocks.rows, blocks.columns},
      PointToBlocks{blocks, left, left_leading_dimension, right, right_leading_dimension, product,
                    product_leading_dimension, pointers});
}

}  // namespace natgrad::kernels
