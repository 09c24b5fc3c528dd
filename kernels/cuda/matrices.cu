#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/matrices.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/triangle.hpp"
#include "kernels/formulas/projection.hpp"

#include <cmath>
#include <limits>

namespace natgrad::kernels {

namespace {

constexpr unsigned tile = 32;
constexpr unsigned tile_threads = block_threads / tile;  // rows of a block whose rows are warps

/// One block for each tile of the upper triangle. A column more in shared memory lets a warp read
/// down a column without bank conflicts. The arrays may overlap where nothing that is read of one
/// triangle is written of the other.
template <class T>
struct Mirror {
  static constexpr bool synchronizes = true;
  Matrix<const T> lower;
  Matrix<T> upper;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    if (thread.block.x < thread.block.y) return;
    T* values = shared_array<T, tile*(tile + 1)>();
    const std::int64_t row = std::int64_t{thread.block.y} * tile;
    const std::int64_t column = std::int64_t{thread.block.x} * tile;
    const std::int64_t x = thread.index.x;
    for (std::int64_t y = thread.index.y; y < tile; y += tile_threads) {
      const std::int64_t i = row + x;
      const std::int64_t j = column + y;
      if (j < upper.rows && i <= j) values[y * (tile + 1) + x] = lower(j, i);
    }
    barrier();
    for (std::int64_t y = thread.index.y; y < tile; y += tile_threads) {
      const std::int64_t i = row + y;
      const std::int64_t j = column + x;
      if (j < upper.rows && i <= j) upper(i, j) = values[x * (tile + 1) + y];
    }
  }
};

}  // namespace

void mirror(Stream stream, const ConstView& lower, const View& upper) {
  const unsigned tiles = blocks_for(upper.rows(), tile, upper.rows());
  with_float_type(lower.type(), [&]<class T>(T) {
    launch(stream, {tiles, tiles}, {tile, tile_threads},
           Mirror<T>{matrix<T>(lower), matrix<T>(upper)});
  });
}

namespace {

constexpr std::int64_t most_norm_blocks = partial_count / 2;
constexpr double largest_finite = std::numeric_limits<double>::max();

/// A warp for each row: the largest absolute row sum and the sum of the diagonal of a block's rows.
template <class T>
struct NormAndTracePartials {
  static constexpr bool synchronizes = true;
  Matrix<const T> lower;
  Matrix<const T> upper;
  double* largest;
  double* trace;

  NATGRAD_DEVICE double absolute_sum(std::int64_t i, const Thread& thread) const {
    return sum_of_terms<double>(thread.index.x, lower.rows, tile, [&](std::int64_t j) {
      const T value = j < i ? lower(i, j) : upper(i, j);
      return static_cast<double>(value < 0 ? -value : value);
    });
  }

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    double most = 0;
    double diagonal_sum = 0;
    // Every thread goes round equally often, for there is a barrier within.
    for (std::int64_t first = std::int64_t{thread.block.y} * tile_threads; first < lower.rows;
         first += thread.rows()) {
      const std::int64_t i = first + thread.index.y;
      const bool inside = i < lower.rows;
      const double row_sum =
          combine_threads<tile>(thread, inside ? absolute_sum(i, thread) : 0, Plus{});
      // A maximum would lose NaN.
      most = Larger{}(most, row_sum <= largest_finite ? row_sum : INFINITY);
      if (inside) diagonal_sum += static_cast<double>(upper(i, i));
    }
    most = combine_rows(thread, most, Larger{});
    diagonal_sum = combine_rows(thread, diagonal_sum, Plus{});
    if (thread.index.x == 0 && thread.index.y == 0) {
      largest[thread.block.y] = most;
      trace[thread.block.y] = diagonal_sum;
    }
  }

  /// Of the warps of a block, each of which holds one value.
  template <class Combine>
  NATGRAD_DEVICE double combine_rows(const Thread& thread, double value,
                                     const Combine& combine) const {
    double* values = shared_array<double, tile_threads>();
    values[thread.index.y] = value;
    barrier();
    double result = values[0];
    for (unsigned y = 1; y < tile_threads; ++y) result = combine(result, values[y]);
    barrier();
    return result;
  }
};

