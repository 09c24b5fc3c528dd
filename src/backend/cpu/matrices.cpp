#include "backend/cpu/blas.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/projection.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace natgrad {

using cpu::at;
using cpu::value_of;

namespace {

template <class T>
NATGRAD_MULTIVERSION double absolute_sum(const T* x, std::int64_t count) {
  constexpr std::int64_t lanes = 16;
  std::array<double, lanes> sums{};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      sums[lane] += static_cast<double>(std::abs(x[i + lane]));
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(std::abs(x[i]));
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

/// The tile of `to` with corner (row, column) from the transposed tile of `from`, j >= i only.
template <class T>
void mirror_tile(const ConstView& from, const View& to, std::int64_t row, std::int64_t column,
                 std::int64_t tile) {
  const std::int64_t row_end = std::min(to.rows(), row + tile);
  const std::int64_t column_end = std::min(to.rows(), column + tile);
  for (std::int64_t i = row; i < row_end; ++i) {
    T* target = at<T>(to, i, 0);
    const T* source = at<T>(from, 0, i);
    for (std::int64_t j = std::max(i, column); j < column_end; ++j) {
      target[j] = source[j * from.leading_dimension()];
    }
  }
}

template <class T>
NATGRAD_MULTIVERSION void add_run(const T* x, T* sums, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i];
}

template <class T>
NATGRAD_MULTIVERSION void add_squares(const T* x, T* sums, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i] * x[i];
}

/// reduce(sums, first column, count) over groups of columns, a thread each.
template <class T, class Reduce>
void reduce_columns(const ConstView& A, const View& result, const Reduce& reduce) {
  constexpr std::int64_t group = 512;
  cpu::parallel_blocks(A.columns(), group, [&](std::int64_t begin, std::int64_t end) {
    reduce(at<T>(result, 0, begin), begin, end - begin);
  });
}

/// NaN where one of them is, unlike std::min.
double smaller(double a, double b) { return a < b || std::isnan(a) ? a : b; }

}  // namespace

void CpuBackend::gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
                      const ConstView& B, double b, const View& C, MathMode) {
  const std::int64_t inner = transpose_a == Transpose::yes ? A.rows() : A.columns();
  with_float_type(C.type(), [&]<class T>(T) {
    blas::gemm<T>(transpose_a, transpose_b, C.rows(), C.columns(), inner, static_cast<T>(a),
                  A.as<T>(), A.leading_dimension(), B.as<T>(), B.leading_dimension(),
                  static_cast<T>(b), C.as<T>(), C.leading_dimension());
  });
}

void CpuBackend::syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A,
                      double b, const View& C) {
  const std::int64_t inner = transpose == Transpose::yes ? A.rows() : A.columns();
  with_float_type(C.type(), [&]<class T>(T) {
    blas::syrk<T>(triangle, transpose, C.rows(), inner, static_cast<T>(a), A.as<T>(),
                  A.leading_dimension(), static_cast<T>(b), C.as<T>(), C.leading_dimension());
  });
}

void CpuBackend::symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) {
  with_float_type(A.type(), [&]<class T>(T) {
    blas::symv<T>(triangle, A.rows(), A.as<T>(), A.leading_dimension(), x.as<T>(), y.as<T>());
  });
}

std::int64_t CpuBackend::potrf_scratch(Triangle, std::int64_t, std::int64_t, ElementType) const {
  return 0;
}

void CpuBackend::potrf(Triangle triangle, const View& A, const View& info, Scratch) {
  with_float_type(A.type(), [&]<class T>(T) {
    *info.as<double>() =
        static_cast<double>(blas::potrf<T>(triangle, A.rows(), A.as<T>(), A.leading_dimension()));
  });
}

void CpuBackend::potrs(Triangle triangle, const ConstView& factor, const View& b, Scratch) {
  with_float_type(factor.type(), [&]<class T>(T) {
    blas::potrs<T>(triangle, factor.rows(), factor.as<T>(), factor.leading_dimension(), b.as<T>());
  });
}

void CpuBackend::smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                                 const View& result) {
  double ratio = std::numeric_limits<double>::infinity();
  double pivot = ratio;
  with_float_type(factor.type(), [&]<class T>(T) {
    const double added = value_of(shift);
    for (std::int64_t i = 0; i < factor.rows(); ++i) {
      const auto u = static_cast<double>(*at<T>(factor, i, i));
      const double square = u * u;
      ratio = smaller(ratio, square / (static_cast<double>(*at<T>(A, i, i)) + added));
      pivot = smaller(pivot, square);
    }
  });
  result.as<double>()[0] = ratio;
  result.as<double>()[1] = pivot;
}

void CpuBackend::add_to_diagonal(Scalar value, const View& A) {
  with_float_type(A.type(), [&]<class T>(T) {
    const T added = static_cast<T>(value_of(value));
    for (std::int64_t i = 0; i < A.rows(); ++i) *at<T>(A, i, i) += added;
  });
}

void CpuBackend::mirror(const ConstView& lower, const View& upper) {
  constexpr std::int64_t tile = 64;
  with_float_type(lower.type(), [&]<class T>(T) {
    cpu::parallel_blocks(upper.rows(), tile, [&](std::int64_t begin, std::int64_t) {
      for (std::int64_t column = begin; column < upper.rows(); column += tile) {
        mirror_tile<T>(lower, upper, begin, column, tile);
      }
    });
  });
}

