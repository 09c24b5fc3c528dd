#include "kernels/cuda/cholesky.hpp"
#include "kernels/cuda/cholesky_step.hpp"
#include "kernels/cuda/relay.hpp"

namespace natgrad::kernels {

using namespace cholesky_step;

namespace {

/// Step p of a right-looking factorization that is delayed by one: it subtracts U_q^T U_q, q the 64
/// rows before, from all rows from p on, and eliminates the 64 rows p. A block that works on rows p
/// has 64 columns of the diagonal block, whose elimination every such block repeats, since that is
/// cheaper than waiting for one; and 64 columns of its own, of A, or of the identity, which the
/// same operations turn into U_pp^-T. Blocks of the rows below subtract only.
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
        part[r][half].elements[e] = is_inside(i + r, j + e) ? A(i + r, j + e) : 0;
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
        if (is_inside(i + r, j + e)) A(i + r, j + e) = part[r][half].elements[e];
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
    // Columns from A.columns on load as zeros; the ones of the identity are set below.
    load_part(first + place.row, (identity ? A.columns : own) + place.column, sums, 1);
    NATGRAD_UNROLL
    for (int i = 0; i < held; ++i) {
      const int row = place.row + i;
      NATGRAD_UNROLL
      for (int e = 0; e < quad; ++e) {
        if (row != place.column + e) continue;
        if (first + row >= A.rows) sums[i][0].elements[e] = 1;
        if (identity) sums[i][1].elements[e] = 1;
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
        for (int e = 0; e < quad; ++e) sum.elements[e] = column.x[i + pivots + e];
        subtract_rows(last + i, column.weights, sum);
        NATGRAD_UNROLL
        for (int e = 0; e < quad; ++e) column.x[i + e] = sum.elements[e];
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
      for (int b = 0; b < pivots; ++b) next.elements[b] = column.x[pivots + b];
      subtract_rows(R + pivots, column.weights, next);
      NATGRAD_UNROLL
      for (int b = 0; b < pivots; ++b) {
        column.next[b] = next.elements[b];
        buffers[2][b * width + t] = t < rows ? next.elements[b] : 0;
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
      for (int e = 0; e < quad; ++e) sum.elements[e] -= row.elements[e] * weights[b];
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

}  // namespace natgrad::kernels
