#include "support/reference_backend.hpp"

#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

// Memory, vectors and matrices.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

Real transposed(Transpose transpose, const ConstView& A, std::int64_t i, std::int64_t j) {
  return transpose == Transpose::no ? load(A, i, j) : load(A, j, i);
}

bool in_triangle(Triangle triangle, std::int64_t i, std::int64_t j) {
  return triangle == Triangle::lower ? j <= i : j >= i;
}

/// Element (i, j) of a symmetric matrix of which one triangle is kept.
Real symmetric(Triangle triangle, const ConstView& A, std::int64_t i, std::int64_t j) {
  return in_triangle(triangle, i, j) ? load(A, i, j) : load(A, j, i);
}

}  // namespace

void ReferenceBackend::upload(const void* host, const View& to) {
  std::memcpy(to.data(), host, static_cast<std::size_t>(to.size() * size_of(to.type())));
}

void ReferenceBackend::download(const ConstView& from, void* host) {
  std::memcpy(host, from.data(), static_cast<std::size_t>(from.size() * size_of(from.type())));
}

void ReferenceBackend::copy(const ConstView& from, const View& to) {
  for_each(to, [&](auto i, auto j) { store(load(from, i, j), to, i, j); });
}

void ReferenceBackend::fill(double value, const View& to) {
  for_each(to, [&](auto i, auto j) { store(value, to, i, j); });
}

void ReferenceBackend::gather_rows(const ConstView& from, const ConstView& rows, const View& to) {
  for_each(to, [&](auto i, auto j) {
    store(load(from, static_cast<std::int64_t>(load(rows, i)), j), to, i, j);
  });
}

void ReferenceBackend::commit(const ConstView& flag, const ConstView& from, const View& to) {
  if (load(flag, 0) > 0) copy(from, to);
}

void ReferenceBackend::axpby(Scalar a, const ConstView& x, Scalar b, const View& y) {
  for_each(y, [&](auto i, auto j) {
    store(value_of(a) * load(x, i, j) + scaled_old(value_of(b), y, i, j), y, i, j);
  });
}

void ReferenceBackend::multiply(const ConstView& x, const ConstView& y, const View& z) {
  for_each(z, [&](auto i, auto j) { store(load(x, i, j) * load(y, i, j), z, i, j); });
}

void ReferenceBackend::divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
                              const View& info) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    const Real divisor = load(f, i) + value_of(shift);
    if (!(divisor > 0)) ++bad;
    store(divisor > 0 ? load(b, i) / divisor : 0, x, i);
  }
  store(bad, info, 0);
}

void ReferenceBackend::inverse_roots(const ConstView& x, double smallest, const View& y) {
  for (std::int64_t i = 0; i < y.rows(); ++i) {
    const Real value = load(x, i);
    const bool finite = std::isfinite(value);
    store(value < smallest ? 0 : finite ? 1 / std::sqrt(value) : std::nan(""), y, i);
  }
}

void ReferenceBackend::dot(const ConstView& x, const ConstView& y, const View& result) {
  Real sum = 0;
  for_each(x, [&](auto i, auto j) { sum += load(x, i, j) * load(y, i, j); });
  store(sum, result, 0);
}

namespace {

Real updated(const UpdatedTensor& tensor, Scalar rate, Scalar shrink, std::int64_t i,
             std::int64_t j) {
  return (1 - tensor.decay * value_of(shrink)) * load(tensor.theta, i, j) +
         value_of(rate) * load(tensor.d, i, j);
}

}  // namespace

void ReferenceBackend::residual(const ConstView& b, const ConstView& product, Scalar shift,
                                const ConstView& x, const View& result, const View& square) {
  Real sum = 0;
  for_each(result, [&](auto i, auto j) {
    const Real left = load(product, i, j) + value_of(shift) * load(x, i, j) - load(b, i, j);
    store(left, result, i, j);
    sum += left * left;
  });
  store(sum, square, 0);
}

void ReferenceBackend::check_update(std::span<const UpdatedTensor> tensors, Scalar rate,
                                    Scalar shrink, const View& finite) {
  for (const UpdatedTensor& tensor : tensors) {
    for_each(tensor.theta, [&](auto i, auto j) {
      // Finite as the element that it becomes.
      const Real value = rounded(updated(tensor, rate, shrink, i, j), tensor.theta);
      if (!std::isfinite(value)) store(0, finite, 0);
    });
  }
}

void ReferenceBackend::update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
                              Scalar shrink) {
  if (!(value_of(accept) > 0)) return;
  for (const UpdatedTensor& tensor : tensors) {
    for_each(tensor.theta, [&](auto i, auto j) {
      store(updated(tensor, rate, shrink, i, j), tensor.theta, i, j);
    });
  }
}