struct NormAndTrace {
  static constexpr bool synchronizes = true;
  const double* largest;
  const double* traces;
  std::int64_t count;
  double* norm;
  double* trace;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const double most = combine_blocks(thread, largest, count, Larger{});
    const double sum = combine_blocks(thread, traces, count, Plus{});
    if (thread.index.x != 0) return;
    *norm = most;
    *trace = sum;
  }
};

}  // namespace

void norm_and_trace(Stream stream, const ConstView& lower, const ConstView& upper, const View& norm,
                    const View& trace, double* partials) {
  const unsigned blocks = blocks_for(lower.rows(), tile_threads, most_norm_blocks);
  double* traces = partials + most_norm_blocks;
  with_float_type(lower.type(), [&]<class T>(T) {
    launch(stream, {1, blocks}, {tile, tile_threads},
           NormAndTracePartials<T>{matrix<T>(lower), matrix<T>(upper), partials, traces});
  });
  launch(stream, {}, {block_threads},
         NormAndTrace{partials, traces, blocks, norm.as<double>(), trace.as<double>()});
}

namespace {

template <class T>
struct StoreInfo {
  static constexpr bool synchronizes = true;
  const int* info;
  Matrix<const T> factor;
  double* result;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    double first = INFINITY;
    for (std::int64_t i = thread.index.x; i < factor.rows; i += block_threads) {
      if (!(factor(i, i) > 0)) first = Smaller{}(first, static_cast<double>(i + 1));
    }
    first = combine_threads(thread, first, Smaller{});
    if (thread.index.x != 0) return;
    *result = *info != 0 ? static_cast<double>(*info) : first < INFINITY ? first : 0;
  }
};

}  // namespace

void store_info(Stream stream, const int* info, const ConstView& factor, const View& result) {
  with_float_type(factor.type(), [&]<class T>(T) {
    launch(stream, {}, {block_threads}, StoreInfo<T>{info, matrix<T>(factor), result.as<double>()});
  });
}

namespace {

/// By one block.
template <class T>
struct SmallestPivots {
  static constexpr bool synchronizes = true;
  Matrix<const T> A;
  DeviceScalar shift;
  Matrix<const T> factor;
  double* result;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const Smaller smaller;
    const double added = shift.value();
    double ratio = INFINITY;
    double pivot = INFINITY;
    for (std::int64_t i = thread.index.x; i < factor.rows; i += thread.threads.x) {
      const auto u = static_cast<double>(factor(i, i));
      const double square = u * u;
      ratio = smaller(ratio, square / (static_cast<double>(A(i, i)) + added));
      pivot = smaller(pivot, square);
    }
    ratio = combine_threads(thread, ratio, smaller);
    pivot = combine_threads(thread, pivot, smaller);
    if (thread.index.x != 0) return;
    result[0] = ratio;
    result[1] = pivot;
  }
};

}  // namespace

void smallest_pivots(Stream stream, const ConstView& A, DeviceScalar shift, const ConstView& factor,
                     const View& result) {
  with_float_type(factor.type(), [&]<class T>(T) {
    launch(stream, {}, {block_threads},
           SmallestPivots<T>{matrix<T>(A), shift, matrix<T>(factor), result.as<double>()});
  });
}

namespace {

/// |u|^2 and u . y.
template <class T>
struct SquareAndProduct {
  static constexpr int sums = 2;
  static constexpr int together = 4;
  const T* u;
  const T* y;

  NATGRAD_DEVICE void term(std::int64_t i, double* square_and_product) const {
    const double x = static_cast<double>(u[i]);
    square_and_product[0] = x * x;
    square_and_product[1] = x * static_cast<double>(y[i]);
  }
};

template <class T>
struct Subtract {
  double ratio;
  const T* u;
  T* y;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t i) const {
    y[i] -= static_cast<T>(ratio * static_cast<double>(u[i]));
  }
};

template <class T>
struct Project {
  const double* square_and_product;
  const T* u;
  T* y;
  NATGRAD_DEVICE bool skips() const { return !formulas::spans(square_and_product[0]); }
  NATGRAD_DEVICE Subtract<T> load() const {
    return {square_and_product[1] / square_and_product[0], u, y};
  }
};

}  // namespace

