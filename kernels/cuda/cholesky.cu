#include "kernels/cuda/cholesky.hpp"

namespace natgrad::kernels {

namespace {

constexpr int rows = cholesky_rows;  // of a step
constexpr int pivots = 4;            // that a block eliminates between two barriers
constexpr unsigned step_threads = 128;
constexpr int width = 2 * rows;  // columns of a tile
constexpr int quad = 4;          // elements of one access
constexpr int held = 8;          // rows, and columns, of a tile that a thread multiplies

struct Float4 {
  alignas(16) float of[quad];
};
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
          sums[i][half].of[e] -= factors.down[i / quad].of[i % quad] * factors.across[half].of[e];
        }
      }
    }
  }

  const float* left_;
  int stride_;
  const float* right_;
};

/// How blocks of a solve hand on what they find: block q takes the q-th ticket and publishes 64
/// numbers, for which later blocks wait. They are cleared before the next solve of the same kind.
struct Relay {
  float* numbers;  // (blocks, 64)
  int* ticket;

  /// For all threads of a block, by the first of them.
  NATGRAD_DEVICE std::int64_t take(const Thread& thread) const {
    int* const own = shared_array<int, 1>();
    if (thread.index.x == 0) *own = take_ticket(ticket);
    barrier();
    return *own;
  }
  NATGRAD_DEVICE void clear(const Thread& thread, std::int64_t block) const {
    if (thread.index.x < rows) {
      reinterpret_cast<unsigned*>(numbers)[block * rows + thread.index.x] = unpublished;
    }
    if (thread.index.x == 0 && block == 0) *ticket = 0;
  }
};

/// One block of rows, p. In the rows p themselves a block has 64 columns of the diagonal block,
/// which every block eliminates anew, and 64 columns of its own: of A, or of the identity, which
/// the same operations make U_pp^-T. In the rows below it only subtracts the products of the rows
/// before p.
struct CholeskyStep {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = step_threads;
  Matrix<float> A;
  float* diagonal;  // of this step
  float* inverse;
  Relay forward;  // of the solves, which the first step prepares
  Relay backward;
  double* info;
  std::int64_t first;   // row
  std::int64_t strips;  // of 64 columns, from `first` on: blocks in the rows p
  std::int64_t across;  // blocks of the grid in a row of blocks