void ReferenceBackend::adam(const ConstView& g, double rate, double beta1, double beta2,
                            double epsilon, std::int64_t step, const View& mean, const View& square,
                            const View& theta) {
  const Real b1 = beta1;
  const Real b2 = beta2;
  for_each(theta, [&](auto i, auto j) {
    const Real gradient = load(g, i, j);
    const Real m = b1 * load(mean, i, j) + (1 - b1) * gradient;
    const Real v = b2 * load(square, i, j) + (1 - b2) * gradient * gradient;
    const Real m_hat = m / (1 - std::pow(b1, Real(step)));
    const Real v_hat = v / (1 - std::pow(b2, Real(step)));
    store(m, mean, i, j);
    store(v, square, i, j);
    store(load(theta, i, j) + rate * m_hat / (std::sqrt(v_hat) + epsilon), theta, i, j);
  });
}

void ReferenceBackend::gemm(Transpose transpose_a, Transpose transpose_b, double a,
                            const ConstView& A, const ConstView& B, double b, const View& C,
                            MathMode) {
  const std::int64_t inner = transpose_a == Transpose::no ? A.columns() : A.rows();
  for_each(C, [&](auto i, auto j) {
    Real sum = 0;
    for (std::int64_t k = 0; k < inner; ++k) {
      sum += transposed(transpose_a, A, i, k) * transposed(transpose_b, B, k, j);
    }
    store(a * sum + scaled_old(b, C, i, j), C, i, j);
  });
}

void ReferenceBackend::syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A,
                            double b, const View& C) {
  const std::int64_t inner = transpose == Transpose::no ? A.columns() : A.rows();
  for_each(C, [&](auto i, auto j) {
    if (!in_triangle(triangle, i, j)) return;
    Real sum = 0;
    for (std::int64_t k = 0; k < inner; ++k) {
      sum += transposed(transpose, A, i, k) * transposed(transpose, A, j, k);
    }
    store(a * sum + scaled_old(b, C, i, j), C, i, j);
  });
}

void ReferenceBackend::symv(Triangle triangle, const ConstView& A, const ConstView& x,
                            const View& y) {
  for (std::int64_t i = 0; i < A.rows(); ++i) {
    Real sum = 0;
    for (std::int64_t j = 0; j < A.columns(); ++j) {
      sum += symmetric(triangle, A, i, j) * load(x, j);
    }
    store(sum, y, i);
  }
}

std::int64_t ReferenceBackend::potrf_scratch(Triangle, std::int64_t, std::int64_t,
                                             ElementType) const {
  return 0;
}

void ReferenceBackend::potrf(Triangle triangle, const View& A, const View& info, Scratch) {
  const std::int64_t n = A.rows();
  std::vector<Vector> L(n, Vector(n));
  for (std::int64_t j = 0; j < n; ++j) {
    Real pivot = load(A, j, j);
    for (std::int64_t k = 0; k < j; ++k) pivot -= L[j][k] * L[j][k];
    if (!(pivot > 0)) return store(j + 1, info, 0);
    L[j][j] = std::sqrt(pivot);
    for (std::int64_t i = j + 1; i < n; ++i) {
      Real sum = symmetric(triangle, A, i, j);
      for (std::int64_t k = 0; k < j; ++k) sum -= L[i][k] * L[j][k];
      L[i][j] = sum / L[j][j];
    }
  }
  for_each(A, [&](auto i, auto j) {
    if (in_triangle(triangle, i, j)) store(L[std::max(i, j)][std::min(i, j)], A, i, j);
  });
  store(0, info, 0);
}

void ReferenceBackend::potrs(Triangle triangle, const ConstView& factor, const View& b, Scratch) {
  const std::int64_t n = factor.rows();
  const auto L = [&](auto i, auto j) { return symmetric(triangle, factor, i, j); };  // j <= i
  Vector x(n);
  for (std::int64_t i = 0; i < n; ++i) {  // L u = b
    Real sum = load(b, i);
    for (std::int64_t j = 0; j < i; ++j) sum -= L(i, j) * x[j];
    x[i] = sum / L(i, i);
  }
  for (std::int64_t i = n - 1; i >= 0; --i) {  // L^T x = u
    Real sum = x[i];
    for (std::int64_t j = i + 1; j < n; ++j) sum -= L(j, i) * x[j];
    x[i] = sum / L(i, i);
  }
  for (std::int64_t i = 0; i < n; ++i) store(x[i], b, i);
}