void CpuBackend::norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                                const View& trace) {
  double largest = 0;
  double diagonal_sum = 0;
  with_float_type(lower.type(), [&]<class T>(T) {
    const std::int64_t n = lower.rows();
#pragma omp parallel for schedule(static) reduction(max : largest)
    for (std::int64_t i = 0; i < n; ++i) {
      const double sum =
          absolute_sum(at<T>(lower, i, 0), i) + absolute_sum(at<T>(upper, i, i), n - i);
      // A maximum would lose NaN.
      largest =
          std::max(largest, std::isfinite(sum) ? sum : std::numeric_limits<double>::infinity());
    }
    for (std::int64_t i = 0; i < n; ++i) diagonal_sum += static_cast<double>(*at<T>(upper, i, i));
  });
  *norm.as<double>() = largest;
  *trace.as<double>() = diagonal_sum;
}

void CpuBackend::project(const ConstView& u, const View& y) {
  with_float_type(y.type(), [&]<class T>(T) {
    const T* direction = u.as<T>();
    T* vector = y.as<T>();
    double square = 0;
    double product = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) {
      square += static_cast<double>(direction[i]) * static_cast<double>(direction[i]);
      product += static_cast<double>(direction[i]) * static_cast<double>(vector[i]);
    }
    if (!formulas::spans(square)) return;
    for (std::int64_t i = 0; i < y.size(); ++i) {
      vector[i] -= static_cast<T>(product / square * static_cast<double>(direction[i]));
    }
  });
}

/// With p = A u / |u|^2, c = u . p / |u|^2 and q = p - (c / 2) u,
///   P A P = A - p u^T - u p^T + c u u^T = A - q u^T - u q^T.
void CpuBackend::project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                                const View& A) {
  const std::int64_t n = A.rows();
  with_float_type(A.type(), [&]<class T>(T) {
    const T* direction = u.as<T>();
    const T* along = product.as<T>();
    double square = 0;
    double both = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      square += static_cast<double>(direction[i]) * static_cast<double>(direction[i]);
      both += static_cast<double>(direction[i]) * static_cast<double>(along[i]);
    }
    if (!formulas::spans(square)) return;
    const auto inverse = static_cast<T>(1 / square);
    const auto half = static_cast<T>(formulas::half_mean(both, square));
    cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T* row = at<T>(A, i, 0);
        const T q = inverse * along[i] - half * direction[i];
        const bool lower = triangle == Triangle::lower;
        for (std::int64_t j = lower ? 0 : i; j < (lower ? i + 1 : n); ++j) {
          row[j] -= q * direction[j] + direction[i] * (inverse * along[j] - half * direction[j]);
        }
      }
    });
  });
}

void CpuBackend::identity_unless(const ConstView& flag, Triangle triangle, const View& A) {
  if (value_of(flag) > 0) return;
  const std::int64_t n = A.rows();
  with_float_type(A.type(), [&]<class T>(T) {
    cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const bool lower = triangle == Triangle::lower;
        std::fill_n(at<T>(A, i, lower ? 0 : i), lower ? i + 1 : n - i, T{0});
        *at<T>(A, i, i) = T{1};
      }
    });
  });
}

void CpuBackend::scale_symmetric(Triangle triangle, const ConstView& factors, const View& A) {
  const std::int64_t n = A.rows();
  with_float_type(A.type(), [&]<class T>(T) {
    const T* f = factors.as<T>();
    cpu::parallel_blocks(n, cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const bool lower = triangle == Triangle::lower;
        T* row = at<T>(A, i, 0);
        const std::int64_t last = lower ? i + 1 : n;
        for (std::int64_t j = lower ? 0 : i; j < last; ++j) row[j] *= f[i] * f[j];
      }
    });
  });
}

void CpuBackend::scale_columns(const ConstView& A, const ConstView& factors, const View& B) {
  const std::int64_t n = A.columns();
  with_float_type(A.type(), [&]<class T>(T) {
    const T* f = factors.as<T>();
    cpu::parallel_blocks(A.rows(), cpu::row_grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* from = at<T>(A, i, 0);
        T* to = at<T>(B, i, 0);
        for (std::int64_t j = 0; j < n; ++j) to[j] = from[j] * f[j];
      }
    });
  });
}

void CpuBackend::column_sums(double factor, const ConstView& A, const View& result) {
  with_float_type(A.type(), [&]<class T>(T) {
    reduce_columns<T>(A, result, [&](T* sums, std::int64_t begin, std::int64_t count) {
      std::fill_n(sums, count, T{0});
      for (std::int64_t i = 0; i < A.rows(); ++i) add_run(at<T>(A, i, begin), sums, count);
      for (std::int64_t j = 0; j < count; ++j) sums[j] *= static_cast<T>(factor);
    });
  });
}

/// Half as many doubles as floats fit a vector register.
double CpuBackend::double_cost() const { return 2; }

void CpuBackend::column_squares(const ConstView& A, bool add, const View& result) {
  with_float_type(A.type(), [&]<class T>(T) {
    reduce_columns<T>(A, result, [&](T* sums, std::int64_t begin, std::int64_t count) {
      if (!add) std::fill_n(sums, count, T{0});
      for (std::int64_t i = 0; i < A.rows(); ++i) add_squares(at<T>(A, i, begin), sums, count);
    });
  });
}

}  // namespace natgrad
