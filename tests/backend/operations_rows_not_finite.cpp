#include "backend/row_layouts.hpp"
#include "support/operation_table.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// Rows of S that hold NaN or Inf: they spoil what depends on them, and nothing where their scale
// is 0.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

void set_element(Trial& trial, Operand operand, std::int64_t index, double value) {
  std::vector<double> elements = trial.given(operand);
  elements.at(index) = value;
  trial.set(operand, elements);
}

/// A NaN in a factor spreads to the elements that depend on it, and to no other.
void add_not_finite_cases(OperationTable& table) {
  const Layout& network = layouts()[6];
  const auto rows_with_nan = [&network](Trial& trial, ElementType type) {
    Rows S(trial, network, 13, type);
    // Of a row of scale 0, 0 times another row's NaN may be 0 or NaN.
    std::vector<double> scale = trial.given(S.blocks.scale);
    scale[1] = 0.75;
    trial.set(S.blocks.scale, scale);
    set_element(trial, S.blocks.blocks[0].input, 3 * 13 + 2, nan);
    set_element(trial, S.blocks.blocks[2].output_score, 7 * 6, nan);
    return S;
  };
  table.add_row_types("gram", "not_finite",
                      [=](TestDevice& device, ElementType row, ElementType result) {
                        Trial trial(device);
                        const Rows S = rows_with_nan(trial, row);
                        const Operand K = trial.matrix(13, 13, result, Use::output, Part::lower);
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.gram(of(S.blocks), of(K), of.scratch(S.blocks, result));
                        });
                        trial.expect_sums(K, S.length);
                      });
  table.add_row_types("apply", "not_finite",
                      [=](TestDevice& device, ElementType row, ElementType result) {
                        Trial trial(device);
                        const Rows S = rows_with_nan(trial, row);
                        const Operand v = trial.vector(S.parameters, result, Use::input);
                        const Operand z = trial.vector(13, result, Use::output);
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.apply(of(S.blocks), of(v), of(z), of.scratch(S.blocks, result));
                        });
                        trial.expect_sums(z, S.length);
                      });
  table.add_row_types(
      "adjoint", "not_finite", [=](TestDevice& device, ElementType row, ElementType result) {
        Trial trial(device);
        const Rows S = rows_with_nan(trial, row);
        const Operand y = trial.vector(13, result, Use::input);
        const Operand g = trial.vector(S.parameters, result, Use::both);
        trial.run([&](Backend& backend, const Side& of) {
          backend.adjoint(of(S.blocks), of(y), 0, of(g), of.scratch(S.blocks, result));
        });
        trial.expect_sums(g, 13);
      });
}

/// Rows of scale 0: some one after another and some alone, among rows that share an input.
bool is_left_out(std::int64_t n) { return (n >= 3 && n < 9) || n % 16 == 12; }

/// NaN or Inf in every term of the rows that are left out: in D, and in A where no other row reads
/// it.
void spoil(Trial& trial, const TrialBlock& block) {
  const LayerUse& use = block.shape;
  std::vector<double> scores = trial.given(block.output_score);
  std::vector<double> inputs;
  if (use.inputs > 0) inputs = trial.given(block.input);
  const auto set = [](std::vector<double>& elements, std::int64_t term, std::int64_t columns) {
    elements[term * columns + term % columns] = term % 2 == 0 ? nan : -infinity;
  };
  for (std::int64_t n = 0; n < use.rows; n += use.rows_per_input) {
    bool all = true;
    for (std::int64_t m = n; m < n + use.rows_per_input; ++m) {
      all = all && is_left_out(use.first + m);
      if (!is_left_out(use.first + m)) continue;
      for (std::int64_t t = 0; t < use.terms; ++t) set(scores, m * use.terms + t, use.outputs);
    }
    if (!all || use.inputs == 0) continue;
    const std::int64_t input = n / use.rows_per_input;
    for (std::int64_t t = 0; t < use.terms; ++t) set(inputs, input * use.terms + t, use.inputs);
  }
  trial.set(block.output_score, scores);
  if (use.inputs > 0) trial.set(block.input, inputs);
}

