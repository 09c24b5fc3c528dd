#include "curvature/row_squares.hpp"

#include "curvature/squared_factors.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace natgrad::detail {

namespace {

// Numbers of rows or factors that are looked at at a time: 8 MiB.
constexpr std::int64_t most_numbers = std::int64_t{1} << 20;

/// D^2 as rows of S themselves: S 1 are the lengths of D.
LayerUse output_lengths(const LayerUse& use, std::int64_t rows) {
  return {.rows = rows, .outputs = use.outputs, .bias_offset = 0};
}

/// Rows of A^2, each times a number: S 1 are the lengths of A times these.
LayerUse input_lengths(const LayerUse& use, std::int64_t rows) {
  return {.rows = rows,
          .inputs = use.inputs,
          .outputs = 1,
          .rows_per_input = use.rows_per_input,
          .weight_offset = 0};
}

}  // namespace

bool RowSquares::by_lengths(const Block& block) const {
  return options_.scaling != DampingScaling::diagonal && block.uses.size() == 1 &&
         block.uses.front().terms == 1 && !block.uses.front().lookup;
}

std::int64_t RowSquares::rows_at_a_time(const LayerUse& use, std::int64_t rows) {
  const std::int64_t group = squared_numbers(use, use.rows_per_input);
  const std::int64_t groups = std::max<std::int64_t>(1, most_numbers / group);
  return std::min(groups * use.rows_per_input, rows);
}

std::int64_t RowSquares::rows_at_a_time(const Block& block, std::int64_t rows) const {
  const std::int64_t most = std::max<std::int64_t>(1, most_numbers / block.size);
  return std::min({most, options_.tile_rows, rows});
}

void RowSquares::layout(Carver& scratch, const BatchShape& shape, std::span<const LayerUse> uses,
                        std::int64_t rows) {
  blocks_.divide(shape.tensors, uses, no_groups());
  blocks_.distribute(uses, rows, backend_.row_costs());
  std::int64_t numbers = 0;
  std::int64_t longest = 0;
  std::int64_t most_rows = 0;
  std::int64_t columns = 0;
  work_.bytes = 0;
  for (const Block& block : blocks_.blocks()) {
    if (!by_lengths(block)) {
      if (block.uses.empty()) continue;
      numbers = std::max(numbers, rows_at_a_time(block, rows) * block.size);
      columns = std::max(columns, block.size);
      continue;
    }
    const LayerUse& use = block.uses.front();
    const std::int64_t most = rows_at_a_time(use, use.rows);
    numbers = std::max(numbers, squared_numbers(use, most));
    longest = std::max({longest, use.inputs, use.outputs});
    most_rows = std::max(most_rows, most);
    const LayerUse parts[] = {output_lengths(use, most), input_lengths(use, most)};
    const std::size_t used = use.inputs > 0 ? 2 : 1;
    for (const LayerUse& part : std::span(parts).first(used)) {
      work_.bytes = std::max(work_.bytes, backend_.rows_scratch({&part, 1}, part.rows, real, real));
    }
  }
  buffer_ = scratch.take({numbers, 1}, real);
  ones_ = scratch.take({longest, 1}, real);
  lengths_ = scratch.take({most_rows, 1}, real);
  products_ = scratch.take({most_rows, 1}, real);
  squares_ = scratch.take({columns, 1}, real);
  element_ = scratch.take({1, 1}, real);
  work_.data = scratch.take_bytes(work_.bytes);
}

/// mean += sum of the numbers / parameters.
void RowSquares::add_mean(const ConstView& numbers, std::int64_t parameters, const View& mean) {
  backend_.column_sums(1 / static_cast<double>(parameters), numbers, element_);
  backend_.axpby(1.0, element_, 1.0, mean);
}

/// The squares of both factors' elements, summed over each row by a product with ones: of a row of
/// weight 0 the product is 0, whatever it holds.
void RowSquares::add_lengths(const Block& block, const ConstView& scale, const BatchShape& shape,
                             const DampingUnits& units) {
  const LayerUse& use = block.uses.front();
  const auto place = [&](std::int64_t offset) {
    return tensor_at(shape.tensors, block.offset_among_all(offset));
  };
  const auto size = [&](std::size_t tensor) { return shape.tensors[tensor].theta.size(); };
  for (std::int64_t first = 0; first < use.rows;) {
    const std::int64_t count = rows_at_a_time(use, use.rows - first);
    const ConstView scales = scale.row_range(use.first + first, count);
    const auto square = [&](const ConstView& factor, const View& to) {
      backend_.multiply(factor, factor, to);
      return to;
    };
    LayerUse outputs = output_lengths(use, count);
    outputs.output_score = square(use.output_score.row_range(first, count),
                                  matrix_in(buffer_, 0, {count, use.outputs}));
    const View lengths = lengths_.row_range(0, count);
    backend_.apply({{&outputs, 1}, scales}, ones_.row_range(0, use.outputs), lengths, work_);
    if (use.bias_offset >= 0) {
      const std::size_t bias = place(use.bias_offset);
      const View weighted = products_.row_range(0, count);
      backend_.multiply(lengths, scales, weighted);
      add_mean(weighted, size(bias), units.mean(bias));
    }
    if (use.weight_offset >= 0) {
      const std::size_t weight = place(use.weight_offset);
      const std::int64_t count_inputs = count / use.rows_per_input;
      LayerUse inputs = input_lengths(use, count);
      inputs.output_score = lengths;
      inputs.input = square(use.input.row_range(first / use.rows_per_input, count_inputs),
                            matrix_in(buffer_, count * use.outputs, {count_inputs, use.inputs}));
      const View products = products_.row_range(0, count);
      backend_.apply({{&inputs, 1}, scales}, ones_.row_range(0, use.inputs), products, work_);
      add_mean(products, size(weight), units.mean(weight));
    }
    first += count;
  }
}

void RowSquares::square_columns(const Block& block, const ConstView& scale) {
  const std::int64_t most = rows_at_a_time(block, scale.rows());
  for (std::int64_t first = 0; first < scale.rows(); first += most) {
    const std::int64_t count = std::min(most, scale.rows() - first);
    const View tile = matrix_in(buffer_, 0, {count, block.size});
    backend_.materialize({block.uses, scale}, first, tile);
    backend_.column_squares(tile, first > 0, squares_.row_range(0, block.size));
  }
}

void RowSquares::load(const RowBatch& rows, const BatchShape& shape, const DampingUnits& units) {
  blocks_.distribute(rows.blocks, rows.rows(), backend_.row_costs());
  if (units.by_parameter()) {
    backend_.fill(0, units.diagonal());
  } else {
    units.clear_means();
  }
  backend_.fill(1, ones_);
  for (const Block& block : blocks_.blocks()) {
    if (block.uses.empty()) continue;
    if (by_lengths(block)) {
      add_lengths(block, rows.scale, shape, units);
      continue;
    }
    square_columns(block, rows.scale);
    for (std::size_t i = 0; i < block.tensors.size(); ++i) {
      const std::int64_t size = block.tensors[i].theta.size();
      const View part = squares_.row_range(block.tensors[i].offset, size);
      if (units.by_parameter()) {
        backend_.copy(part, units.diagonal().row_range(block.offsets[i], size));
      } else {
        add_mean(part, size, units.mean(tensor_at(shape.tensors, block.offsets[i])));
      }
    }
  }
}

}  // namespace natgrad::detail
