#include "backend/row_layouts.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

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

Rows::Rows(Trial& trial, const Layout& layout, std::int64_t n, ElementType type) {
  blocks.type = type;
  for (const Layer& layer : layout.layers) add(trial, layer, n, type);
  parameters += layout.gap_after;
  blocks.scale = trial.vector(n, ElementType::float64, Use::input);
  std::vector<double> scale = trial.given(blocks.scale);
  for (double& element : scale) element = 0.5 + std::abs(element);
  if (n > 2) scale[1] = 0;
  trial.set(blocks.scale, scale);
}

void Rows::add(Trial& trial, const Layer& layer, std::int64_t n, ElementType type) {
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
    block.input =
        trial.matrix(shape.rows / layer.rows_per_input * layer.terms, layer.d_in, type, Use::input);
  }
  block.output_score = trial.matrix(shape.rows * layer.terms, layer.d_out, type, Use::input);
  blocks.blocks.push_back(block);
  length += layer.terms * layer.terms * (layer.d_in + layer.d_out + 3);
  terms += layer.terms;
}

void Rows::place(const Layer& layer, LayerUse& shape) {
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

}  // namespace natgrad::tests
