#include "backend/cpu/cpu_backend.hpp"
#include "scores/gram_way.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace natgrad::tests {

namespace {

[[maybe_unused]] const bool cpu_is_registered = [] {
  register_operations("cpu/", [] {
    return TestDevice{.backend = std::make_unique<CpuBackend>(), .memory = host_memory()};
  });
  return true;
}();

/// The headers of the backend interface: those of its two implementations lie in folders below.
std::string interface_text() {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(NATGRAD_SOURCE_DIR "/src/backend")) {
    if (entry.path().extension() != ".hpp") continue;
    std::ifstream file(entry.path());
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return text;
}

/// Names of the pure virtual functions of the backend interface.
std::set<std::string> declared_operations() {
  const std::string text = interface_text();
  const std::regex declaration(R"(virtual\s[^;~]*?(\w+)\s*\([^;]*\)\s*(const\s*)?=\s*0\s*;)");
  std::set<std::string> names;
  for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end;
       ++match) {
    names.insert((*match)[1]);
  }
  return names;
}

TEST(operations, every_operation_has_a_case) {
  std::set<std::string> without_case = declared_operations();
  ASSERT_GE(without_case.size(), 30U) << "src/backend/*.hpp were not read as they are written";
  // Have no result to compare; gram, apply, adjoint, potrf and syevd run with exactly what they
  // say, fenced.
  without_case.erase("rows_scratch");
  without_case.erase("potrf_scratch");
  without_case.erase("syevd_scratch");
  // Numbers of a device, not of operands; tests of their own say which.
  without_case.erase("double_cost");
  without_case.erase("row_costs");
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) without_case.erase(c.operation);
  for (const std::string& name : without_case) {
    ADD_FAILURE() << name << " has no case in the operation table (tests/backend/operations_*.cpp)";
  }
}

TEST(operations, the_cpu_takes_twice_as_long_in_double) {
  EXPECT_EQ(CpuBackend().double_cost(), 2);
}

/// A layer (2, 3) with one term in 4 rows. In multiply-adds the products of its pairs come to
/// 16 / 2 (3 + 2 + `pair_overhead`), that of its columns to 16 / 2 (6 + `passes`) and, to write
/// them, 4 x 6 (1 + `materializing_overhead`).
bool is_materialized(const RowCosts& costs) {
  LayerUse use{.rows = 4, .inputs = 3, .outputs = 2, .weight_offset = 0};
  detail::choose_gram_way({&use, 1}, 4, costs);
  return use.materialized;
}

TEST(operations, costs_of_the_backend_choose_the_way_to_the_gram) {
  EXPECT_FALSE(is_materialized({.pair_overhead = 0, .materializing_overhead = 0, .passes = 0}));
  EXPECT_FALSE(is_materialized({.pair_overhead = 3.9, .materializing_overhead = 0, .passes = 0}));
  EXPECT_TRUE(is_materialized({.pair_overhead = 4.1, .materializing_overhead = 0, .passes = 0}));
  EXPECT_FALSE(is_materialized({.pair_overhead = 5.9, .materializing_overhead = 0, .passes = 2}));
  EXPECT_TRUE(is_materialized({.pair_overhead = 6.1, .materializing_overhead = 0, .passes = 2}));
  EXPECT_FALSE(is_materialized({.pair_overhead = 6.9, .materializing_overhead = 1, .passes = 0}));
  EXPECT_TRUE(is_materialized({.pair_overhead = 7.1, .materializing_overhead = 1, .passes = 0}));
  const LayerUse alone{.rows = 4, .inputs = 3, .outputs = 2};
  EXPECT_EQ(detail::gram_operations(alone, 4, {1, 0, 0}), 6);
  EXPECT_EQ(detail::gram_operations(alone, 4, {9, 0, 0}), 6 + 3);
}

/// Raises SIGFPE while it lives, as programs do that trap floating-point errors.
class Traps {
 public:
  Traps() {
    // Whatever earlier tests left set would be raised at the next x87 instruction.
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(errors);
  }
  ~Traps() { fedisableexcept(errors); }
  Traps(const Traps&) = delete;
  Traps& operator=(const Traps&) = delete;

 private:
  static constexpr int errors = FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW;
};

View column(std::vector<double>& numbers) {
  return {numbers.data(), {static_cast<std::int64_t>(numbers.size()), 1}};
}

// Whatever |u| is: the mean of rows of weight 0, or of rows that are tiny.
TEST(operations, projections_on_the_cpu_raise_no_floating_point_error) {
  CpuBackend backend;
  for (double size : {0.0, 1e-320, 1e-160, 1e-100, 1e-90, 1.0, 1e70}) {
    std::vector<double> u(5, size);
    std::vector<double> product(5, size);
    std::vector<double> y = {1, 2, 3, 4, 5};
    std::vector<double> A(25, 1);
    {
      const Traps traps;
      backend.project(column(u), column(y));
      backend.project_matrix(Triangle::lower, column(u), column(product), View(A.data(), {5, 5}));
    }
    const bool spans = size > 1e-154;
    for (int i = 0; i < 5; ++i) {
      EXPECT_NEAR(y[i], spans ? i - 2 : i + 1, 1e-14) << size;
      // A u = u here, and so P A P = A - u u^T / |u|^2.
      EXPECT_NEAR(A[i * 5], spans ? 0.8 : 1, 1e-14) << size;
    }
  }
}

TEST(operations, rows_without_anything_raise_no_floating_point_error_on_the_cpu) {
  CpuBackend backend;
  const Traps traps;
  for (std::int64_t n : {0, 3}) {
    for (bool materialized : {false, true}) {
      std::vector<double> numbers(1);  // a view of none has an address too
      const LayerUse use{.inputs = 2,
                         .outputs = 1,
                         .materialized = materialized,
                         .weight_offset = 0,
                         .input = View(numbers.data(), {0, 2}),
                         .output_score = View(numbers.data(), {0, 1})};
      std::vector<double> scale(n + 1, 1);
      const RowBatch rows{{&use, 1}, View(scale.data(), {n, 1})};
      std::vector<std::byte> memory(static_cast<std::size_t>(
          backend.rows_scratch(rows.blocks, n, ElementType::float64, ElementType::float64)));
      const Scratch scratch{memory.data(), static_cast<std::int64_t>(memory.size())};
      std::vector<double> K(n * n + 1, 7);
      std::vector<double> v = {1, 1};
      std::vector<double> z(n + 1, 7);
      std::vector<double> g = {4, 6};
      backend.gram(rows, View(K.data(), {n, n}), scratch);
      backend.apply(rows, column(v), View(z.data(), {n, 1}), scratch);
      backend.adjoint(rows, View(z.data(), {n, 1}), 0.5, column(g), scratch);
      EXPECT_EQ(g, (std::vector<double>{2, 3}));
      for (std::int64_t i = 0; i < n; ++i) {
        EXPECT_EQ(z[i], 0);
        EXPECT_EQ(K[i * n], 0);
      }
    }
  }
}

TEST(operations, every_case_names_an_operation) {
  const std::set<std::string> names = declared_operations();
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) {
    EXPECT_TRUE(names.contains(c.operation)) << c.operation << " is not in src/backend/*.hpp";
  }
}

}  // namespace

}  // namespace natgrad::tests
