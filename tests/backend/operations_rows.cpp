#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Rows of S, given by layers.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

struct Layer {
  std::int64_t d_in;  // 0: no weight
  std::int64_t d_out;
  bool bias;
  bool bias_before = false;     // its weight, in the order of the parameters
  std::int64_t gap_before = 0;  // parameters that no layer covers
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;
  bool bias_first_term = false;
  bool materialized = false;
  int shares_weight = -1;  // with an earlier layer
  int shares_bias = -1;
  double begin = 0;  // of the rows
  double end = 1;
};

struct Layout {
  const char* name;
  std::vector<Layer> layers;
  std::int64_t gap_after = 0;
  std::int64_t large_gram = 401;  // rows: more than two tiles of K; fewer where there are no tiles
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {"weight_and_bias", {{7, 5, true}}},
      {"weight", {{7, 5, false}}},
      {"bias_of_two", {{0, 5, true}, {0, 3, true}}},
      // Wider than what a backend may convert at a time.
      {"dense", {{.d_in = 0, .d_out = 530, .bias = true, .materialized = true}}, 0, 133},
      {"dense_pairwise", {{0, 530, true}}, 0, 133},
      {"dense_with_gaps", {{0, 70, true, false, 3}}, 2},
      {"network", {{13, 9, true}, {9, 17, false}, {0, 6, true}, {17, 4, true, true}}},
      {"network_with_gaps",
       {{13, 9, true, false, 2}, {9, 17, true, true, 5}, {0, 6, true}, {6, 1, false, false, 1}},
       3},
      {"one_by_one", {{1, 1, true}}},
      {"no_blocks", {}, 11},
      {"terms", {{.d_in = 7, .d_out = 5, .bias = true, .terms = 3}}},
      {"terms_materialized",
       {{.d_in = 7, .d_out = 5, .bias = true, .terms = 3, .materialized = true}},
       1,
       133},
      {"first_term_has_bias",
       {{.d_in = 4, .d_out = 6, .bias = true, .terms = 4, .bias_first_term = true},
        {.d_in = 0, .d_out = 3, .bias = true, .terms = 2},
        {.d_in = 0, .d_out = 2, .bias = true, .terms = 2, .bias_first_term = true}}},
      {"first_term_has_bias_materialized",
       {{.d_in = 4,
         .d_out = 6,
         .bias = true,
         .terms = 4,
         .bias_first_term = true,
         .materialized = true},
        {.d_in = 0, .d_out = 3, .bias = true, .terms = 2, .materialized = true},
        {.d_in = 0,
         .d_out = 2,
         .bias = true,
         .terms = 2,
         .bias_first_term = true,
         .materialized = true}}},
      // More terms and wider parts than a backend may take at once.
      {"many_terms_materialized",
       {{.d_in = 3, .d_out = 2, .bias = true, .terms = 300, .materialized = true}},
       0,
       14},
      {"wide_materialized",
       {{.d_in = 530, .d_out = 2, .bias = false, .materialized = true},
        {.d_in = 11, .d_out = 60, .bias = true, .materialized = true}},
       0,
       133},
      {"most_terms", {{.d_in = 3, .d_out = 2, .bias = true, .terms = 64}}, 0, 70},
      {"shared_inputs",
       {{.d_in = 5, .d_out = 4, .bias = true, .rows_per_input = 3},
        {.d_in = 3, .d_out = 2, .bias = true, .terms = 2, .rows_per_input = 3},
        {.d_in = 3,
         .d_out = 2,
         .bias = true,
         .terms = 2,
         .rows_per_input = 4,
         .materialized = true}}},
      {"tied",
       {{.d_in = 5, .d_out = 4, .bias = true},
        {.d_in = 6, .d_out = 3, .bias = true},
        {.d_in = 5, .d_out = 4, .bias = true, .terms = 2, .shares_weight = 0, .shares_bias = 0},
        {.d_in = 2, .d_out = 3, .bias = true, .shares_bias = 1},
        {.d_in = 5, .d_out = 4, .bias = false, .rows_per_input = 2, .shares_weight = 0}}},
      {"tied_materialized",
       {{.d_in = 5, .d_out = 4, .bias = true, .materialized = true},
        {.d_in = 6, .d_out = 3, .bias = true, .materialized = true},
        {.d_in = 5,
         .d_out = 4,
         .bias = true,
         .terms = 2,
         .materialized = true,
         .shares_weight = 0,
         .shares_bias = 0},
        {.d_in = 2, .d_out = 3, .bias = true, .materialized = true, .shares_bias = 1},
        {.d_in = 4, .d_out = 3, .bias = true}}},
      {"ranges",
       {{.d_in = 5, .d_out = 4, .bias = true, .terms = 3, .bias_first_term = true, .end = 0.6},
        {.d_in = 5, .d_out = 4, .bias = true, .shares_weight = 0, .shares_bias = 0, .begin = 0.6},
        {.d_in = 3, .d_out = 2, .bias = true, .materialized = true, .end = 0.3},
        {.d_in = 3,
         .d_out = 2,
         .bias = true,
         .materialized = true,
         .shares_weight = 2,
         .shares_bias = 2,
         .begin = 0.7},
        {.d_in = 2, .d_out = 2, .bias = false, .begin = 0.2, .end = 0.9}}},
      // Tiles of K that begin within the rows of an input.
      {"tiles_within_inputs",
       {{.d_in = 2, .d_out = 1, .bias = true, .rows_per_input = 3}},
       0,
       1100},
      {"wider_materialized",
       {{.d_in = 4100, .d_out = 2, .bias = false, .materialized = true}},
       0,
       13},
  };
  return all;
}

