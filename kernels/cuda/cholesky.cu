#include "kernels/cuda/cholesky.hpp"

namespace natgrad::kernels {

namespace {

constexpr int rows = cholesky_rows;  // of a step
constexpr int pivots = 4;            // that a block eliminates between two barriers
constexpr unsigned step_threads = 128;
constexpr int prefetched =
    8;  // elements of the rows before that are loaded ahead of their products

struct Float4 {
  alignas(16) float of[4];
};
NATGRAD_DEVICE Float4 load4(const float* address) {
  return *reinterpret_cast<const Float4*>(address);
}

/// Cholesky of the next `pivots` rows and columns, P = L L^T, by every thread for itself.
struct PivotBlock {
  float inverse[pivots];        // 1 / L_ii
  float below[pivots][pivots];  // L_ij, j < i
  int failed;                   // the first pivot that is not positive, or `pivots`

  /// P's upper triangle stands in rows of `stride` numbers.
  NATGRAD_DEVICE PivotBlock(const float* P, int stride) : failed(pivots) {
    NATGRAD_UNROLL
    for (int i = 0; i < pivots; ++i) {
      const Float4 row = load4(P + i * stride);
      float pivot = row.of[i];
      NATGRAD_UNROLL
      for (int k = 0; k < i; ++k) pivot -= below[i][k] * below[i][k];
      if (!(pivot > 0) && failed == pivots) failed = i;
      inverse[i] = inverse_sqrt(pivot);
      NATGRAD_UNROLL
      for (int j = i + 1; j < pivots; ++j) {
        float entry = row.of[j];
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

/// One block of rows, p. In the rows p themselves a block has 64 columns of the diagonal block,
/// which every block eliminates anew, and 64 columns of its own: of A, or of the identity, which
/// the same operations make U_pp^-T. In the rows below it only subtracts the products of the rows
/// before p. A thread holds one column.
struct CholeskyStep {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = step_threads;
  Matrix<float> A;
  float* diagonal;  // of this step
  float* inverse;
  int* info;
  std::int64_t first;   // row
  std::int64_t strips;  // of 64 columns, from `first` on: blocks in the rows p
  std::int64_t across;  // blocks of the grid in a row of blocks

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t block = std::int64_t{thread.block.y} * across + thread.block.x;
    const std::int64_t panel_blocks_down = (strips + across - 1) / across;
    if (thread.block.y < panel_blocks_down) {
      if (block < strips) eliminate(thread, block);
      return;
    }
    const std::int64_t down = thread.block.y - panel_blocks_down + 1;
    const std::int64_t column = first + rows * down + step_threads * std::int64_t{thread.block.x};
    if (column < A.columns) update(thread, first + rows * down, column);
  }

  /// x -= (rows before)^T (their elements in this column).
  /// `left`: (64, 64) of the rows before, in the columns that are the rows of x.
  NATGRAD_DEVICE void subtract_products(const float* left, std::int64_t column, float* x) const {
    const float* above = &A(first - rows, column);
    for (int k = 0; k < rows; k += prefetched) {
      float own[prefetched];
      NATGRAD_UNROLL
      for (int l = 0; l < prefetched; ++l) own[l] = above[(k + l) * A.leading_dimension];
      NATGRAD_UNROLL
      for (int l = 0; l < prefetched; ++l) {
        NATGRAD_UNROLL
        for (int i = 0; i < rows; i += 4) {
          const Float4 factor = load4(left + (k + l) * rows + i);
          NATGRAD_UNROLL
          for (int e = 0; e < 4; ++e) x[i + e] -= factor.of[e] * own[l];
        }
      }
    }
  }

  /// The rows before, in 64 columns from `column` on.
  NATGRAD_DEVICE void load_left(const Thread& thread, std::int64_t column, float* left) const {
    const int j = static_cast<int>(thread.index.x % rows);
    const bool inside = column + j < A.columns;
    for (int k = static_cast<int>(thread.index.x / rows); k < rows;
         k += static_cast<int>(step_threads / rows)) {
      left[k * rows + j] = inside ? A(first - rows + k, column + j) : 0;
    }
  }

  NATGRAD_DEVICE void update(const Thread& thread, std::int64_t row, std::int64_t column) const {
    float* left = shared_array<float, rows * rows>();
    load_left(thread, row, left);
    const std::int64_t j = column + thread.index.x;
    const bool inside = j < A.columns;
    float x[rows];
    NATGRAD_UNROLL
    for (int i = 0; i < rows; ++i) x[i] = inside && row + i <= j ? A(row + i, j) : 0;
    barrier();
    if (!inside) return;
    subtract_products(left, j, x);
    NATGRAD_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (row + i <= j) A(row + i, j) = x[i];
    }
  }

  NATGRAD_DEVICE void eliminate(const Thread& thread, std::int64_t block) const {
    float* left = shared_array<float, rows * rows>();
    const int t = static_cast<int>(thread.index.x);
    const bool on_diagonal = t < rows;
    const bool identity = block == 0 && !on_diagonal;
    const std::int64_t j = on_diagonal ? first + t : first + rows * block + t - rows;
    const bool inside = j < A.columns && !identity;
    if (first > 0) load_left(thread, first, left);
    float x[rows];
    NATGRAD_UNROLL
    for (int i = 0; i < rows; ++i) x[i] = element(i, t, j, inside);
    barrier();
    if (first > 0 && inside) subtract_products(left, j, x);
    float* const to = !on_diagonal && !identity ? &A(first, j < A.columns ? j : 0)
                      : identity                ? inverse + t - rows
                                                : diagonal + t;
    const std::int64_t stride = !on_diagonal && !identity ? A.leading_dimension : rows;
    const std::int64_t height = A.rows - first < rows ? A.rows - first : rows;
    // Of the diagonal a thread has finished after its own row. Only one block need write it.
    const std::int64_t written = on_diagonal ? (block == 0 ? t + 1 : 0)
                                 : identity  ? rows
                                 : inside    ? height
                                             : 0;
    if (block == 0 && first == 0 && t == 0) *info = 0;
    eliminate_rows<rows>(thread, 0, rows / 2, x, to, stride, written);
    eliminate_rows<rows / 2>(thread, rows / 2, rows, x, to, stride, written);
  }

  /// Below the last row the matrix is continued by the identity, above the diagonal it is A's.
  NATGRAD_DEVICE float element(int i, int t, std::int64_t j, bool inside) const {
    const bool stored = inside && first + i < A.rows && first + i <= j;
    const bool one = t < rows ? i == t && !stored : !inside && i == t - rows;
    return stored ? A(first + i, j) : one ? 1.0f : 0.0f;
  }

  /// The pivots from `k` to `end`, of columns of which `height` rows are left. x moves up as its
  /// first elements become U's.
  template <int height>
  NATGRAD_DEVICE void eliminate_rows(const Thread& thread, int k, int end, float* x, float* to,
                                     std::int64_t stride, std::int64_t written) const {
    constexpr int width = 2 * rows;  // beyond the last column there are zeros
    float* buffers = shared_array<float, 2 * pivots * width, 1>();
    const int t = static_cast<int>(thread.index.x);
    for (; k < end; k += pivots) {
      float* const R = buffers + (k / pivots % 2) * pivots * width;
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) R[b * width + t] = t < rows ? x[b] : 0;
      barrier();
      const PivotBlock block(R + k, width);
      if (block.failed < pivots && t == 0 && written > 0) note_failure(k + block.failed);
      float u[pivots];
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) u[b] = x[b];
      block.forward(u);
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) {
        if (k + b < written) to[(k + b) * stride] = u[b];
      }
      block.backward(u);
      NATGRAD_UNROLL
      for (int i = 0; i + pivots < height; i += 4) {
        Float4 next;
        NATGRAD_UNROLL
        for (int e = 0; e < 4; ++e) next.of[e] = x[i + pivots + e];
        NATGRAD_UNROLL
        for (int b = 0; b < pivots; ++b) {
          const Float4 row = load4(R + b * width + k + pivots + i);
          NATGRAD_UNROLL
          for (int e = 0; e < 4; ++e) next.of[e] -= row.of[e] * u[b];
        }
        NATGRAD_UNROLL
        for (int e = 0; e < 4; ++e) x[i + e] = next.of[e];
      }
    }
  }