  static constexpr int tile_numbers = rows * width;
  static constexpr int left_numbers = rows * rows;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    float* const memory = shared_array<float, tile_numbers + left_numbers>();
    const std::int64_t block = std::int64_t{thread.block.y} * across + thread.block.x;
    const std::int64_t panel_blocks_down = (strips + across - 1) / across;
    if (thread.block.y < panel_blocks_down) {
      if (block < strips) eliminate(thread, block, memory);
      return;
    }
    const std::int64_t down = thread.block.y - panel_blocks_down + 1;
    const std::int64_t column = first + rows * down + width * std::int64_t{thread.block.x};
    if (column < A.columns) update(thread, first + rows * down, column, memory);
    if (down == 1 && thread.block.x == 0) store_diagonal(thread, -1);
  }

  /// Whether all of 8 rows from i on and 4 columns from j on are of the upper triangle.
  NATGRAD_DEVICE bool are_inside(std::int64_t i, std::int64_t j) const {
    return i + held <= A.rows && i + held - 1 <= j && j + quad <= A.columns;
  }
  NATGRAD_DEVICE bool is_inside(std::int64_t i, std::int64_t j) const {
    return i < A.rows && i <= j && j < A.columns;
  }

  /// 8 rows from i on, in 4 columns from j on; zeros for what is not there.
  NATGRAD_DEVICE void load_part(std::int64_t i, std::int64_t j, Float4 (*part)[2], int half) const {
    if (are_inside(i, j)) {
      NATGRAD_UNROLL
      for (int r = 0; r < held; ++r) part[r][half] = load4(&A(i + r, j));
      return;
    }
    NATGRAD_UNROLL
    for (int r = 0; r < held; ++r) {
      NATGRAD_UNROLL
      for (int e = 0; e < quad; ++e) {
        part[r][half].of[e] = is_inside(i + r, j + e) ? A(i + r, j + e) : 0;
      }
    }
  }

  NATGRAD_DEVICE void store_part(std::int64_t i, std::int64_t j, const Float4 (*part)[2],
                                 int half) const {
    if (are_inside(i, j)) {
      NATGRAD_UNROLL
      for (int r = 0; r < held; ++r) store4(part[r][half], &A(i + r, j));
      return;
    }
    NATGRAD_UNROLL
    for (int r = 0; r < held; ++r) {
      NATGRAD_UNROLL
      for (int e = 0; e < quad; ++e) {
        if (is_inside(i + r, j + e)) A(i + r, j + e) = part[r][half].of[e];
      }
    }
  }

  /// Begins to copy the 64 rows before p, in `quads` times 4 columns from `column` on, which stand
  /// above the diagonal; zeros beyond the last column.
  template <int quads>
  NATGRAD_DEVICE void begin_rows(const Thread& thread, std::int64_t column, float* to,
                                 int stride) const {
    constexpr int at_once = static_cast<int>(step_threads) / quads;
    const int place = static_cast<int>(thread.index.x) % quads * quad;
    const int down = static_cast<int>(thread.index.x) / quads;
    const std::int64_t left = A.columns - column - place;
    const int count = left < 0 ? 0 : left < quad ? static_cast<int>(left) : quad;
    const float* from = &A(first - rows + down, count > 0 ? column + place : 0);
    NATGRAD_UNROLL
    for (int k = 0; k < rows; k += at_once) {
      begin_copy(from + k * A.leading_dimension, count, to + (k + down) * stride + place);
    }
  }

  /// Subtracts the products of the rows before p from 64 rows in 128 columns.
  NATGRAD_DEVICE void update(const Thread& thread, std::int64_t row, std::int64_t column,
                             float* memory) const {
    const TilePlace place(thread);
    float* const right = memory;
    float* const left = memory + tile_numbers;
    begin_rows<rows / quad>(thread, row, left, rows);
    begin_rows<width / quad>(thread, column, right, width);
    Float4 sums[held][2];
    load_part(row + place.row, column + place.column_of(0), sums, 0);
    load_part(row + place.row, column + place.column_of(1), sums, 1);
    finish_copies();
    barrier();
    TileProduct(place, left, rows, right).subtract_from(sums);
    store_part(row + place.row, column + place.column_of(0), sums, 0);
    store_part(row + place.row, column + place.column_of(1), sums, 1);
  }

  /// What the columns of a block are before this step: A less the products of the rows before, in
  /// `memory` (64, 128). Below the last row the matrix is continued by the identity.
  NATGRAD_DEVICE void load_columns(const Thread& thread, std::int64_t block, float* memory) const {
    const TilePlace place(thread);
    const std::int64_t own = first + rows * block;
    const bool identity = block == 0;
    if (first > 0) {
      begin_rows<rows / quad>(thread, first, memory, width);
      if (!identity) begin_rows<rows / quad>(thread, own, memory + rows, width);
    }
    Float4 sums[held][2];
    load_part(first + place.row, first + place.column, sums, 0);
    // The identity begins as zeros.
    load_part(first + place.row, (identity ? A.columns : own) + place.column, sums, 1);
    NATGRAD_UNROLL
    for (int i = 0; i < held; ++i) {
      const int row = place.row + i;
      NATGRAD_UNROLL
      for (int e = 0; e < quad; ++e) {
        if (row != place.column + e) continue;
        if (first + row >= A.rows) sums[i][0].of[e] = 1;
        if (identity) sums[i][1].of[e] = 1;
      }
    }
    if (first > 0) {
      if (identity) {
        for (int k = static_cast<int>(thread.index.x) / rows; k < rows; k += width / rows) {
          memory[k * width + rows + static_cast<int>(thread.index.x) % rows] = 0;
        }
      }
      finish_copies();
      barrier();
      TileProduct(place, memory, width, memory).subtract_from(sums);
      barrier();
    }
    NATGRAD_UNROLL
    for (int i = 0; i < held; ++i) {
      NATGRAD_UNROLL
      for (int half = 0; half < 2; ++half) {
        store4(sums[i][half], memory + (place.row + i) * width + place.column_of(half));
      }
    }
    barrier();
  }

  /// A thread eliminates one column. Of the diagonal only one block writes the result.
  NATGRAD_DEVICE void eliminate(const Thread& thread, std::int64_t block, float* memory) const {
    const int t = static_cast<int>(thread.index.x);
    const bool on_diagonal = t < rows;
    load_columns(thread, block, memory);
    Column column;
    NATGRAD_UNROLL
    for (int i = 0; i < pivots; ++i) column.next[i] = memory[i * width + t];
    NATGRAD_UNROLL
    for (int i = pivots; i < rows; ++i) column.x[i + pivots] = memory[i * width + t];
    barrier();
    const std::int64_t height = A.rows - first < rows ? A.rows - first : rows;
    if (block == 0) {
      column.to = on_diagonal ? diagonal + t : inverse + t - rows;
      column.stride = rows;
      column.written = on_diagonal ? t + 1 : rows;
      if (first == 0 && t == 0) *info = 0;
    } else {
      const std::int64_t j = first + rows * block + t - rows;
      const bool own = !on_diagonal && j < A.columns;
      column.to = &A(first, own ? j : first);
      column.stride = A.leading_dimension;
      column.written = own ? static_cast<int>(height) : 0;
    }
    float* buffers[3] = {memory, memory + pivots * width, memory + 2 * pivots * width};
    NATGRAD_UNROLL
    for (int b = 0; b < pivots; ++b) {
      buffers[1][b * width + t] = on_diagonal ? column.next[b] : 0;
      buffers[0][b * width + t] = 0;
      column.weights[b] = 0;
    }
    barrier();
    if (first == 0) {
      forward.clear(thread, block);
      backward.clear(thread, block);
    }
    constexpr int quarter = rows / 4;
    eliminate_rows<4 * quarter>(t, column, buffers);
    eliminate_rows<3 * quarter>(t, column, buffers);
    eliminate_rows<2 * quarter>(t, column, buffers);
    eliminate_rows<quarter>(t, column, buffers);
    if (strips > 1) return;
    store_diagonal(thread, 0);
    if (first > 0) store_diagonal(thread, -1);
  }

  /// The diagonal block of this step (0) or of the one before (-1) to where A's was, which other
  /// blocks read while it was made.
  NATGRAD_DEVICE void store_diagonal(const Thread& thread, int step) const {
    const float* from = diagonal + step * left_numbers;
    const std::int64_t begin = first + step * rows;
    for (int e = static_cast<int>(thread.index.x); e < rows * rows;
         e += static_cast<int>(step_threads)) {
      const int i = e / rows;
      const int j = e % rows;
      if (i <= j && begin + j < A.columns) A(begin + i, begin + j) = from[e];
    }
  }

  /// A column while its rows become U's, and how many of them are written where.
  struct Column {
    float next[pivots];      // the rows of the next pivots
    float x[rows + pivots];  // those after them stand from 2 * pivots on, before the last pivots
    float weights[pivots];   // of the last pivots' rows in what is still to be subtracted
    float* to;
    std::int64_t stride;
    int written;
  };

  /// A quarter of the pivots, of columns of which `height` rows are left. While the next pivots are
  /// factorized, which is a long chain of operations, the products of the last ones are subtracted
  /// from all other rows. `buffers`: the rows of the last pivots, of these, of the next.
  template <int height>
  NATGRAD_DEVICE void eliminate_rows(int t, Column& column, float** buffers) const {
    constexpr int begin = rows - height;
    NATGRAD_LOOP
    for (int k = begin; k < begin + rows / 4; k += pivots) {
      const float* const last = buffers[0] + k;
      const float* const R = buffers[1] + k;
      const PivotBlock block(R);
      NATGRAD_UNROLL
      for (int i = pivots; i < height; i += quad) {
        Float4 sum;
        NATGRAD_UNROLL
        for (int e = 0; e < quad; ++e) sum.of[e] = column.x[i + pivots + e];
        subtract_rows(last + i, column.weights, sum);
        NATGRAD_UNROLL
        for (int e = 0; e < quad; ++e) column.x[i + e] = sum.of[e];
      }
      if (block.failed < pivots && t == 0 && column.written > 0) note_failure(k + block.failed);
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) column.weights[b] = column.next[b];
      block.forward(column.weights);
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) {
        if (k + b < column.written) column.to[(k + b) * column.stride] = column.weights[b];
      }
      block.backward(column.weights);
      Float4 next;
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) next.of[b] = column.x[pivots + b];
      subtract_rows(R + pivots, column.weights, next);
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) {
        column.next[b] = next.of[b];
        buffers[2][b * width + t] = t < rows ? next.of[b] : 0;
      }
      barrier();
      float* const oldest = buffers[0];
      buffers[0] = buffers[1];
      buffers[1] = buffers[2];
      buffers[2] = oldest;
    }
  }

  NATGRAD_DEVICE static void subtract_rows(const float* R, const float* weights, Float4& sum) {
    NATGRAD_UNROLL
    for (int b = 0; b < pivots; ++b) {
      const Float4 row = load4(R + b * width);
      NATGRAD_UNROLL
      for (int e = 0; e < quad; ++e) sum.of[e] -= row.of[e] * weights[b];
    }
  }

  NATGRAD_DEVICE void note_failure(int row) const {
    if (*info == 0 && first + row < A.rows) *info = static_cast<double>(first + row + 1);
  }
};

}  // namespace

void cholesky(Stream stream, const Matrix<float>& A, double* info, const CholeskyScratch& scratch) {
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
                        .forward = {scratch.forward, scratch.tickets},
                        .backward = {scratch.backward, scratch.tickets + 1},
                        .info = info,
                        .first = p * rows,
                        .strips = left,
                        .across = across});
  }
}

namespace {

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