/// Random factors in this layout for `n` rows.
struct Rows {
  TrialRows blocks;
  std::int64_t parameters = 0;
  std::int64_t length = 0;  // of the sums behind an element of K or S v
  std::int64_t terms = 0;   // of the sums behind an element of S

  Rows(Trial& trial, const Layout& layout, std::int64_t n, ElementType type) {
    blocks.type = type;
    for (const Layer& layer : layout.layers) add(trial, layer, n, type);
    parameters += layout.gap_after;
    blocks.scale = trial.vector(n, float64, Use::input);
    std::vector<double> scale = trial.given(blocks.scale);
    for (double& element : scale) element = 0.5 + std::abs(element);
    if (n > 2) scale[1] = 0;
    trial.set(blocks.scale, scale);
  }

 private:
  void add(Trial& trial, const Layer& layer, std::int64_t n, ElementType type) {
    TrialBlock block;
    LayerUse& shape = block.shape;
    shape.first = static_cast<std::int64_t>(layer.begin * static_cast<double>(n));
    const auto last = static_cast<std::int64_t>(layer.end * static_cast<double>(n));
    shape.rows = (last - shape.first) / layer.rows_per_input * layer.rows_per_input;
    shape.inputs = layer.d_in;
    shape.outputs = layer.d_out;
    shape.terms = layer.terms;
    shape.rows_per_input = layer.rows_per_input;
    shape.bias_first_term = layer.bias_first_term;
    shape.materialized = layer.materialized;
    place(layer, shape);
    if (layer.d_in > 0) {
      block.input = trial.matrix(shape.rows / layer.rows_per_input * layer.terms, layer.d_in, type,
                                 Use::input);
    }
    block.output_score = trial.matrix(shape.rows * layer.terms, layer.d_out, type, Use::input);
    blocks.blocks.push_back(block);
    length += layer.terms * layer.terms * (layer.d_in + layer.d_out + 3);
    terms += layer.terms;
  }

  void place(const Layer& layer, LayerUse& shape) {
    parameters += layer.gap_before;
    const auto place_bias = [&] {
      if (!layer.bias) return;
      if (layer.shares_bias >= 0) {
        shape.bias_offset = blocks.blocks[layer.shares_bias].shape.bias_offset;
        return;
      }
      shape.bias_offset = parameters;
      parameters += layer.d_out;
    };
    if (layer.bias_before) place_bias();
    if (layer.shares_weight >= 0) {
      shape.weight_offset = blocks.blocks[layer.shares_weight].shape.weight_offset;
    } else if (layer.d_in > 0) {
      shape.weight_offset = parameters;
      parameters += layer.d_in * layer.d_out;
    }
    if (!layer.bias_before) place_bias();
  }
};

struct Size {
  std::int64_t rows, padding;
};

std::vector<Size> gram_sizes(const Layout& layout) {
  return {{0, 0}, {0, 3}, {1, 0}, {1, 3}, {13, 0}, {13, 3}, {layout.large_gram, 3}};
}

/// The last has more rows than a backend may convert at a time.
constexpr Size product_sizes[] = {{0, 0},  {0, 3},  {1, 0},   {1, 3},
                                  {13, 0}, {13, 3}, {101, 0}, {601, 3}};

constexpr Size tf32_sizes[] = {{70, 0}, {70, 3}, {201, 0}, {201, 3}};

template <class Body>
void for_sizes(TestDevice& device, std::span<const Size> sizes, const Body& body) {
  for (const Size& size : sizes) {
    SCOPED_TRACE(std::to_string(size.rows) + " rows, padding " + std::to_string(size.padding));
    Trial trial(device, size.padding);
    body(trial, size.rows);
  }
}