  NATGRAD_DEVICE void note_failure(int row) const {
    if (*info == 0 && first + row < A.rows) *info = static_cast<int>(first) + row + 1;
  }
};

/// The diagonal blocks of U to where A's were, which other blocks still read while they were made.
struct StoreDiagonal {
  static constexpr bool synchronizes = false;
  const float* diagonal;
  Matrix<float> A;
  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t first = rows * std::int64_t{thread.block.x};
    const float* block = diagonal + thread.block.x * rows * rows;
    for (int e = static_cast<int>(thread.index.x); e < rows * rows; e += block_threads) {
      const int i = e / rows;
      const int j = e % rows;
      if (i <= j && first + j < A.columns) A(first + i, first + j) = block[e];
    }
  }
};

}  // namespace

void cholesky(Stream stream, const Matrix<float>& A, int* info, const CholeskyScratch& scratch) {
  const std::int64_t n = A.rows;
  const std::int64_t blocks = CholeskyScratch::blocks(n);
  for (std::int64_t p = 0; p < blocks; ++p) {
    const std::int64_t left = blocks - p;
    const std::int64_t across = (left + 1) / 2;
    const std::int64_t down = (left + across - 1) / across + (p > 0 ? left - 1 : 0);
    launch(stream, {static_cast<unsigned>(across), static_cast<unsigned>(down)}, {step_threads},
           CholeskyStep{.A = A,
                        .diagonal = scratch.diagonal + p * rows * rows,
                        .inverse = scratch.inverse + p * rows * rows,
                        .info = info,
                        .first = p * rows,
                        .strips = left,
                        .across = across});
  }
  launch(stream, {static_cast<unsigned>(blocks)}, {block_threads},
         StoreDiagonal{scratch.diagonal, A});
}

