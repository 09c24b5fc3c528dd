#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "natgrad/scores.hpp"

#include <cstdint>

namespace natgrad::detail {

/// Rows formed at a time in the primal form.
inline constexpr std::int64_t primal_tile_rows = 256;

/// Sums over the rows of a batch in the primal form, beside F itself: float64, (P) each.
struct PrimalSums {
  View gradient;  // S^T r
  View centre;    // S^T u of centred rows, u_n = sqrt(w_n)

  PrimalSums() = default;
  PrimalSums(Carver& carver, std::int64_t parameters, Centering centred) {
    gradient = carver.take({parameters, 1}, ElementType::float64);
    if (centred != Centering::none) centre = carver.take({parameters, 1}, ElementType::float64);
  }
};

/// Scratch of adding rows to them.
struct PrimalBuffers {
  View tile;     // (rows formed at a time, P) float64
  Scratch work;  // of row operations

  PrimalBuffers() = default;
  PrimalBuffers(Carver& carver, std::int64_t parameters, std::int64_t tile_rows,
                std::int64_t work_bytes);
};

/// F (lower triangle of P x P, float64) and the sums over rows that come in parts.
class PrimalAccumulation {
 public:
  PrimalAccumulation(Backend& backend, const View& F, const PrimalSums& sums, const View& scalars)
      : backend_(backend), fisher_(F), sums_(sums), scalars_(scalars) {}

  /// Adds rows, whose scale is sqrt(w_n) times `factor`, and their r (N) float64; the first start
  /// the sums. N P^2 operations.
  void add(const RowBatch& rows, double factor, const ConstView& r, bool first,
           const PrimalBuffers& b) const;

  /// Takes the mean out of F, and puts it back so that more rows may be added. `scratch` (P)
  /// float64.
  void centre_matrix(Centering centred, const View& scratch) const;
  void undo_centre(const View& scratch) const;
  /// gradient = S^T r, of centred rows where asked for; `scratch` and `gradient` (P) float64.
  void finish_gradient(Centering centred, const View& scratch, const View& gradient) const;

 private:
  void add_scalar(double factor, const ConstView& x, const ConstView& y, double StepScalars::*to,
                  bool first) const;
  void scaled_mean(const View& scratch) const;

  Backend& backend_;
  View fisher_;
  const PrimalSums& sums_;
  View scalars_;
};

}  // namespace natgrad::detail
