#pragma once

#include "kernels/cuda/cholesky.hpp"
#include "kernels/cuda/elementwise.hpp"

// What a thread computes of a step of the Cholesky factorization: the factor of a few pivots, and a
// part of a product of tiles.

namespace natgrad::kernels::cholesky_step {

constexpr int rows = cholesky_rows;  // of a step
constexpr int pivots = 4;            // that a block eliminates between two barriers
constexpr unsigned step_threads = 128;
constexpr int width = 2 * rows;  // columns of a tile
constexpr int quad = 4;          // elements of one access
constexpr int held = 8;          // rows, and columns, of a tile that a thread multiplies

using Float4 = Pack<float, quad>;
NATGRAD_DEVICE Float4 load4(const float* address) {
  return *reinterpret_cast<const Float4*>(address);
}
NATGRAD_DEVICE void store4(const Float4& value, float* address) {
  *reinterpret_cast<Float4*>(address) = value;
}

/// Cholesky of the next `pivots` rows and columns, P = L L^T, by every thread for itself.
struct PivotBlock {
  float inverse[pivots];        // 1 / L_ii
  float below[pivots][pivots];  // L_ij, j < i
  int failed;                   // the first pivot that is not positive, or `pivots`

  /// P's upper triangle stands in rows of `width` numbers.
  NATGRAD_DEVICE explicit PivotBlock(const float* P) : failed(pivots) {
    NATGRAD_UNROLL
    for (int i = 0; i < pivots; ++i) {
      const Float4 row = load4(P + i * width);
      float pivot = row.elements[i];
      NATGRAD_UNROLL
      for (int k = 0; k < i; ++k) pivot -= below[i][k] * below[i][k];
      if (!(pivot > 0) && failed == pivots) failed = i;
      inverse[i] = inverse_sqrt(pivot);
      NATGRAD_UNROLL
      for (int j = i + 1; j < pivots; ++j) {
        float entry = row.elements[j];
        NATGRAD_UNROLL
        for (int k = 0; k < i; ++k) entry -= below[i][k] * below[j][k];
        below[j][i] = entry * inverse[i];
      }
    }
  }

  /// x = L^-1 x.
  NATGRAD_DEVICE void forward(float* x) const {
    NATGRAD_UNROLL
    for (int i = 0; i < pivots; ++i) {
      NATGRAD_UNROLL
      for (int k = 0; k < i; ++k) x[i] -= below[i][k] * x[k];
      x[i] *= inverse[i];
    }
  }

  /// x = L^-T x.
  NATGRAD_DEVICE void backward(float* x) const {
    NATGRAD_UNROLL
    for (int i = pivots - 1; i >= 0; --i) {
      NATGRAD_UNROLL
      for (int k = i + 1; k < pivots; ++k) x[i] -= below[k][i] * x[k];
      x[i] *= inverse[i];
    }
  }
};

/// Where a thread's part of a tile of 64 rows and 128 columns stands: 8 rows by twice 4 columns.
/// The threads of a warp read 4 quads of rows and 8 neighbouring quads of columns, each at once.
struct TilePlace {
  int row;
  int column;  // and again 64 columns further

  NATGRAD_DEVICE explicit TilePlace(const Thread& thread) {
    constexpr int across = 8;  // threads of a warp
    constexpr int down = 4;
    const int lane = static_cast<int>(thread.index.x) % (across * down);
    const int warp = static_cast<int>(thread.index.x) / (across * down);
    row = (warp / 2 * down + lane / across) * held;
    column = (warp % 2 * across + lane % across) * quad;
  }
  NATGRAD_DEVICE int column_of(int half) const { return column + half * rows; }
};

/// sums -= left^T right, where left (64, 64) and right (64, 128) stand in shared memory.
class TileProduct {
 public:
  NATGRAD_DEVICE TileProduct(const TilePlace& place, const float* left, int left_stride,
                             const float* right)
      : left_(left + place.row), stride_(left_stride), right_(right + place.column) {}

  NATGRAD_DEVICE void subtract_from(Float4 (*sums)[2]) const {
    // What the next row multiplies is on its way while this one's products are subtracted.
    Factors even = row(0);
    for (int k = 0; k < rows; k += 2) {
      const Factors odd = row(k + 1);
      subtract(even, sums);
      even = row((k + 2) % rows);
      subtract(odd, sums);
    }
  }

 private:
  struct Factors {
    Float4 down[2];
    Float4 across[2];
  };

  NATGRAD_DEVICE Factors row(int k) const {
    Factors factors;
    NATGRAD_UNROLL
    for (int half = 0; half < 2; ++half) {
      factors.down[half] = load4(left_ + k * stride_ + half * quad);
      factors.across[half] = load4(right_ + k * width + half * rows);
    }
    return factors;
  }

  NATGRAD_DEVICE static void subtract(const Factors& factors, Float4 (*sums)[2]) {
    NATGRAD_UNROLL
    for (int i = 0; i < held; ++i) {
      NATGRAD_UNROLL
      for (int half = 0; half < 2; ++half) {
        NATGRAD_UNROLL
        for (int e = 0; e < quad; ++e) {
          sums[i][half].elements[e] -=
              factors.down[i / quad].elements[i % quad] * factors.across[half].elements[e];
        }
      }
    }
  }

  const float* left_;
  int stride_;
  const float* right_;
};

}  // namespace natgrad::kernels::cholesky_step