namespace {

constexpr unsigned solve_threads = 256;
constexpr int groups = solve_threads / rows;  // threads that share one unknown
constexpr int shared_terms = rows / groups;   // of a product with 64 numbers, for each of them

/// y = U^-T b in place: block q takes the q-th ticket, and with it 64 unknowns.
struct SolveForward {
  static constexpr bool synchronizes = true;
  Matrix<const float> U;
  const float* inverse;
  float* b;
  int* ticket;
  int* flags;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    int* const own = shared_array<int, 1>();
    float* const sums = shared_array<float, solve_threads>();
    if (thread.index.x == 0) *own = take_ticket(ticket);
    barrier();
    const std::int64_t p = *own;
    const int i = static_cast<int>(thread.index.x) % rows;
    const int group = static_cast<int>(thread.index.x) / rows;
    const std::int64_t j = p * rows + i;
    const bool inside = j < U.columns;
    float weights[shared_terms];  // of U_pp^-T
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) {
      weights[k] = inverse[(p * rows + i) * rows + group * shared_terms + k];
    }
    float sum = inside && group == 0 ? b[j] : 0;
    for (std::int64_t q = 0; q < p; ++q) {
      const std::int64_t row = q * rows + group * shared_terms;
      float u[shared_terms];
      NATGRAD_UNROLL
      for (int k = 0; k < shared_terms; ++k) u[k] = inside ? U(row + k, j) : 0;
      wait_for_flag(flags + q);
      NATGRAD_UNROLL
      for (int k = 0; k < shared_terms; ++k) sum -= u[k] * load_fresh(b + row + k);
    }
    sums[thread.index.x] = sum;
    barrier();
    float product = 0;
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) {
      const int l = group * shared_terms + k;
      float right = sums[l];
      NATGRAD_UNROLL
      for (int g = 1; g < groups; ++g) right += sums[g * rows + l];
      product += weights[k] * right;
    }
    barrier();
    sums[thread.index.x] = product;
    barrier();
    if (group == 0) {
      NATGRAD_UNROLL
      for (int g = 1; g < groups; ++g) product += sums[g * rows + i];
      if (inside) b[j] = product;
    }
    barrier();
    if (thread.index.x == 0) raise_flag(flags + p);
  }
};

