#pragma once

#include "core/growing_array.hpp"
#include "models/byte_count.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace natgrad {

/// Scores D of a batch with respect to the output of every layer of a net: for each row of the
/// batch R rows, which share its input (R draws from the model, or R = 1 target of the data).
class OutputScores {
 public:
  /// `name`: what errors call one of its arrays.
  explicit OutputScores(std::string_view name) : name_(name) {}

  /// Makes room for so many rows of every layer with these numbers of outputs; allocates when there
  /// are more than ever before, and has then no scores. Throws `MemoryError` without room.
  void reserve(const Context& context, const std::vector<std::int64_t>& outputs, ElementType type,
               std::int64_t rows);

  /// R, and 0 while there are no scores of the last forward.
  std::int64_t rows_per_input() const { return rows_per_input_; }
  void set_rows_per_input(std::int64_t rows) { rows_per_input_ = rows; }
  void forget() { rows_per_input_ = 0; }

  /// The first `rows` rows of a layer's array, (rows, d_out).
  View of_layer(std::size_t layer, std::int64_t rows) const {
    return arrays_[layer].view().row_range(0, rows);
  }

  /// Throws `ArgumentError` where an operand overlaps one of these arrays.
  void require_elsewhere(std::string_view operand, const ConstView& view) const;

  /// Adds the bytes of so many rows.
  static void count(const std::vector<std::int64_t>& outputs, ElementType type, std::int64_t rows,
                    ByteCount& bytes);

 private:
  std::string_view name_;
  std::vector<detail::GrowingArray> arrays_;  // (N R, d_out) each
  std::int64_t rows_per_input_ = 0;
};

}  // namespace natgrad
