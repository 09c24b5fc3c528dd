#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

// Products, and what reads or writes parts of a matrix.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Product {
  std::int64_t m, n, k, padding;
};

constexpr Product products[] = {{0, 0, 0, 0},     {0, 5, 3, 1},   {5, 0, 3, 1},    {5, 3, 0, 0},
                                {5, 3, 0, 2},     {1, 1, 1, 0},   {13, 15, 17, 0}, {13, 15, 17, 3},
                                {1, 15, 17, 3},   {13, 1, 17, 3}, {13, 15, 1, 3},  {65, 129, 33, 0},
                                {129, 150, 67, 3}};

struct Square {
  std::int64_t n, padding;
};

constexpr Square squares[] = {{0, 0}, {0, 2}, {1, 0}, {1, 2}, {13, 0}, {13, 3}, {201, 0}, {201, 5}};

template <class Sizes, class Body>
void for_sizes(TestDevice& device, const Sizes& sizes, const Body& body) {
  for (const auto& size : sizes) {
    if constexpr (requires { size.m; }) {
      SCOPED_TRACE("m " + std::to_string(size.m) + ", n " + std::to_string(size.n) + ", k " +
                   std::to_string(size.k) + ", padding " + std::to_string(size.padding));
      Trial trial(device, size.padding);
      body(trial, size);
    } else {
      SCOPED_TRACE("n " + std::to_string(size.n) + ", padding " + std::to_string(size.padding));
      Trial trial(device, size.padding);
      body(trial, size);
    }
  }
}

void fill(Trial& trial, Operand operand, double value) {
  trial.set(operand, std::vector<double>(trial.given(operand).size(), value));
}

Part part_of(Triangle triangle) { return triangle == Triangle::lower ? Part::lower : Part::upper; }

void add_product_cases(OperationTable& table) {
  struct Orders {
    const char* name;
    Transpose a, b;
  };
  for (Orders orders :
       {Orders{"nn", Transpose::no, Transpose::no}, Orders{"nt", Transpose::no, Transpose::yes},
        Orders{"tn", Transpose::yes, Transpose::no},
        Orders{"tt", Transpose::yes, Transpose::yes}}) {
    table.add_types("gemm", orders.name, [=](TestDevice& device, ElementType type) {
      for (double b : {0.0, 1.0, -0.5}) {
        for_sizes(device, products, [=](Trial& trial, const Product& p) {
          const bool a_is_transposed = orders.a == Transpose::yes;
          const bool b_is_transposed = orders.b == Transpose::yes;
          const Operand A = trial.matrix(a_is_transposed ? p.k : p.m, a_is_transposed ? p.m : p.k,
                                         type, Use::input);
          const Operand B = trial.matrix(b_is_transposed ? p.n : p.k, b_is_transposed ? p.k : p.n,
                                         type, Use::input);
          const Operand C = trial.matrix(p.m, p.n, type, Use::both);
          if (b == 0) fill(trial, C, nan);
          trial.run([&](Backend& backend, const Side& of) {
            backend.gemm(orders.a, orders.b, of(1.5), of(A), of(B), of(b), of(C));
          });
          trial.expect_sums(C, p.k);
        });
      }
    });
  }
  table.add_types("gemm", "not_finite", [](TestDevice& device, ElementType type) {
    Trial trial(device);
    const Operand A = trial.matrix(13, 17, type, Use::input);
    const Operand B = trial.matrix(17, 15, type, Use::input);
    const Operand C = trial.matrix(13, 15, type, Use::output);
    std::vector<double> elements = trial.given(A);
    elements[2 * 17 + 5] = nan;
    elements[7 * 17 + 1] = infinity;
    trial.set(A, elements);
    trial.run([&](Backend& backend, const Side& of) {
      backend.gemm(Transpose::no, Transpose::no, 1, of(A), of(B), 0, of(C));
    });
    trial.expect_sums(C, 17);
  });

  table.add("gemm", "tf32", [](TestDevice& device) {
    for_sizes(device, products, [](Trial& trial, const Product& p) {
      const Operand A = trial.matrix(p.m, p.k, ElementType::float32, Use::input);
      const Operand B = trial.matrix(p.n, p.k, ElementType::float32, Use::input);
      const Operand C = trial.matrix(p.m, p.n, ElementType::float32, Use::both);
      trial.run([&](Backend& backend, const Side& of) {
        backend.gemm(Transpose::no, Transpose::yes, of(1.5), of(A), of(B), of(-0.5), of(C),
                     MathMode::tf32);
      });
      trial.expect_tf32_sums(C, p.k, 2);
    });
  });

  for (Triangle triangle : {Triangle::lower, Triangle::upper}) {
    const std::string name = triangle == Triangle::lower ? "lower" : "upper";
    for (Transpose transpose : {Transpose::no, Transpose::yes}) {
      const bool transposed = transpose == Transpose::yes;
      table.add_types(
          "syrk", name + (transposed ? "_t" : "_n"), [=](TestDevice& device, ElementType type) {
            for (double b : {0.0, 1.0, -0.5}) {
              for_sizes(device, products, [=](Trial& trial, const Product& p) {
                const Operand A =
                    trial.matrix(transposed ? p.k : p.n, transposed ? p.n : p.k, type, Use::input);
                const Operand C = trial.matrix(p.n, p.n, type, Use::both, part_of(triangle));
                if (b == 0) fill(trial, C, nan);
                trial.run([&](Backend& backend, const Side& of) {
                  backend.syrk(triangle, transpose, of(-1.5), of(A), of(b), of(C));
                });
                trial.expect_sums(C, p.k);
              });
            }
          });
    }
    table.add_types("symv", name, [=](TestDevice& device, ElementType type) {
      for_sizes(device, squares, [=](Trial& trial, const Square& s) {
        const Operand A = trial.matrix(s.n, s.n, type, Use::input, part_of(triangle));
        const Operand x = trial.vector(s.n, type, Use::input);
        const Operand y = trial.vector(s.n, type, Use::output);
        trial.run(
            [&](Backend& backend, const Side& of) { backend.symv(triangle, of(A), of(x), of(y)); });
        trial.expect_sums(y, s.n);
      });
    });
  }
}