Rows rows_left_out(Trial& trial, const Layout& layout, std::int64_t n, ElementType type) {
  Rows S(trial, layout, n, type);
  std::vector<double> scale = trial.given(S.blocks.scale);
  for (std::int64_t i = 0; i < n; ++i) scale[i] = is_left_out(i) ? 0 : 0.5 + scale[i];
  trial.set(S.blocks.scale, scale);
  for (const TrialBlock& block : S.blocks.blocks) spoil(trial, block);
  return S;
}

void add_left_out_cases(OperationTable& table, const Layout& layout) {
  const std::string name = std::string("rows_left_out_") + layout.name;
  const auto sizes = [&layout] {
    return std::vector<Size>{{13, 3}, {std::min<std::int64_t>(70, layout.large_gram), 0}};
  };
  table.add_row_types("gram", name,
                      [=, &layout](TestDevice& device, ElementType row, ElementType result) {
                        for_sizes(device, sizes(), [&](Trial& trial, std::int64_t n) {
                          const Rows S = rows_left_out(trial, layout, n, row);
                          const Operand K = trial.matrix(n, n, result, Use::output, Part::lower);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.gram(of(S.blocks), of(K), of.scratch(S.blocks, result));
                          });
                          trial.expect_sums(K, S.length);
                        });
                      });
  table.add_row_types("apply", name,
                      [=, &layout](TestDevice& device, ElementType row, ElementType result) {
                        for_sizes(device, sizes(), [&](Trial& trial, std::int64_t n) {
                          const Rows S = rows_left_out(trial, layout, n, row);
                          const Operand v = trial.vector(S.parameters, result, Use::input);
                          const Operand z = trial.vector(n, result, Use::output);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.apply(of(S.blocks), of(v), of(z), of.scratch(S.blocks, result));
                          });
                          trial.expect_sums(z, S.length);
                        });
                      });
  table.add_row_types(
      "adjoint", name, [=, &layout](TestDevice& device, ElementType row, ElementType result) {
        for_sizes(device, sizes(), [&](Trial& trial, std::int64_t n) {
          const Rows S = rows_left_out(trial, layout, n, row);
          const Operand y = trial.vector(n, result, Use::input);
          const Operand g = trial.vector(S.parameters, result, Use::both);
          trial.run([&](Backend& backend, const Side& of) {
            backend.adjoint(of(S.blocks), of(y), of(-0.5), of(g), of.scratch(S.blocks, result));
          });
          trial.expect_sums(g, n * (1 + S.terms) + 1);
        });
      });
  table.add_row_types(
      "materialize", name, [=, &layout](TestDevice& device, ElementType row, ElementType result) {
        for_sizes(device, sizes(), [&](Trial& trial, std::int64_t n) {
          const Rows S = rows_left_out(trial, layout, n, row);
          const Operand out = trial.matrix(n - 2, S.parameters, result, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.materialize(of(S.blocks), 1, of(out));
          });
          trial.expect_rounded(out, 1 + 2 * static_cast<double>(S.terms));
        });
      });
}

/// More numbers of A than a device copies at a time, which ends between two terms of an input.
void add_large_left_out_case(OperationTable& table) {
  table.add_row_types(
      "adjoint", "rows_left_out_of_many_inputs",
      [](TestDevice& device, ElementType row, ElementType result) {
        const Layout layout = {"", {{.d_in = 2100, .d_out = 1, .bias = true, .terms = 3}}};
        Trial trial(device);
        const Rows S = rows_left_out(trial, layout, 400, row);
        const Operand y = trial.vector(400, result, Use::input);
        const Operand g = trial.vector(S.parameters, result, Use::both);
        trial.run([&](Backend& backend, const Side& of) {
          backend.adjoint(of(S.blocks), of(y), of(0), of(g), of.scratch(S.blocks, result));
        });
        trial.expect_sums(g, 400 * (1 + S.terms) + 1);
      });
}

}  // namespace

void add_not_finite_row_cases(OperationTable& table) {
  add_not_finite_cases(table);
  for (const Layout& layout : layouts()) add_left_out_cases(table, layout);
  add_large_left_out_case(table);
}

}  // namespace natgrad::tests