void ReferenceBackend::smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                                       const View& result) {
  Real ratio = std::numeric_limits<Real>::infinity();
  Real pivot = ratio;
  const auto keep_smaller = [](Real value, Real& least) {
    if (!(value >= least) && !std::isnan(least)) least = value;
  };
  for (std::int64_t i = 0; i < factor.rows(); ++i) {
    const Real square = load(factor, i, i) * load(factor, i, i);
    keep_smaller(square / (load(A, i, i) + value_of(shift)), ratio);
    keep_smaller(square, pivot);
  }
  store(ratio, result, 0);
  store(pivot, result, 1);
}

void ReferenceBackend::add_to_diagonal(Scalar value, const View& A) {
  for (std::int64_t i = 0; i < A.rows(); ++i) store(load(A, i, i) + value_of(value), A, i, i);
}

void ReferenceBackend::mirror(const ConstView& lower, const View& upper) {
  for_each(upper, [&](auto i, auto j) {
    if (j >= i) store(load(lower, j, i), upper, i, j);
  });
}

void ReferenceBackend::norm_and_trace(const ConstView& lower, const ConstView& upper,
                                      const View& norm, const View& trace) {
  Real largest = 0;
  Real diagonal_sum = 0;
  for (std::int64_t i = 0; i < lower.rows(); ++i) {
    Real row_sum = 0;
    for (std::int64_t j = 0; j < lower.columns(); ++j) {
      row_sum += std::abs(load(j < i ? lower : upper, i, j));
    }
    if (!(row_sum <= largest)) largest = row_sum;
    if (std::isnan(largest)) largest = std::numeric_limits<Real>::infinity();
    diagonal_sum += load(lower, i, i);
  }
  store(largest, norm, 0);
  store(diagonal_sum, trace, 0);
}

void ReferenceBackend::project(const ConstView& u, const View& y) {
  Real square = 0;
  Real product = 0;
  for (std::int64_t i = 0; i < y.rows(); ++i) {
    square += load(u, i) * load(u, i);
    product += load(u, i) * load(y, i);
  }
  if (square < std::numeric_limits<double>::min()) return;
  for (std::int64_t i = 0; i < y.rows(); ++i) {
    store(load(y, i) - product / square * load(u, i), y, i);
  }
}

void ReferenceBackend::project_matrix(Triangle triangle, const ConstView& u,
                                      const ConstView& product, const View& A) {
  Real square = 0;
  Real along = 0;
  for (std::int64_t i = 0; i < A.rows(); ++i) {
    square += load(u, i) * load(u, i);
    along += load(u, i) * load(product, i);
  }
  if (square < std::numeric_limits<double>::min()) return;
  for_each(A, [&](auto i, auto j) {
    if (!in_triangle(triangle, i, j)) return;
    const Real cross = load(product, i) * load(u, j) + load(u, i) * load(product, j);
    store(load(A, i, j) - cross / square + along * load(u, i) * load(u, j) / (square * square), A,
          i, j);
  });
}

void ReferenceBackend::identity_unless(const ConstView& flag, Triangle triangle, const View& A) {
  if (load(flag, 0) > 0) return;
  for_each(A, [&](auto i, auto j) {
    if (in_triangle(triangle, i, j)) store(i == j ? 1 : 0, A, i, j);
  });
}

void ReferenceBackend::scale_symmetric(Triangle triangle, const ConstView& factors, const View& A) {
  for_each(A, [&](auto i, auto j) {
    if (in_triangle(triangle, i, j)) {
      store(load(factors, i) * load(A, i, j) * load(factors, j), A, i, j);
    }
  });
}

void ReferenceBackend::scale_columns(const ConstView& A, const ConstView& factors, const View& B) {
  for_each(B, [&](auto i, auto j) { store(load(A, i, j) * load(factors, j), B, i, j); });
}

void ReferenceBackend::column_sums(double factor, const ConstView& A, const View& result) {
  for (std::int64_t j = 0; j < A.columns(); ++j) {
    Real sum = 0;
    for (std::int64_t i = 0; i < A.rows(); ++i) sum += load(A, i, j);
    store(factor * sum, result, j);
  }
}

void ReferenceBackend::column_squares(const ConstView& A, bool add, const View& result) {
  for (std::int64_t j = 0; j < A.columns(); ++j) {
    Real sum = add ? load(result, j) : 0;
    for (std::int64_t i = 0; i < A.rows(); ++i) sum += load(A, i, j) * load(A, i, j);
    store(sum, result, j);
  }
}

}  // namespace natgrad::tests