void add_diagonal_cases(OperationTable& table) {
  table.add_types("add_to_diagonal", "", [](TestDevice& device, ElementType type) {
    for (bool constant : {true, false}) {
      for_sizes(device, squares, [=](Trial& trial, const Square& s) {
        const Operand element = trial.scalar(0.3);
        const Operand A = trial.matrix(s.n, s.n, type, Use::both);
        trial.run([&](Backend& backend, const Side& of) {
          backend.add_to_diagonal(constant ? Scalar(of(-0.7)) : Scalar(of(element)), of(A));
        });
        trial.expect_rounded(A, 1);
        for (std::int64_t i = 0; i < s.n; ++i) {
          for (std::int64_t j = 0; j < s.n; ++j) {
            if (i == j) continue;
            ASSERT_EQ(trial.actual(A)[i * s.n + j], trial.expected(A)[i * s.n + j])
                << "off the diagonal";
          }
        }
      });
    }
  });
  table.add_types("copy", "diagonal", [](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const Operand A = trial.matrix(s.n, s.n, type, Use::input);
      const Operand d = trial.vector(s.n, type, Use::output);
      trial.run([&](Backend& backend, const Side& of) { backend.copy(diagonal_of(of(A)), of(d)); });
      trial.expect_equal(d);
      for (std::int64_t i = 0; i < s.n; ++i) {
        const double element = trial.given(A)[i * s.n + i];
        ASSERT_NEAR(trial.actual(d)[i], element, epsilon(type)) << i;
      }
    });
  });
}

