#include "backend/row_layouts.hpp"
#include "support/operation_table.hpp"

#include <limits>
#include <span>
#include <string>
#include <vector>

// Products with rows of S, given by layers.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::vector<Size> gram_sizes(const Layout& layout) {
  return {{0, 0}, {0, 3}, {1, 0}, {1, 3}, {13, 0}, {13, 3}, {layout.large_gram, 3}};
}

constexpr Size tf32_sizes[] = {{70, 0}, {70, 3}, {201, 0}, {201, 3}};

void add_gram_cases(OperationTable& table, const Layout& layout) {
  table.add_row_types("gram", layout.name,
                      [&layout](TestDevice& device, ElementType row, ElementType result) {
                        for_sizes(device, gram_sizes(layout), [&](Trial& trial, std::int64_t n) {
                          const Rows S(trial, layout, n, row);
                          const Operand K = trial.matrix(n, n, result, Use::output, Part::lower);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.gram(of(S.blocks), of(K), of.scratch(S.blocks, result));
                          });
                          trial.expect_sums(K, S.length);
                        });
                      });
}

void add_apply_cases(OperationTable& table, const Layout& layout) {
  table.add_row_types("apply", layout.name,
                      [&layout](TestDevice& device, ElementType row, ElementType result) {
                        for_sizes(device, product_sizes, [&](Trial& trial, std::int64_t n) {
                          const Rows S(trial, layout, n, row);
                          const Operand v = trial.vector(S.parameters, result, Use::input);
                          const Operand z = trial.vector(n, result, Use::output);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.apply(of(S.blocks), of(v), of(z), of.scratch(S.blocks, result));
                          });
                          trial.expect_sums(z, S.length);
                        });
                      });
}

/// Rows of one weight, not 0.
void make_unweighted(Trial& trial, TrialRows& rows) {
  trial.set(rows.scale, std::vector<double>(trial.given(rows.scale).size(), 0.75));
  rows.weighted = false;
}

void add_adjoint_cases(OperationTable& table, const Layout& layout) {
  table.add_row_types(
      "adjoint", layout.name, [&layout](TestDevice& device, ElementType row, ElementType result) {
        for (double b : {0.0, 1.0, -0.5}) {
          SCOPED_TRACE("b = " + std::to_string(b));
          for_sizes(device, product_sizes, [&](Trial& trial, std::int64_t n) {
            Rows S(trial, layout, n, row);
            if (b == 1) make_unweighted(trial, S.blocks);
            const Operand y = trial.vector(n, result, Use::input);
            const Operand g = trial.vector(S.parameters, result, Use::both);
            if (b == 0) trial.set(g, std::vector<double>(S.parameters, nan));
            trial.run([&](Backend& backend, const Side& of) {
              backend.adjoint(of(S.blocks), of(y), of(b), of(g), of.scratch(S.blocks, result));
            });
            trial.expect_sums(g, n * (1 + S.terms) + 1);
          });
        }
      });
}

void add_materialize_cases(OperationTable& table, const Layout& layout) {
  table.add_row_types(
      "materialize", layout.name,
      [&layout](TestDevice& device, ElementType row, ElementType result) {
        struct Range {
          std::int64_t rows, first, count, padding;
        };
        for (const Range& range : {Range{0, 0, 0, 0}, Range{1, 0, 1, 3}, Range{13, 0, 13, 0},
                                   Range{13, 0, 13, 3}, Range{13, 4, 6, 3}, Range{13, 13, 0, 3},
                                   Range{205, 200, 5, 0}, Range{205, 0, 205, 0}}) {
          SCOPED_TRACE("rows " + std::to_string(range.first) + " + " + std::to_string(range.count) +
                       " of " + std::to_string(range.rows));
          Trial trial(device, range.padding);
          const Rows S(trial, layout, range.rows, row);
          const Operand out = trial.matrix(range.count, S.parameters, result, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.materialize(of(S.blocks), range.first, of(out));
          });
          trial.expect_rounded(out, 1 + 2 * static_cast<double>(S.terms));
        }
      });
}

/// Pairwise, materialized and as they are: the ways that products of float rows go.
void add_tf32_cases(OperationTable& table) {
  constexpr ElementType single = ElementType::float32;
  for (const Layout& layout : layouts()) {
    const std::string name = layout.name;
    if (name != "network" && name != "terms_materialized" && name != "dense") continue;
    const auto rows_of = [&layout](Trial& trial, std::int64_t n = 70) {
      Rows S(trial, layout, n, single);
      S.blocks.mode = MathMode::tf32;
      return S;
    };
    table.add("gram", "tf32_" + name, [=](TestDevice& device) {
      for_sizes(device, tf32_sizes, [&](Trial& trial, std::int64_t n) {
        const Rows S = rows_of(trial, n);
        const Operand K = trial.matrix(n, n, single, Use::output, Part::lower);
        trial.run([&](Backend& backend, const Side& of) {
          backend.gram(of(S.blocks), of(K), of.scratch(S.blocks, single));
        });
        trial.expect_tf32_sums(K, S.length, 4);
      });
    });
    table.add("apply", "tf32_" + name, [=](TestDevice& device) {
      Trial trial(device);
      const Rows S = rows_of(trial);
      const Operand v = trial.vector(S.parameters, single, Use::input);
      const Operand z = trial.vector(70, single, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.apply(of(S.blocks), of(v), of(z), of.scratch(S.blocks, single));
      });
      trial.expect_tf32_sums(z, S.length, 2);
    });
    table.add("adjoint", "tf32_" + name, [=](TestDevice& device) {
      Trial trial(device);
      const Rows S = rows_of(trial);
      const Operand y = trial.vector(70, single, Use::input);
      const Operand g = trial.vector(S.parameters, single, Use::both);
      trial.run([&](Backend& backend, const Side& of) {
        backend.adjoint(of(S.blocks), of(y), of(1), of(g), of.scratch(S.blocks, single));
      });
      trial.expect_tf32_sums(g, 70 * (1 + S.terms) + 1, 2);
    });
  }
}

/// More rows and outputs than a device has threads for at once.
void add_large_adjoint_case(OperationTable& table) {
  table.add_types("adjoint", "many_outputs_of_many_rows", [](TestDevice& device, ElementType type) {
    const Layout layout = {"", {{.d_in = 1, .d_out = 4500, .bias = true}}};
    Trial trial(device);
    const Rows S(trial, layout, 601, type);
    const Operand y = trial.vector(601, type, Use::input);
    const Operand g = trial.vector(S.parameters, type, Use::both);
    trial.run([&](Backend& backend, const Side& of) {
      backend.adjoint(of(S.blocks), of(y), of(-0.5), of(g), of.scratch(S.blocks, type));
    });
    trial.expect_sums(g, 601 * (1 + S.terms) + 1);
  });
}

}  // namespace

void add_row_cases(OperationTable& table) {
  for (const Layout& layout : layouts()) {
    add_gram_cases(table, layout);
    add_apply_cases(table, layout);
    add_adjoint_cases(table, layout);
    add_materialize_cases(table, layout);
  }
  add_tf32_cases(table);
  add_large_adjoint_case(table);
}

}  // namespace natgrad::tests
