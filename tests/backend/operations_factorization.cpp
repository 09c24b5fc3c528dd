#include "support/operation_table.hpp"
#include "support/sanitized.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

// Cholesky: judged by its backward error, since the factor itself is only as good as the matrix.

namespace natgrad::tests {

namespace {

struct Square {
  std::int64_t n, padding;
};

// A backend may take blocks of 64 rows, and accesses of 16 bytes where rows lie at multiples of
// them.
constexpr Square squares[] = {{1, 0},  {1, 2},  {2, 0},  {13, 0},  {13, 3},  {64, 0},
                              {65, 0}, {65, 7}, {97, 5}, {128, 0}, {201, 7}, {300, 16}};

/// G G^T + `shift` I for the elements of G.
std::vector<double> positive_definite(const std::vector<double>& G, std::int64_t n, double shift) {
  std::vector<double> A(G.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = i == j ? shift : 0;
      for (std::int64_t k = 0; k < n; ++k) sum += G[i * n + k] * G[j * n + k];
      A[i * n + j] = sum;
    }
  }
  return A;
}

/// As the array holds it.
double stored(double value, ElementType type) {
  return type == ElementType::float32 ? static_cast<double>(static_cast<float>(value)) : value;
}

/// Entry (i, j) of L L^T, j <= i.
void expect_entry(const std::vector<double>& A, const std::vector<double>& L, std::int64_t i,
                  std::int64_t j, std::int64_t n, ElementType type) {
  long double sum = 0;
  long double magnitude = 0;
  for (std::int64_t k = 0; k <= j; ++k) {
    const long double product = static_cast<long double>(L[i * n + k]) * L[j * n + k];
    sum += product;
    magnitude += std::abs(product);
  }
  const double bound = factor_bound(n, type, static_cast<double>(magnitude));
  ASSERT_TRUE(within(static_cast<double>(sum), stored(A[i * n + j], type), bound))
      << "row " << i << ", column " << j << " of L L^T";
}

void expect_factor_of(const std::vector<double>& A, const std::vector<double>& L, std::int64_t n,
                      ElementType type) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      expect_entry(A, L, i, j, n, type);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

/// |L L^T x - b| against |L| |L|^T |x|.
void expect_solution(const std::vector<double>& L, const std::vector<double>& x,
                     const std::vector<double>& b, std::int64_t n, ElementType type) {
  std::vector<long double> u(n);
  std::vector<long double> u_magnitude(n);
  for (std::int64_t k = 0; k < n; ++k) {
    for (std::int64_t j = k; j < n; ++j) {
      const long double product = static_cast<long double>(stored(L[j * n + k], type)) * x[j];
      u[k] += product;
      u_magnitude[k] += std::abs(product);
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    long double sum = 0;
    long double magnitude = 0;
    for (std::int64_t k = 0; k <= i; ++k) {
      const long double l = stored(L[i * n + k], type);
      sum += l * u[k];
      magnitude += std::abs(l) * u_magnitude[k];
    }
    ASSERT_TRUE(within(static_cast<double>(sum), stored(b[i], type),
                       solve_bound(n, type, static_cast<double>(magnitude))))
        << "row " << i << " of A x";
  }
}

/// |A x - 1| against |A| |x|.
void expect_ones(const std::vector<double>& A, const std::vector<double>& x, ElementType type) {
  const std::size_t n = x.size();
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    double magnitude = 0;
    for (std::size_t j = 0; j < n; ++j) {
      sum += stored(A[i * n + j], type) * x[j];
      magnitude += std::abs(A[i * n + j] * x[j]);
    }
    ASSERT_TRUE(within(sum, 1, solve_bound(static_cast<std::int64_t>(n), type, magnitude)))
        << "row " << i << " of A x";
  }
}

Part part_of(Triangle triangle) { return triangle == Triangle::lower ? Part::lower : Part::upper; }

/// For an upper triangle these functions speak of L = U^T.
std::vector<double> as_lower(Triangle triangle, const std::vector<double>& elements,
                             std::int64_t n) {
  if (triangle == Triangle::lower) return elements;
  std::vector<double> lower(elements.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) lower[i * n + j] = elements[j * n + i];
  }
  return lower;
}

