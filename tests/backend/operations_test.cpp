#include "backend/cpu/cpu_backend.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
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
  // Have no result to compare; gram, apply, adjoint and potrf run with exactly what they say,
  // fenced.
  without_case.erase("rows_scratch");
  without_case.erase("potrf_scratch");
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) without_case.erase(c.operation);
  for (const std::string& name : without_case) {
    ADD_FAILURE() << name << " has no case in the operation table (tests/backend/operations_*.cpp)";
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
