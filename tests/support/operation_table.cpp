#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <utility>

namespace natgrad::tests {

namespace {

class OperationTest : public testing::Test {
 public:
  OperationTest(std::shared_ptr<const std::function<TestDevice()>> make, CaseBody body)
      : make_(std::move(make)), body_(std::move(body)) {}

  void TestBody() override {
    TestDevice device = (*make_)();
    if (device.backend != nullptr) body_(device);
  }

 private:
  std::shared_ptr<const std::function<TestDevice()>> make_;
  CaseBody body_;
};

}  // namespace

void register_operations(const std::string& prefix, std::function<TestDevice()> make,
                         const std::string& operation) {
  const auto shared = std::make_shared<const std::function<TestDevice()>>(std::move(make));
  const std::string suite = prefix + "operations";
  const OperationTable table = operation_table();
  for (const OperationCase& c : table.cases()) {
    // This may run before the constants of a file exist that its cases stand in.
    if (c.operation.empty()) throw std::logic_error("a case of the operation table has no name");
    if (!operation.empty() && c.operation != operation) continue;
    const std::string name = c.operation + (c.variant.empty() ? "" : "_") + c.variant;
    testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [=]() -> testing::Test* { return new OperationTest(shared, c.body); });
  }
}

}  // namespace natgrad::tests