void factors_positive_definite(TestDevice& device, Triangle triangle, ElementType type) {
  for (const Square& s : squares) {
    // A small shift makes it ill-conditioned, which the backward error does not see.
    for (double shift : {1.0, 1e-2}) {
      SCOPED_TRACE("n " + std::to_string(s.n) + ", padding " + std::to_string(s.padding));
      Trial trial(device, s.padding);
      const Operand A = trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
      const Operand info = trial.scalar_output();
      trial.set(A, positive_definite(trial.given(A), s.n, shift));
      trial.run([&](Backend& backend, const Side& of) {
        backend.potrf(triangle, of(A), of(info), of.factor_scratch(triangle, A));
      });
      EXPECT_EQ(trial.actual(info).front(), 0);
      expect_factor_of(trial.given(A), as_lower(triangle, trial.actual(A), s.n), s.n, type);
    }
  }
}

/// Sizes for which a library may choose another algorithm, and too large for the reference
/// implementation. The other triangle is a fence: the damped system keeps its matrix there.
void factors_large(TestDevice& device, Triangle triangle, ElementType type) {
  for (std::int64_t n : {sanitized ? 260 : 1028, sanitized ? 516 : 3000}) {
    SCOPED_TRACE("n " + std::to_string(n));
    Backend& backend = *device.backend;
    FencedArray A(
        backend, device.memory,
        {.shape = {n, n}, .type = type, .leading_dimension = n + 16, .part = part_of(triangle)});
    FencedArray info(backend, device.memory, {.shape = {1, 1}, .type = ElementType::float64});
    const std::int64_t bytes = backend.potrf_scratch(triangle, n, n + 16, type);
    EXPECT_EQ(bytes % 4, 0);
    FencedArray scratch(backend, device.memory,
                        {.shape = {bytes / 4, 1}, .type = ElementType::int32});
    // Symmetric; its smallest eigenvalue is about -1.2 sqrt(n) without the shift (Wigner).
    std::vector<double> elements = random_elements(n * n, 1);
    for (std::int64_t i = 0; i < n; ++i) {
      elements[i * n + i] += 2 * std::sqrt(static_cast<double>(n));
      for (std::int64_t j = 0; j < i; ++j) elements[i * n + j] = elements[j * n + i];
    }
    std::vector<std::uint32_t> first;
    for (int time = 0; time < 2; ++time) {
      A.write(elements);
      info.poison();
      scratch.poison();
      backend.potrf(triangle, A.view(), info.view(),
                    {.data = scratch.view().data(), .bytes = bytes});
      backend.synchronize();
      for (FencedArray* array : {&A, &info, &scratch}) {
        array->fetch();
        EXPECT_EQ(array->broken_fence(), "");
      }
      EXPECT_EQ(info.elements().front(), 0);
      if (time == 0) first = A.bits();
    }
    EXPECT_TRUE(A.bits() == first) << "other bits at the second call";
    // Twice: a solve must leave the scratch as the next one needs it.
    FencedArray x(backend, device.memory, {.shape = {n, 1}, .type = type});
    for (int time = 0; time < 2; ++time) {
      x.write(std::vector<double>(n, 1));
      backend.potrs(triangle, A.view(), x.view(), {.data = scratch.view().data(), .bytes = bytes});
      backend.synchronize();
      x.fetch();
      EXPECT_EQ(x.broken_fence(), "");
      expect_ones(elements, x.elements(), type);
      if (testing::Test::HasFatalFailure()) return;
    }
    // Some entries of every row.
    const std::vector<double> L = as_lower(triangle, A.elements(), n);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j : {std::int64_t{0}, 7919 % (i + 1), i / 2, i - i % 64, i}) {
        expect_entry(elements, L, i, j, n, type);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

void finds_bad_pivots(TestDevice& device, Triangle triangle, ElementType type) {
  for (const Square& s : squares) {
    for (double pivot : {-1.0, 0.0}) {
      // The first, the last, and one between.
      for (std::int64_t bad : {std::int64_t{0}, s.n / 2, s.n - 1}) {
        SCOPED_TRACE("n " + std::to_string(s.n) + ", pivot " + std::to_string(bad));
        Trial trial(device, s.padding);
        const Operand A = trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
        const Operand info = trial.scalar_output();
        // The row and column of the bad pivot are otherwise zero, so that it is exactly `pivot`.
        std::vector<double> elements = positive_definite(trial.given(A), s.n, 1);
        for (std::int64_t i = 0; i < s.n; ++i)
          elements[bad * s.n + i] = elements[i * s.n + bad] = 0;
        elements[bad * s.n + bad] = pivot;
        trial.set(A, elements);
        trial.run([&](Backend& backend, const Side& of) {
          backend.potrf(triangle, of(A), of(info), of.factor_scratch(triangle, A));
        });
        EXPECT_GT(trial.actual(info).front(), 0);
      }
    }
  }
}

void solves(TestDevice& device, Triangle triangle, ElementType type) {
  for (const Square& s : squares) {
    SCOPED_TRACE("n " + std::to_string(s.n) + ", padding " + std::to_string(s.padding));
    Trial trial(device, s.padding);
    const Operand A = trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
    const Operand b = trial.vector(s.n, type, Use::both);
    const Operand info = trial.scalar_output();
    trial.set(A, positive_definite(trial.given(A), s.n, 1));
    trial.run([&](Backend& backend, const Side& of) {
      const Scratch scratch = of.factor_scratch(triangle, A);
      backend.potrf(triangle, of(A), of(info), scratch);
      backend.potrs(triangle, of(A), of(b), scratch);
    });
    const auto expect = [&](const std::vector<double>& factor, const std::vector<double>& x) {
      expect_solution(as_lower(triangle, factor, s.n), x, trial.given(b), s.n, type);
    };
    expect(trial.actual(A), trial.actual(b));
    expect(trial.expected(A), trial.expected(b));
  }
}

/// Row by row what it makes of a vector.
void solves_rows(TestDevice& device, Triangle triangle, ElementType type) {
  for (const Square& s :
       {Square{1, 0}, Square{1, 2}, Square{13, 3}, Square{64, 0}, Square{65, 7}}) {
    for (const std::int64_t count : {0, 1, 3}) {
      SCOPED_TRACE("n " + std::to_string(s.n) + ", rows " + std::to_string(count));
      Trial trial(device, s.padding);
      const Operand A = trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
      const Operand b = trial.matrix(count, s.n, type, Use::both);
      const Operand info = trial.scalar_output();
      trial.set(A, positive_definite(trial.given(A), s.n, 1));
      trial.run([&](Backend& backend, const Side& of) {
        const Scratch scratch = of.factor_scratch(triangle, A);
        backend.potrf(triangle, of(A), of(info), scratch);
        backend.potrs(triangle, of(A), of(b), scratch);
      });
      const auto row = [&](const std::vector<double>& of, std::int64_t i) {
        return std::vector<double>(of.begin() + i * s.n, of.begin() + (i + 1) * s.n);
      };
      const auto expect = [&](const std::vector<double>& factor, const std::vector<double>& x) {
        const std::vector<double> L = as_lower(triangle, factor, s.n);
        for (std::int64_t i = 0; i < count; ++i) {
          expect_solution(L, row(x, i), row(trial.given(b), i), s.n, type);
        }
      };
      expect(trial.actual(A), trial.actual(b));
      expect(trial.expected(A), trial.expected(b));
    }
  }
}

void accepts_nothing(TestDevice& device, Triangle triangle, ElementType type, bool solve) {
  for (std::int64_t padding : {0, 2}) {
    Trial trial(device, padding);
    const Operand A = trial.matrix(0, 0, type, Use::both, part_of(triangle));
    const Operand b = trial.vector(0, type, Use::both);
    const Operand info = trial.vector(ElementType::float64, Use::both, {7});
    trial.run([&](Backend& backend, const Side& of) {
      if (solve)
        backend.potrs(triangle, of(A), of(b), of.factor_scratch(triangle, A));
      else
        backend.potrf(triangle, of(A), of(info), of.factor_scratch(triangle, A));
    });
    trial.expect_equal(info);
  }
}

}  // namespace

void add_factorization_cases(OperationTable& table) {
  for (Triangle triangle : {Triangle::lower, Triangle::upper}) {
    const std::string name = triangle == Triangle::lower ? "lower" : "upper";
    table.add_types("potrf", name, [=](TestDevice& device, ElementType type) {
      factors_positive_definite(device, triangle, type);
    });
    table.add_types(
        "potrf", name + "_not_positive_definite",
        [=](TestDevice& device, ElementType type) { finds_bad_pivots(device, triangle, type); });
    table.add_types("potrf", name + "_empty", [=](TestDevice& device, ElementType type) {
      accepts_nothing(device, triangle, type, false);
    });
    table.add_types("potrf", name + "_large", [=](TestDevice& device, ElementType type) {
      factors_large(device, triangle, type);
    });
    table.add_types("potrs", name,
                    [=](TestDevice& device, ElementType type) { solves(device, triangle, type); });
    table.add_types("potrs", name + "_rows", [=](TestDevice& device, ElementType type) {
      solves_rows(device, triangle, type);
    });
    table.add_types("potrs", name + "_empty", [=](TestDevice& device, ElementType type) {
      accepts_nothing(device, triangle, type, true);
    });
  }
}

}  // namespace natgrad::tests
