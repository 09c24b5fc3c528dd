#include "optimizer/optimizer_state.hpp"

#include "kernels/formulas/step_scalars.hpp"

#include <cstring>

namespace natgrad::detail {

namespace {

/// Doubles are exact up to there.
bool is_count(double value) { return value >= 0 && value <= 0x1p53; }

}  // namespace

bool sound_counter(std::span<const std::byte> content) {
  std::int64_t value = 0;
  std::memcpy(&value, content.data(), sizeof value);
  return is_count(static_cast<double>(value));
}

bool sound_scalars(std::span<const std::byte> content) {
  StepScalars scalars{};
  for (; !content.empty(); content = content.subspan(sizeof scalars)) {
    std::memcpy(&scalars, content.data(), sizeof scalars);
    if (!is_count(scalars.step) || !is_count(scalars.failures) || !is_count(scalars.outcome) ||
        scalars.outcome > formulas::outcome_not_positive_definite || !is_count(scalars.form) ||
        scalars.form > static_cast<double>(Form::dual) || !is_count(scalars.kind) ||
        scalars.kind > static_cast<double>(FisherKind::residual)) {
      return false;
    }
  }
  return true;
}

}  // namespace natgrad::detail
