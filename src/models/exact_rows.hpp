#pragma once

#include "backend/backend.hpp"
#include "core/growing_array.hpp"
#include "models/byte_count.hpp"
#include "models/output_scores.hpp"
#include "natgrad/context.hpp"
#include "natgrad/scores.hpp"

#include <cstdint>
#include <vector>

namespace natgrad {

/// The exact Fisher rows of a batch, C a sample, where they stand beside those of labels: the
/// scores of every layer's output, the coefficients r with S^T r = score, and what all rows of a
/// sample share, its weight and its coefficient.
class ExactRows {
 public:
  explicit ExactRows(const Context& context) : context_(context) {}

  /// Scores with respect to the outputs of every layer, R = C rows a sample.
  OutputScores& scores() { return scores_; }
  const OutputScores& scores() const { return scores_; }
  /// r of `rows` = N C rows.
  View r(std::int64_t rows) const { return r_.view().row_range(0, rows); }

  /// Makes room for so many rows, N C; allocates when there are more than ever before. Throws
  /// `MemoryError` without room.
  void reserve(const std::vector<std::int64_t>& outputs, ElementType type, std::int64_t rows);

  /// The set of N C rows for a set of N samples, whose weights and coefficients the C rows of a
  /// sample share. Does not wait. Throws `ShapeError`, `TypeError` or `DeviceError` for weights and
  /// coefficients that are not (N, 1), `OptionError` where fewer samples are whole than are given,
  /// for centred rows and for a scale other than 1.
  RowSet rows_of(const RowSet& samples, ElementType type);

  /// Adds the bytes of so many rows.
  static void count(const std::vector<std::int64_t>& outputs, ElementType type, std::int64_t rows,
                    ByteCount& bytes);

 private:
  View spread(const ConstView& of_samples, const detail::GrowingArray& to) const;

  Context context_;
  OutputScores scores_{"an exact Fisher row of the net"};
  detail::GrowingArray r_;             // (N C) float64
  detail::GrowingArray weights_;       // (N C) float64
  detail::GrowingArray coefficients_;  // (N C) float64
};

}  // namespace natgrad