void project(Stream stream, const ConstView& u, const View& y, double* partials) {
  double* const sums = partials + sum_results;
  with_float_type(y.type(), [&]<class T>(T) {
    const T* direction = matrix<T>(u).data;
    T* vector = matrix<T>(y).data;
    sum(stream, y.size(), SquareAndProduct<T>{direction, vector}, partials, sums);
    map(stream, {1, y.size()}, Project<T>{sums, direction, vector});
  });
}

namespace {

/// A_ij -= q_i u_j + u_i q_j with p = A u / |u|^2, c = u . p / |u|^2 and q = p - (c / 2) u, for
///   P A P = A - p u^T - u p^T + c u u^T = A - q u^T - u q^T.
template <class T>
struct SubtractProducts {
  Part part;
  T inverse;  // 1 / |u|^2
  T half;     // c / 2
  const T* u;
  const T* product;  // A u
  Matrix<T> A;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (!within(part, i, j)) return;
    const T q_i = inverse * product[i] - half * u[i];
    const T q_j = inverse * product[j] - half * u[j];
    A(i, j) -= q_i * u[j] + u[i] * q_j;
  }
};

template <class T>
struct ProjectMatrix {
  const double* square_and_product;
  Part part;
  const T* u;
  const T* product;
  Matrix<T> A;
  NATGRAD_DEVICE bool skips() const { return !formulas::spans(square_and_product[0]); }
  NATGRAD_DEVICE SubtractProducts<T> load() const {
    const double square = square_and_product[0];
    const double half = formulas::half_mean(square_and_product[1], square);
    return {part, static_cast<T>(1 / square), static_cast<T>(half), u, product, A};
  }
};

}  // namespace

void project_matrix(Stream stream, bool lower, const ConstView& u, const ConstView& product,
                    const View& A, double* partials) {
  double* const sums = partials + sum_results;
  with_float_type(A.type(), [&]<class T>(T) {
    const T* direction = matrix<T>(u).data;
    const T* along = matrix<T>(product).data;
    sum(stream, A.rows(), SquareAndProduct<T>{direction, along}, partials, sums);
    map(stream, {A.rows(), A.columns()},
        ProjectMatrix<T>{sums, triangle(lower), direction, along, matrix<T>(A)});
  });
}

namespace {

// Many rows of threads, because one block sums a column: a matrix with few columns has few blocks.
constexpr unsigned sum_columns = 16;
constexpr unsigned sum_rows = 64;

/// result_j = factor sum_i A_ij, or of A_ij^2, added to what was there or not.
template <class T>
struct ColumnSums {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = sum_columns * sum_rows;
  Matrix<const T> A;
  bool squares;
  T factor;
  bool add;
  T* result;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t column = thread.column();
    const bool inside = column < A.columns;
    const T sum =
        sum_of_terms<T>(thread.index.y, inside ? A.rows : 0, thread.threads.y, [&](std::int64_t i) {
          const T value = A(i, column);
          return squares ? value * value : value;
        });
    const T whole = sum_of_column<T, sum_columns, sum_rows>(thread, sum);
    if (!inside || thread.index.y != 0) return;
    result[column] = factor * whole + (add ? result[column] : T{0});
  }
};

void sum_matrix_columns(Stream stream, const ConstView& A, bool squares, double factor, bool add,
                        const View& result) {
  const unsigned blocks = blocks_for(A.columns(), sum_columns, A.columns());
  with_float_type(A.type(), [&]<class T>(T) {
    launch(
        stream, {blocks}, {sum_columns, threads_of_a_sum(A.rows(), sum_rows)},
        ColumnSums<T>{matrix<T>(A), squares, static_cast<T>(factor), add, matrix<T>(result).data});
  });
}

}  // namespace

void column_sums(Stream stream, double factor, const ConstView& A, const View& result) {
  sum_matrix_columns(stream, A, false, factor, false, result);
}

void column_squares(Stream stream, const ConstView& A, bool add, const View& result) {
  sum_matrix_columns(stream, A, true, 1, add, result);
}

}  // namespace natgrad::kernels
