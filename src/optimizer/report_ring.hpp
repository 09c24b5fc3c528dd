#pragma once

#include "kernels/formulas/step.hpp"
#include "natgrad/context.hpp"
#include "natgrad/natural_gradient.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace natgrad::detail {

/// The last reports, in memory that the device writes and the host reads without a call. Which step
/// is the newest is read from the records themselves, because a step that was captured in a graph
/// runs as often as the graph does.
class ReportRing {
 public:
  static constexpr std::int64_t slots = 64;

  explicit ReportRing(Structure structure) : structure_(structure) {}

  void allocate(const Context& context);
  bool empty() const { return ring_.empty(); }
  View view() const { return ring_; }  // (slots, doubles of a StepRecord)

  /// The newest step that is known to have ended; 0 for none.
  std::int64_t newest() const;
  /// None where the slot has gone to a later step.
  std::optional<StepReport> report(std::int64_t step) const;
  /// Reports of the steps that ended since the last call, oldest first.
  std::vector<StepReport> take();

  /// Throws `StepFailed` where ten more steps in a row have failed than when it last did. Where the
  /// last was not finite its text holds what `find_operand` names.
  void throw_after_failures(const std::function<std::string()>& find_operand);

  // How far `take` and `throw_after_failures` have come, which a checkpoint keeps.
  std::int64_t reported = 0;
  std::int64_t failures_thrown = 0;

 private:
  const StepRecord& slot(std::int64_t step) const;

  Structure structure_;
  Array ring_;
};

}  // namespace natgrad::detail