void set_nan(Trial& trial, Operand operand, std::int64_t index) {
  std::vector<double> elements = trial.given(operand);
  elements.at(index) = nan;
  trial.set(operand, elements);
}

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

void add_adjoint_cases(OperationTable& table, const Layout& layout) {
  table.add_row_types(
      "adjoint", layout.name, [&layout](TestDevice& device, ElementType row, ElementType result) {
        for (double b : {0.0, 1.0, -0.5}) {
          SCOPED_TRACE("b = " + std::to_string(b));
          for_sizes(device, product_sizes, [&](Trial& trial, std::int64_t n) {
            const Rows S(trial, layout, n, row);
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

/// A NaN in a factor spreads to the elements that depend on it, and to no other.
void add_not_finite_cases(OperationTable& table) {
  const Layout& network = layouts()[6];
  const auto rows_with_nan = [&network](Trial& trial, ElementType type) {
    Rows S(trial, network, 13, type);
    // Of a row of scale 0, 0 times another row's NaN may be 0 or NaN.
    std::vector<double> scale = trial.given(S.blocks.scale);
    scale[1] = 0.75;
    trial.set(S.blocks.scale, scale);
    set_nan(trial, S.blocks.blocks[0].input, 3 * 13 + 2);
    set_nan(trial, S.blocks.blocks[2].output_score, 7 * 6);
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

/// Weights and coefficients each of a type of its own, or not given.
void add_scaling_cases(OperationTable& table) {
  const std::vector<std::optional<ElementType>> types = {std::nullopt, ElementType::float32,
                                                         float64};
  const auto name = [](std::optional<ElementType> type) {
    return type ? std::string(to_string(*type)) : std::string("none");
  };
  for (std::optional<ElementType> weight : types) {
    for (std::optional<ElementType> coefficient : types) {
      table.add("row_scaling", "weights_" + name(weight) + "_coefficients_" + name(coefficient),
                [=](TestDevice& device) {
                  for_sizes(device, product_sizes, [&](Trial& trial, std::int64_t n) {
                    Operand weights;
                    if (weight) {
                      // One number a row of a padded matrix.
                      weights = trial.matrix(n, 1, *weight, Use::input);
                      std::vector<double> elements = trial.given(weights);
                      for (double& element : elements) element = std::abs(element);
                      if (n > 2) elements[1] = 0;
                      trial.set(weights, elements);
                    }
                    Operand coefficients;
                    if (coefficient) coefficients = trial.matrix(n, 1, *coefficient, Use::input);
                    const Operand scale = trial.vector(n, float64, Use::output);
                    const Operand rhs = trial.vector(n, float64, Use::output);
                    const Operand reference = trial.scalar(0.6);
                    for (const Scalar constant : {Scalar(0.0), Scalar(-0.4)}) {
                      trial.run([&](Backend& backend, const Side& of) {
                        backend.row_scaling(of(weights), 0.37, of(coefficients), constant, of(-1.5),
                                            of(scale), of(rhs));
                      });
                      trial.expect_rounded(scale, 2);
                      trial.expect_rounded(rhs, 2);
                    }
                    trial.run([&](Backend& backend, const Side& of) {
                      // Magnitudes add up.
                      const Scalar subtracted =
                          of.place() == Side::magnitude ? Scalar(-0.6) : Scalar(of(reference));
                      backend.row_scaling(of(weights), 0.37, of(coefficients), subtracted, of(-1.5),
                                          of(scale), of(rhs));
                    });
                    trial.expect_rounded(rhs, 3);
                  });
                });
    }
  }
  table.add("row_scaling", "not_finite", [=](TestDevice& device) {
    Trial trial(device);
    const Operand weights = trial.vector(float64, Use::input, {nan, 1, 4, 4});
    const Operand coefficients = trial.vector(float64, Use::input, {1, nan, infinity, 3});
    const Operand scale = trial.vector(4, float64, Use::output);
    const Operand rhs = trial.vector(4, float64, Use::output);
    for (const double reference : {0.5, nan}) {
      trial.run([&](Backend& backend, const Side& of) {
        backend.row_scaling(of(weights), 0, of(coefficients), reference, 1, of(scale), of(rhs));
      });
      trial.expect_equal(scale);
      trial.expect_equal(rhs);
    }
  });
}

}  // namespace

void add_row_cases(OperationTable& table) {
  add_scaling_cases(table);
  for (const Layout& layout : layouts()) {
    add_gram_cases(table, layout);
    add_apply_cases(table, layout);
    add_adjoint_cases(table, layout);
    add_materialize_cases(table, layout);
  }
  add_tf32_cases(table);
  add_large_adjoint_case(table);
  add_not_finite_cases(table);
}

}  // namespace natgrad::tests
