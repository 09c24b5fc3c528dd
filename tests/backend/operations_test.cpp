#include "backend/cpu/cpu_backend.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <set>
#include <string>

namespace natgrad::tests {

namespace {

[[maybe_unused]] const bool cpu_is_registered = [] {
  register_operations("cpu/", [] {
    return TestDevice{.backend = std::make_unique<CpuBackend>(), .memory = host_memory()};
  });
  return true;
}();

/// Names of the pure virtual functions of the backend and its groups of operations.
std::set<std::string> declared_operations() {
  std::set<std::string> names;
  for (const char* header : {"backend", "models"}) {
    std::ifstream file(std::string(NATGRAD_SOURCE_DIR "/src/backend/") + header + ".hpp");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::regex declaration(R"(virtual\s[^;~]*?(\w+)\s*\([^;]*\)\s*(const\s*)?=\s*0\s*;)");
    for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end;
         ++match) {
      names.insert((*match)[1]);
    }
  }
  return names;
}

TEST(operations, every_operation_has_a_case) {
  std::set<std::string> without_case = declared_operations();
  ASSERT_GE(without_case.size(), 30U) << "backend.hpp was not read as it is written";
  // Have no result to compare; gram, apply, adjoint and potrf run with exactly what they say,
  // fenced.
  without_case.erase("rows_scratch");
  without_case.erase("potrf_scratch");
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) without_case.erase(c.operation);
  for (const std::string& name : without_case) {
    ADD_FAILURE() << name << " has no case in the operation table (tests/operations_*.cpp)";
  }
}

TEST(operations, every_case_names_an_operation) {
  const std::set<std::string> names = declared_operations();
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) {
    EXPECT_TRUE(names.contains(c.operation)) << c.operation << " is not in backend.hpp";
  }
}

}  // namespace

}  // namespace natgrad::tests