/// x = U^-1 y in place: block q takes the q-th ticket, and with it 64 unknowns from the end.
struct SolveBackward {
  static constexpr bool synchronizes = true;
  static constexpr int down = solve_threads / 32;  // rows that are taken at once, a warp each
  static constexpr int held = rows / down;         // rows of a thread
  Matrix<const float> U;
  const float* inverse;
  float* b;
  std::int64_t blocks;
  int* ticket;
  int* flags;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    int* const own = shared_array<int, 1>();
    float* const sums = shared_array<float, rows * 33>();
    float* const right = shared_array<float, solve_threads>();
    if (thread.index.x == 0) *own = take_ticket(ticket);
    barrier();
    const std::int64_t p = blocks - 1 - *own;
    const int lane = static_cast<int>(thread.index.x) % 32;
    const int warp = static_cast<int>(thread.index.x) / 32;
    const int i = static_cast<int>(thread.index.x) % rows;
    const int group = static_cast<int>(thread.index.x) / rows;
    float weights[shared_terms];  // of U_pp^-1, the transpose of what is stored
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) {
      weights[k] = inverse[(p * rows + group * shared_terms + k) * rows + i];
    }
    float sum[held] = {};
    for (std::int64_t q = blocks - 1; q > p; --q) {
      const std::int64_t j = q * rows + lane;
      const bool first = j < U.columns;
      const bool second = j + 32 < U.columns;
      float u[held][2];
      NATGRAD_UNROLL
      for (int r = 0; r < held; ++r) {
        const std::int64_t row = p * rows + warp * held + r;
        u[r][0] = first ? U(row, j) : 0;
        u[r][1] = second ? U(row, j + 32) : 0;
      }
      wait_for_flag(flags + q);
      const float x0 = first ? load_fresh(b + j) : 0;
      const float x1 = second ? load_fresh(b + j + 32) : 0;
      NATGRAD_UNROLL
      for (int r = 0; r < held; ++r) sum[r] += u[r][0] * x0 + u[r][1] * x1;
    }
    NATGRAD_UNROLL
    for (int r = 0; r < held; ++r) sums[(warp * held + r) * 33 + lane] = sum[r];
    barrier();
    const std::int64_t j = p * rows + i;
    if (group == 0) {
      float value = j < U.columns ? b[j] : 0;
      NATGRAD_UNROLL
      for (int l = 0; l < 32; ++l) value -= sums[i * 33 + l];
      right[i] = value;
    }
    barrier();
    float product = 0;
    NATGRAD_UNROLL
    for (int k = 0; k < shared_terms; ++k) product += weights[k] * right[group * shared_terms + k];
    barrier();
    right[thread.index.x] = product;
    barrier();
    if (group == 0) {
      NATGRAD_UNROLL
      for (int g = 1; g < groups; ++g) product += right[g * rows + i];
      if (j < U.columns) b[j] = product;
    }
    barrier();
    if (thread.index.x == 0) raise_flag(flags + p);
  }
};

/// No flag is raised, no ticket taken.
struct ClearFlags {
  static constexpr bool synchronizes = false;
  int* flags;
  std::int64_t count;
  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    for (std::int64_t i = thread.column(); i < count; i += thread.columns()) flags[i] = 0;
  }
};

}  // namespace

void cholesky_solve(Stream stream, const Matrix<const float>& U, float* b,
                    const CholeskyScratch& scratch) {
  const std::int64_t blocks = CholeskyScratch::blocks(U.rows);
  int* const forward = scratch.flags + 2;
  launch(stream, {}, {block_threads},
         ClearFlags{scratch.flags, CholeskyScratch::flag_count(U.rows)});
  launch(stream, {static_cast<unsigned>(blocks)}, {solve_threads},
         SolveForward{U, scratch.inverse, b, scratch.flags, forward});
  launch(stream, {static_cast<unsigned>(blocks)}, {solve_threads},
         SolveBackward{U, scratch.inverse, b, blocks, scratch.flags + 1, forward + blocks});
}

}  // namespace natgrad::kernels
