#pragma once

#include "backend/backend.hpp"
#include "core/operands.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::detail {

/// The rows of one set as the seam takes them: blocks of factors, the scale sqrt(w_n) of every row
/// and the right-hand side r. What `DenseScores` and `LayerScores` fill and everything else reads.
class ScoreSet {
 public:
  ScoreSet(Parameters parameters, FisherKind kind);

  const Parameters& parameters() const { return parameters_; }
  FisherKind kind() const { return kind_; }
  const RowSet& set() const { return set_; }
  std::int64_t size() const { return set_.samples; }                 // N
  std::int64_t batch_samples() const { return set_.batch_samples; }  // M
  RowBatch blocks() const { return {blocks_, scale()}; }
  ConstView scale() const { return scale_.view().row_range(0, size()); }  // (N) float64
  ConstView rhs() const { return rhs_.view().row_range(0, size()); }      // r (N) float64
  Centering centering() const { return set_.centering; }
  bool dense() const { return dense_; }

  /// Throws `ArgumentError` when there is no set, a row of it has no layer, or the parameters are
  /// others or have grown.
  void require_rows(const Operand& caller, const Parameters& parameters) const;
  /// Throws `ArgumentError` when r makes no gradient: centred maximum likelihood.
  void require_gradient(const char* caller) const;

  /// Checks a set and starts it, without blocks. Nothing changes when it throws.
  void begin(const RowSet& set);
  void check(const RowSet& set) const;
  void add(const LayerScores::Layer& layer);
  void add_dense(const ConstView& rows);

  /// Throws `ShapeError` for a factor that the CPU's BLAS cannot take; the same on every device.
  static void require_blas_sizes(const Operand& name, const ConstView& factor, std::int64_t terms);

  /// Names of the parameters that no block touches.
  std::vector<std::string> uncovered() const;

 private:
  void check_column(const char* name, const ConstView& column, std::int64_t samples) const;
  void check_factor(const Operand& name, const ConstView& factor, Shape shape,
                    const LayerUse& block) const;
  LayerUse checked(const LayerScores::Layer& layer) const;
  void check_segment(Segment segment, const char* role) const;
  void check_shared(const LayerUse& block, const LayerScores::Layer& layer) const;

  Parameters parameters_;
  FisherKind kind_;
  RowSet set_;
  std::int64_t parameters_size_ = 0;  // P at begin
  Array scale_;
  Array rhs_;
  std::vector<LayerUse> blocks_;
  std::vector<char> covered_;  // a flag a segment
  bool dense_ = false;
};

}  // namespace natgrad::detail
