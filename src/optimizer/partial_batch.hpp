#pragma once

#include "natgrad/natural_gradient.hpp"
#include "scores/score_set.hpp"

#include <cstdint>

namespace natgrad::detail {

/// What is known of a batch that comes in parts: which rows are there, and what all parts share.
class PartialBatch {
 public:
  bool empty() const { return rows_ == 0; }
  std::int64_t rows() const { return rows_; }              // so far
  std::int64_t batch_rows() const { return batch_rows_; }  // in all
  FisherKind kind() const { return kind_; }
  Centering centering() const { return centering_; }
  bool gradient_given() const { return gradient_given_; }

  /// Throws `ArgumentError` where a part does not go with those before, or is beyond the batch.
  void require_fits(const Batch& part) const;
  /// Throws `ArgumentError` for a batch that is not whole.
  void require_whole() const;
  /// Throws `ArgumentError` while there are rows.
  void require_empty(const char* caller) const;

  void add(const Batch& part);
  void clear() { *this = {}; }

 private:
  std::int64_t rows_ = 0;
  std::int64_t batch_rows_ = 0;
  std::int64_t gradient_rows_ = 0;  // other rows, whose S^T r is the gradient
  std::int64_t gradient_batch_rows_ = 0;
  FisherKind kind_ = FisherKind::empirical;
  Centering centering_ = Centering::none;
  bool gradient_given_ = false;
};

}  // namespace natgrad::detail
