// The scalar formulas, which are compiled so that a division that is not taken is not executed
// either: a program may trap floating-point exceptions.

#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/pieces.hpp"

#include <algorithm>
#include <variant>

namespace natgrad {

using cpu::at;

void CpuBackend::evaluate(const ScalarFormula& formula) {
  std::visit([](const auto& run) { run(); }, formula);
}

void CpuBackend::publish(const ConstView& record, const View& slots) {
  const double* from = record.as<double>();
  const std::int64_t slot = (static_cast<std::int64_t>(from[0]) - 1) % slots.rows();
  double* to = at<double>(slots, slot, 0);
  std::copy(from + 1, from + record.size(), to + 1);
  to[0] = from[0];
}

}  // namespace natgrad
