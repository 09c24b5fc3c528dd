#include "kernels/cuda/cholesky.hpp"
#include "kernels/cuda/relay.hpp"

namespace natgrad::kernels {

namespace {

constexpr int rows = cholesky_rows;  // of a block
constexpr unsigned solve_threads = 256;
constexpr int groups = solve_threads / rows;  // threads that share one unknown
constexpr int shared_terms = rows / groups;   // of a product with 64 numbers, for each of them

/// A thread's part of U_pp^T y = r, or of U_pp y = r, with 64 unknowns: of unknown i, 16 terms.
template <bool transposed>
class DiagonalBlock {
 public:
  NATGRAD_DEVICE DiagonalBlock(const Thread& thread, const float* diagonal, const float* inverse)
      : i_(static_cast<int>(thread.index.x) % rows),
        first_(static_cast<int>(thread.index.x) / rows * shared_terms) {
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) {
      const int l = first_ + k;
      const bool inside = transposed ? l <= i_ : l >= i_;
      const int element = transposed ? l * rows + i_ : i_ * rows + l;
      factor_[k] = inside ? diagonal[element] : 0;
      inverse_[k] = inverse[transposed ? i_ * rows + l : l * rows + i_];
    }
  }

  NATGRAD_DEVICE int unknown() const { return i_; }
  NATGRAD_DEVICE bool is_first() const { return first_ == 0; }

  /// y_i from r in shared memory. The inverse alone would leave a residual as large as the
  /// condition number of U_pp, which one step of refinement takes away.
  NATGRAD_DEVICE float solve(const float* r) const {
    float* const numbers = shared_array<float, 2 * rows, 2>();
    float y = sum<0>(inverse_, r);
    if (is_first()) numbers[i_] = y;
    barrier();
    const float residual = r[i_] - sum<1>(factor_, numbers);
    if (is_first()) numbers[rows + i_] = residual;
    barrier();
    return y + sum<2>(inverse_, numbers + rows);
  }

 private:
  template <int buffer>
  NATGRAD_DEVICE float sum(const float* factors, const float* numbers) const {
    float* const parts = shared_array<float, 3 * solve_threads, 3>() + buffer * solve_threads;
    float part = 0;
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) part += factors[k] * numbers[first_ + k];
    parts[first_ / shared_terms * rows + i_] = part;
    barrier();
    float all = 0;
    NATGRAD_UNROLL
    for (int group = 0; group < groups; ++group) all += parts[group * rows + i_];
    return all;
  }

  int i_;
  int first_;
  float factor_[shared_terms];
  float inverse_[shared_terms];
};

/// y = U^-T b, 64 unknowns a block.
struct SolveForward {
  static constexpr bool synchronizes = true;
  Matrix<const float> U;
  const float* diagonal;
  const float* inverse;
  const float* b;
  Relay y;
  Relay x;  // of the solve that follows

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    float* const sums = shared_array<float, solve_threads>();
    float* const right = shared_array<float, rows>();
    const std::int64_t p = y.take(thread);
    x.clear(thread, p);
    const DiagonalBlock<true> block(thread, diagonal + p * rows * rows, inverse + p * rows * rows);
    const int i = block.unknown();
    const int group = static_cast<int>(thread.index.x) / rows;
    const std::int64_t j = p * rows + i;
    const bool inside = j < U.columns;
    float sum = inside && group == 0 ? b[j] : 0;
    for (std::int64_t q = 0; q < p; ++q) {
      const std::int64_t row = q * rows + group * shared_terms;
      float u[shared_terms];
      NATGRAD_UNROLL
      for (int k = 0; k < shared_terms; ++k) u[k] = inside ? U(row + k, j) : 0;
      float found[shared_terms];
      await<shared_terms>(y.numbers + row, found);
      NATGRAD_UNROLL
      for (int k = 0; k < shared_terms; ++k) sum -= u[k] * found[k];
    }
    sums[thread.index.x] = sum;
    barrier();
    if (group == 0) {
      NATGRAD_UNROLL
      for (int g = 1; g < groups; ++g) sum += sums[g * rows + i];
      right[i] = sum;
    }
    barrier();
    const float own = block.solve(right);
    if (group == 0) publish(own, y.numbers + j);
  }
};

/// x = U^-1 y, 64 unknowns a block, the last ones first; x takes the place of b.
struct SolveBackward {
  static constexpr bool synchronizes = true;
  static constexpr int down = solve_threads / 32;  // rows that are taken at once, a warp each
  static constexpr int held_rows = rows / down;    // rows of a thread
  Matrix<const float> U;
  const float* diagonal;
  const float* inverse;
  float* b;
  std::int64_t blocks;
  Relay x;
  Relay y;  // of the solve before

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    float* const sums = shared_array<float, rows * 33>();
    float* const right = shared_array<float, rows>();
    const std::int64_t p = blocks - 1 - x.take(thread);
    const DiagonalBlock<false> block(thread, diagonal + p * rows * rows, inverse + p * rows * rows);
    const int lane = static_cast<int>(thread.index.x) % 32;
    const int warp = static_cast<int>(thread.index.x) / 32;
    float sum[held_rows] = {};
    for (std::int64_t q = blocks - 1; q > p; --q) {
      const std::int64_t j = q * rows + lane;
      const bool first = j < U.columns;
      const bool second = j + 32 < U.columns;
      float u[held_rows][2];
      NATGRAD_UNROLL
      for (int r = 0; r < held_rows; ++r) {
        const std::int64_t row = p * rows + warp * held_rows + r;
        u[r][0] = first ? U(row, j) : 0;
        u[r][1] = second ? U(row, j + 32) : 0;
      }
      const float x0 = await(x.numbers + j);
      const float x1 = await(x.numbers + j + 32);
      NATGRAD_UNROLL
      for (int r = 0; r < held_rows; ++r) sum[r] += u[r][0] * x0 + u[r][1] * x1;
    }
    NATGRAD_UNROLL
    for (int r = 0; r < held_rows; ++r) sums[(warp * held_rows + r) * 33 + lane] = sum[r];
    barrier();
    const int i = block.unknown();
    const std::int64_t j = p * rows + i;
    if (block.is_first()) {
      float value = y.numbers[j];
      NATGRAD_UNROLL
      for (int l = 0; l < 32; ++l) value -= sums[i * 33 + l];
      right[i] = value;
    }
    barrier();
    y.clear(thread, p);
    const float own = block.solve(right);
    if (!block.is_first()) return;
    publish(own, x.numbers + j);
    if (j < U.columns) b[j] = own;
  }
};

}  // namespace

void cholesky_solve(Stream stream, const Matrix<const float>& U, float* b,
                    const CholeskyScratch& scratch) {
  const std::int64_t blocks = CholeskyScratch::blocks(U.rows);
  const Relay forward{scratch.forward, scratch.tickets};
  const Relay backward{scratch.backward, scratch.tickets + 1};
  launch(stream, {static_cast<unsigned>(blocks)}, {solve_threads},
         SolveForward{U, scratch.diagonal, scratch.inverse, b, forward, backward});
  launch(stream, {static_cast<unsigned>(blocks)}, {solve_threads},
         SolveBackward{U, scratch.diagonal, scratch.inverse, b, blocks, backward, forward});
}

}  // namespace natgrad::kernels
