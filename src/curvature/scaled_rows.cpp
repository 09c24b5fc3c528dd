#include "curvature/scaled_rows.hpp"

#include "curvature/parameter_blocks.hpp"

#include <cstddef>

namespace natgrad::detail {

void ScaledRows::layout(Carver& carver, std::span<const LayerUse> uses, ElementType type,
                        ElementType copied_type, std::int64_t columns) {
  columns_ = carver.take({columns, 1}, copied_type);
  factors_.clear();
  for (const LayerUse& use : uses) {
    Factors copies;
    // All factors are of one type.
    if (use.bias_offset >= 0 || use.lookup || copied_type != type) {
      copies.output_score = carver.take({use.rows * use.terms, use.outputs}, copied_type);
    }
    if (use.inputs > 0 && !use.lookup) {
      copies.input =
          carver.take({use.rows / use.rows_per_input * use.terms, use.inputs}, copied_type);
    }
    factors_.push_back(copies);
  }
  // A layout again, over memory that was loaded, leaves the uses pointing at the same copies.
  for (std::size_t i = 0; i < uses_.size() && i < factors_.size(); ++i) {
    if (!factors_[i].input.empty()) uses_[i].input = factors_[i].input;
    if (!factors_[i].output_score.empty()) uses_[i].output_score = factors_[i].output_score;
  }
}

/// Columns that stand for parameters themselves, in the units of each tensor's or their own.
void ScaledRows::load_outputs(const LayerUse& use, const View& to, const BatchShape& shape,
                              const DampingUnits& units) const {
  if (units.by_parameter()) {
    backend_.copy(use.output_score, to);
    return backend_.scale_columns(to, columns_.row_range(use.bias_offset, use.outputs), to);
  }
  const std::int64_t end = use.bias_offset + use.outputs;
  for (std::size_t i = tensor_at(shape.tensors, use.bias_offset);
       i < shape.tensors.size() && shape.tensors[i].offset < end; ++i) {
    const std::int64_t first = shape.tensors[i].offset - use.bias_offset;
    const std::int64_t count = shape.tensors[i].theta.size();
    backend_.axpby(units.row_factor(i), column_range(use.output_score, first, count), 0.0,
                   column_range(to, first, count));
  }
}

void ScaledRows::load(const RowBatch& rows, const BatchShape& shape, const DampingUnits& units) {
  if (units.by_parameter()) backend_.copy(units.inverse_roots(), columns_);
  uses_.assign(rows.blocks.begin(), rows.blocks.end());
  for (std::size_t i = 0; i < uses_.size(); ++i) {
    const LayerUse& use = rows.blocks[i];
    const Factors& copies = factors_[i];
    if (use.lookup) {
      // What is looked up stays: the outputs take the weight's unit.
      backend_.axpby(units.row_factor(tensor_at(shape.tensors, use.weight_offset)),
                     use.output_score, 0.0, copies.output_score);
      uses_[i].output_score = copies.output_score;
      continue;
    }
    if (use.bias_offset >= 0) {
      load_outputs(use, copies.output_score, shape, units);
      uses_[i].output_score = copies.output_score;
    } else if (!copies.output_score.empty()) {
      backend_.copy(use.output_score, copies.output_score);
      uses_[i].output_score = copies.output_score;
    }
    if (use.weight_offset < 0) continue;
    const View& input = copies.input;
    backend_.axpby(units.row_factor(tensor_at(shape.tensors, use.weight_offset)), use.input, 0.0,
                   input);
    if (use.bias_offset >= 0) {
      backend_.axpby(0.0, input, units.row_root(tensor_at(shape.tensors, use.bias_offset)), input);
    }
    uses_[i].input = input;
  }
}

}  // namespace natgrad::detail
