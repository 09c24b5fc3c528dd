#include "backend/model_sizes.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <string>
#include <vector>

// Scalar fields: tanh units with their derivatives, points, exact solutions.

namespace natgrad::tests {

namespace {

/// Points, units; columns beyond one block of units, and several blocks of points.
constexpr Size point_sizes[] = {{0, 5, 0}, {1, 1, 0}, {3, 15, 3}, {13, 65, 0}, {71, 131, 5}};

void add_tanh_cases(OperationTable& table) {
  for (const std::int64_t terms :
       {std::int64_t{1}, std::int64_t{3}, std::int64_t{4}, std::int64_t{7}}) {
    const std::string name = "terms_" + std::to_string(terms);
    for (const bool in_place : {false, true}) {
      table.add_types("tanh_terms", name + (in_place ? "_in_place" : ""),
                      [=](TestDevice& device, ElementType type) {
                        for_sizes(device, point_sizes, [=](Trial& trial, const Size& size) {
                          const std::int64_t rows = size.rows * terms;
                          const Operand bias = trial.vector(size.columns, type, Use::input);
                          const Operand z = trial.matrix(rows, size.columns, type, Use::both);
                          const Operand a =
                              in_place ? z : trial.matrix(rows, size.columns, type, Use::output);
                          spread(trial, z, 2);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.tanh_terms(terms, of(bias), of(z), of(a));
                          });
                          // Derivatives are at most 2, |a''| at most 0.77, and so are their errors.
                          if (!in_place) trial.expect_rounded(z, 1);
                          trial.expect_within(a, 64 * static_cast<double>(terms) * epsilon(type));
                        });
                      });
    }
    table.add_types("tanh_terms_backward", name, [=](TestDevice& device, ElementType type) {
      for_sizes(device, point_sizes, [=](Trial& trial, const Size& size) {
        const std::int64_t rows = size.rows * terms;
        const Operand z = trial.matrix(rows, size.columns, type, Use::input);
        const Operand a = trial.matrix(rows, size.columns, type, Use::input);
        const Operand delta = trial.matrix(rows, size.columns, type, Use::both);
        spread(trial, z, 2);
        trial.run([&](Backend& backend, const Side& of) {
          backend.tanh_terms_backward(terms, of(z), of(a), of(delta));
        });
        trial.expect_within(delta, 256 * static_cast<double>(terms) * epsilon(type));
      });
    });
  }
}

void add_point_cases(OperationTable& table) {
  for (const bool on_faces : {false, true}) {
    table.add_types("draw_points", on_faces ? "faces" : "cube",
                    [=](TestDevice& device, ElementType type) {
                      for_sizes(device, [=](Trial& trial, const Size& size) {
                        const Operand counter =
                            trial.vector(ElementType::float64, Use::input, std::vector<double>{3});
                        const Operand x = trial.matrix(size.rows, size.columns, type, Use::output);
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.draw_points(81, of(counter), on_faces, of(x));
                        });
                        trial.expect_rounded(x, 1);
                      });
                    });
  }
  for (const auto& solution : poisson_solution_table) {
    for (const bool laplacian : {false, true}) {
      table.add_types("solution_at", std::string(solution.name) + (laplacian ? "_laplacian" : ""),
                      [=](TestDevice& device, ElementType type) {
                        for_sizes(device, [=](Trial& trial, const Size& size) {
                          const Operand x = trial.matrix(size.rows, size.columns, type, Use::input);
                          const Operand value =
                              trial.vector(size.rows, ElementType::float64, Use::output);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.solution_at(solution.value, laplacian, of(x), of(value));
                          });
                          // pi times a coordinate is rounded before its sine, and |Laplacian| <=
                          // pi^2 d |u|.
                          const double d = static_cast<double>(size.columns);
                          trial.expect_within(value, 100 * d * d * epsilon(ElementType::float64));
                        });
                      });
    }
  }
}

}  // namespace

void add_field_cases(OperationTable& table) {
  add_tanh_cases(table);
  add_point_cases(table);
}

}  // namespace natgrad::tests
