#pragma once

#include "backend/backend.hpp"
#include "core/enumerators.hpp"
#include "core/operands.hpp"
#include "natgrad/scores.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <string>
#include <vector>

// What a set of rows and its layers must be, and what rows mean by their kind.

namespace natgrad::detail {

template <>
constexpr Centering last_enumerator() {
  return Centering::fisher_only;
}
template <>
constexpr Bias last_enumerator() {
  return Bias::first_term;
}

/// Throws `OptionError`, `ShapeError`, `TypeError` or `DeviceError` for a set that
/// `ScoreSet::begin` cannot take.
void check_row_set(const Parameters& parameters, FisherKind kind, const RowSet& set);

/// The use of a layer as the backend takes it. Throws what `LayerScores::add` says.
LayerUse checked_layer(const ScoreSet& rows, const LayerScores::Layer& layer);

/// Throws `ShapeError` for a factor that the CPU's BLAS cannot take; the same on every device.
void require_blas_sizes(const Operand& name, const ConstView& factor, std::int64_t terms);

/// Why S^T r of these rows is the gradient of nothing, as the end of a sentence; null where it is
/// one. Rows without coefficients have c_n = 1, which is maximum likelihood for empirical rows that
/// are not centred, and means nothing for all others.
const char* missing_gradient(const ScoreSet& rows);

/// Names of the parameters that no row touches.
std::vector<std::string> uncovered_parameters(const ScoreSet& rows);

}  // namespace natgrad::detail