void add_triangle_cases(OperationTable& table) {
  table.add_types("mirror", "to_another", [](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const Operand lower = trial.matrix(s.n, s.n, type, Use::input, Part::lower);
      const Operand upper = trial.matrix(s.n, s.n, type, Use::output, Part::upper);
      trial.run([&](Backend& backend, const Side& of) { backend.mirror(of(lower), of(upper)); });
      trial.expect_equal(upper);
    });
  });
  table.add_types("mirror", "in_place", [](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const Operand A = trial.matrix(s.n, s.n, type, Use::both);
      trial.run([&](Backend& backend, const Side& of) { backend.mirror(of(A), of(A)); });
      trial.expect_equal(A);
    });
  });

  for (Triangle triangle : {Triangle::lower, Triangle::upper}) {
    table.add_types("identity_unless", triangle == Triangle::lower ? "lower" : "upper",
                    [=](TestDevice& device, ElementType type) {
                      for (double flag : {1.0, 0.0, -1.0, nan}) {
                        for_sizes(device, squares, [=](Trial& trial, const Square& s) {
                          const Operand finite = trial.scalar(flag);
                          const Operand A =
                              trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
                          if (!(flag > 0)) fill(trial, A, nan);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.identity_unless(of(finite), triangle, of(A));
                          });
                          trial.expect_equal(A);
                        });
                      }
                    });
  }

  // Differences cancel, so that rounding errors are measured by the operands, not by the result:
  // |P| = 1, and the products with u are sums of n.
  const auto largest = [](const Trial& trial, Operand operand) {
    double value = 0;
    for (double element : trial.given(operand)) value = std::max(value, std::abs(element));
    return value;
  };
  table.add_types("project", "", [=](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const Operand u = trial.vector(s.n, type, Use::input);
      const Operand y = trial.vector(s.n, type, Use::both);
      trial.run([&](Backend& backend, const Side& of) { backend.project(of(u), of(y)); });
      trial.expect_within(y, static_cast<double>(s.n + 4) * epsilon(type) * largest(trial, y));
    });
  });
  for (Triangle triangle : {Triangle::lower, Triangle::upper}) {
    table.add_types("project_matrix", triangle == Triangle::lower ? "lower" : "upper",
                    [=](TestDevice& device, ElementType type) {
                      for_sizes(device, squares, [=](Trial& trial, const Square& s) {
                        const Operand u = trial.vector(s.n, type, Use::input);
                        const Operand p = trial.vector(s.n, type, Use::input);
                        const Operand A =
                            trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.project_matrix(triangle, of(u), of(p), of(A));
                        });
                        double square = 0;
                        for (double element : trial.given(u)) square += element * element;
                        const double most = largest(trial, u);
                        const double share = s.n == 0 ? 0 : most * largest(trial, p) / square;
                        trial.expect_within(
                            A, 8 * epsilon(type) *
                                   (largest(trial, A) + share * (2 + static_cast<double>(s.n))));
                      });
                    });
  }
  table.add_types("project", "zero", [=](TestDevice& device, ElementType type) {
    Trial trial(device);
    const Operand u = trial.vector(type, Use::input, std::vector<double>(13));
    const Operand y = trial.vector(13, type, Use::both);
    const Operand A = trial.matrix(13, 13, type, Use::both, Part::lower);
    trial.run([&](Backend& backend, const Side& of) {
      backend.project(of(u), of(y));
      backend.project_matrix(Triangle::lower, of(u), of(y), of(A));
    });
    trial.expect_equal(y);
    trial.expect_equal(A);
  });

  // The fourth power of |u| underflows first, and then its square does, of which P is I.
  for (double size : {1e-90, 1e-160}) {
    table.add("project", size > 1e-100 ? "small" : "negligible", [=](TestDevice& device) {
      constexpr std::int64_t n = 13;
      Trial trial(device);
      const Operand u =
          trial.vector(ElementType::float64, Use::input, std::vector<double>(n, size));
      const Operand p =
          trial.vector(ElementType::float64, Use::input, std::vector<double>(n, size));
      const Operand y = trial.vector(n, ElementType::float64, Use::both);
      const Operand A = trial.matrix(n, n, ElementType::float64, Use::both, Part::lower);
      trial.run([&](Backend& backend, const Side& of) {
        backend.project(of(u), of(y));
        backend.project_matrix(Triangle::lower, of(u), of(p), of(A));
      });
      trial.expect_within(y, 20 * epsilon(ElementType::float64));
      trial.expect_within(A, 20 * epsilon(ElementType::float64));
    });
  }

  const auto two_triangles = [](Trial& trial, std::int64_t n, ElementType type) {
    return std::pair{trial.matrix(n, n, type, Use::input, Part::lower),
                     trial.matrix(n, n, type, Use::input, Part::upper)};
  };
  // Makes `upper` the other half of what `lower` is one half of, with one element chosen.
  const auto set_symmetric = [](Trial& trial, Operand lower, Operand upper, std::int64_t n,
                                std::int64_t row, std::int64_t column, double value) {
    std::vector<double> elements = trial.given(lower);
    if (n > 0) elements[row * n + column] = value;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) elements[j * n + i] = elements[i * n + j];
    }
    trial.set(lower, elements);
    trial.set(upper, elements);
  };
  table.add_types("norm_and_trace", "two_arrays", [=](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const auto [lower, upper] = two_triangles(trial, s.n, type);
      set_symmetric(trial, lower, upper, s.n, 0, 0, -0.5);
      const Operand norm = trial.scalar_output();
      const Operand trace = trial.scalar_output();
      trial.run([&, lower = lower, upper = upper](Backend& backend, const Side& of) {
        backend.norm_and_trace(of(lower), of(upper), of(norm), of(trace));
      });
      trial.expect_sums(norm, s.n);
      trial.expect_sums(trace, s.n);
    });
  });
  table.add_types("norm_and_trace", "one_array", [=](TestDevice& device, ElementType type) {
    for_sizes(device, squares, [=](Trial& trial, const Square& s) {
      const Operand A = trial.matrix(s.n, s.n, type, Use::input);
      set_symmetric(trial, A, A, s.n, 0, 0, -0.5);
      const Operand norm = trial.scalar_output();
      const Operand trace = trial.scalar_output();
      trial.run([&](Backend& backend, const Side& of) {
        backend.norm_and_trace(of(A), of(A), of(norm), of(trace));
      });
      trial.expect_sums(norm, s.n);
      trial.expect_sums(trace, s.n);
    });
  });
  table.add_types("norm_and_trace", "not_finite", [=](TestDevice& device, ElementType type) {
    for (double bad : {nan, infinity, -infinity}) {
      for (auto [row, column] : {std::pair{0, 0}, std::pair{12, 12}, std::pair{12, 0},
                                 std::pair{7, 3}, std::pair{1, 0}}) {
        SCOPED_TRACE(std::to_string(bad) + " at " + to_string(Shape{row, column}));
        Trial trial(device, 1);
        const auto [lower, upper] = two_triangles(trial, 13, type);
        set_symmetric(trial, lower, upper, 13, row, column, bad);
        const Operand norm = trial.scalar_output();
        const Operand trace = trial.scalar_output();
        trial.run([&, lower = lower, upper = upper](Backend& backend, const Side& of) {
          backend.norm_and_trace(of(lower), of(upper), of(norm), of(trace));
        });
        EXPECT_FALSE(std::isfinite(trial.actual(norm).front()));
        trial.expect_sums(trace, 13);
      }
    }
  });

  table.add_types("column_sums", "", [](TestDevice& device, ElementType type) {
    for (double factor : {1.0, -0.3}) {
      for_sizes(device, products, [=](Trial& trial, const Product& p) {
        const Operand A = trial.matrix(p.m, p.n, type, Use::input);
        const Operand result = trial.vector(p.n, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.column_sums(of(factor), of(A), of(result));
        });
        trial.expect_sums(result, p.m);
      });
    }
  });
  for (Triangle triangle : {Triangle::lower, Triangle::upper}) {
    table.add_types("scale_symmetric", triangle == Triangle::lower ? "lower" : "upper",
                    [=](TestDevice& device, ElementType type) {
                      for_sizes(device, squares, [=](Trial& trial, const Square& s) {
                        const Operand f = trial.vector(s.n, type, Use::input);
                        const Operand A =
                            trial.matrix(s.n, s.n, type, Use::both, part_of(triangle));
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.scale_symmetric(triangle, of(f), of(A));
                        });
                        trial.expect_rounded(A, 3);
                      });
                    });
  }
  for (bool in_place : {false, true}) {
    table.add_types(
        "scale_columns", in_place ? "in_place" : "", [=](TestDevice& device, ElementType type) {
          for_sizes(device, products, [=](Trial& trial, const Product& p) {
            const Operand f = trial.vector(p.n, type, Use::input);
            const Operand A = trial.matrix(p.m, p.n, type, in_place ? Use::both : Use::input);
            const Operand B = in_place ? A : trial.matrix(p.m, p.n, type, Use::output);
            trial.run([&](Backend& backend, const Side& of) {
              backend.scale_columns(of(A), of(f), of(B));
            });
            trial.expect_rounded(B, 1);
          });
        });
  }
  table.add_types("column_squares", "", [](TestDevice& device, ElementType type) {
    for (bool add : {false, true}) {
      for_sizes(device, products, [=](Trial& trial, const Product& p) {
        const Operand A = trial.matrix(p.m, p.n, type, Use::input);
        const Operand result = trial.vector(p.n, type, Use::both);
        if (!add) fill(trial, result, nan);
        trial.run([&](Backend& backend, const Side& of) {
          backend.column_squares(of(A), add, of(result));
        });
        trial.expect_sums(result, p.m);
      });
    }
  });
}

}  // namespace

void add_matrix_cases(OperationTable& table) {
  add_product_cases(table);
  add_diagonal_cases(table);
  add_triangle_cases(table);
}

}  // namespace natgrad::tests
