#pragma once

#include "backend/backend.hpp"
#include "core/context_owners.hpp"
#include "core/growing_array.hpp"
#include "core/operands.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// The rows of one set as the backend takes them: uses of layers with views of the caller's
/// factors, the scale sqrt(w_n) of every row and the right-hand side r. `DenseScores` and
/// `LayerScores` fill it; the curvature, the optimizer and the checks read it.
class ScoreSet {
 public:
  /// Throws `OptionError` for a kind that is no enumerator.
  ScoreSet(Parameters parameters, FisherKind kind);

  const Parameters& parameters() const { return parameters_; }
  FisherKind kind() const { return kind_; }
  /// The set as of single rows: a set whose samples have several parts is turned into one.
  const RowSet& set() const { return set_; }
  std::int64_t size() const { return set_.samples; }                 // rows
  std::int64_t batch_samples() const { return set_.batch_samples; }  // rows of the whole batch
  std::int64_t parts() const { return set_.parts; }                  // of a sample
  /// w of all rows where the set gives none.
  double uniform_weight() const {
    return set_.weight > 0 ? set_.weight : 1.0 / static_cast<double>(set_.batch_samples);
  }
  std::int64_t parameters_size() const { return parameters_size_; }  // P when the set began
  RowBatch blocks() const { return with_uses(blocks_); }
  /// The rows' share of some parameters.
  RowBatch with_uses(std::span<const LayerUse> uses) const {
    return {.blocks = uses, .scale = scale(), .weighted = !set_.weights.empty()};
  }
  ConstView scale() const { return scale_.view().row_range(0, size()); }  // (N) float64
  ConstView rhs() const { return rhs_.view().row_range(0, size()); }      // r (N) float64
  Centering centering() const { return set_.centering; }
  bool dense() const { return dense_; }
  /// Whether these are centred copies of dense rows, part by part.
  bool centred_parts() const { return centred_parts_; }
  /// The rows as they were given, which `blocks` has unless they are centred copies.
  std::span<const LayerUse> given() const {
    return centred_parts_ ? std::span<const LayerUse>(&given_, 1) : blocks_;
  }

  /// Throws `ArgumentError` when there is no set, a row of it has no layer, or the parameters are
  /// others or have grown.
  void require_rows(const Operand& caller, const Parameters& parameters) const;
  /// Throws `ArgumentError` where S^T r is the gradient of nothing (see `missing_gradient`).
  void require_gradient(const char* caller) const;

  /// Checks a set (see `check_row_set`) and starts it, without layers. Does not wait. Nothing
  /// changes when it throws.
  void begin(const RowSet& set);
  /// Adds the use of a layer that `checked_layer` or the caller has checked; `dense`: all the
  /// parameters' columns at once. Throws `std::bad_alloc`; nothing is added then.
  void add(const LayerUse& use, bool dense = false, const Owner& owner = {});
  /// The same for dense rows (N parts, P): of parts to centre a copy.
  void begin_dense(const RowSet& set, const ConstView& rows);
  /// Forgets the set; its owners go once the work so far has run.
  void clear();

 private:
  void start(const RowSet& set);
  void centre_parts(const LayerUse& use);

  Parameters parameters_;
  FisherKind kind_;
  RowSet set_;
  std::int64_t parameters_size_ = 0;
  GrowingArray scale_;
  GrowingArray rhs_;
  GrowingArray weights_;  // (N parts) float64, of samples of several parts
  GrowingArray centred_;  // (N parts, P)
  std::vector<LayerUse> blocks_;
  LayerUse given_ = {};
  bool dense_ = false;
  bool centred_parts_ = false;
  HeldOwners owners_;
};

}  // namespace natgrad::detail
