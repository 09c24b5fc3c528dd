#pragma once

#include "support/trial.hpp"

#include <functional>
#include <string>
#include <vector>

// The one table of operation cases, which proves every backend against the reference
// implementation. Its parts stand in operations_*.cpp; an executable registers the whole of it for
// each device it has.

namespace natgrad::tests {

/// What a case does with a fresh device.
using CaseBody = std::function<void(TestDevice&)>;

struct OperationCase {
  std::string operation;  // as Backend names it
  std::string variant;
  CaseBody body;
};

class OperationTable {
 public:
  void add(std::string operation, std::string variant, CaseBody body) {
    cases_.push_back({std::move(operation), std::move(variant), std::move(body)});
  }

  /// Two cases: body(device, type) for float and double.
  template <class Body>
  void add_types(const std::string& operation, const std::string& variant, Body body) {
    for (ElementType type : {ElementType::float32, ElementType::float64}) {
      add(operation, joined(variant, to_string(type)),
          [=](TestDevice& device) { body(device, type); });
    }
  }

  /// Three cases: body(device, type of the rows, type of the results), "mixed" the third.
  template <class Body>
  void add_row_types(const std::string& operation, const std::string& variant, Body body) {
    add_types(operation, variant,
              [=](TestDevice& device, ElementType type) { body(device, type, type); });
    add(operation, joined(variant, "mixed"),
        [=](TestDevice& device) { body(device, ElementType::float32, ElementType::float64); });
  }

  const std::vector<OperationCase>& cases() const { return cases_; }

 private:
  static std::string joined(const std::string& variant, const std::string& type) {
    return variant.empty() ? type : variant + "_" + type;
  }

  std::vector<OperationCase> cases_;
};

void add_vector_cases(OperationTable& table);
void add_update_cases(OperationTable& table);
void add_matrix_cases(OperationTable& table);
void add_factorization_cases(OperationTable& table);
void add_pivot_cases(OperationTable& table);
void add_eigenvalue_cases(OperationTable& table);
void add_row_cases(OperationTable& table);
void add_row_scaling_cases(OperationTable& table);
void add_not_finite_row_cases(OperationTable& table);
void add_model_cases(OperationTable& table);
void add_field_cases(OperationTable& table);
void add_solve_scalar_cases(OperationTable& table);
void add_step_scalar_cases(OperationTable& table);
void add_likelihood_cases(OperationTable& table);
void add_likelihood_fisher_cases(OperationTable& table);
void add_density_cases(OperationTable& table);
void add_spin_cases(OperationTable& table);

inline OperationTable operation_table() {
  OperationTable table;
  for (auto add : {add_vector_cases, add_update_cases, add_matrix_cases, add_factorization_cases,
                   add_pivot_cases, add_eigenvalue_cases, add_row_cases, add_row_scaling_cases,
                   add_not_finite_row_cases, add_model_cases, add_likelihood_cases,
                   add_likelihood_fisher_cases, add_solve_scalar_cases, add_step_scalar_cases,
                   add_density_cases, add_field_cases, add_spin_cases}) {
    add(table);
  }
  return table;
}

/// Registers every case, or those of one operation, as a GoogleTest named
/// `prefix`operations.OPERATION_VARIANT. `make` may skip the test where the device is missing, and
/// then returns no backend.
void register_operations(const std::string& prefix, std::function<TestDevice()> make,
                         const std::string& operation = {});

}  // namespace natgrad::tests
