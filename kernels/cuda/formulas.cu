#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/formulas.hpp"

#include <variant>

namespace natgrad::kernels {

namespace {

template <class Formula>
struct Evaluate {
  static constexpr bool synchronizes = false;
  Formula formula;

  NATGRAD_DEVICE void operator()(const Thread&) const { formula(); }
};

/// Between its first and its last write a slot holds no record, for the host may look at any time.
struct Publish {
  static constexpr bool synchronizes = true;
  const double* record;
  Matrix<double> slots;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t slot = (static_cast<std::int64_t>(record[0]) - 1) % slots.rows;
    const bool first = thread.index.x == 0;
    if (first) slots(slot, 0) = 0;
    fence_system();
    barrier();
    for (std::int64_t i = 1 + std::int64_t{thread.index.x}; i < slots.columns;
         i += thread.threads.x) {
      slots(slot, i) = record[i];
    }
    fence_system();
    barrier();
    if (!first) return;
    // The others' numbers came to this thread through the barrier; its fence hands them on.
    fence_system();
    slots(slot, 0) = record[0];
  }
};

}  // namespace

void evaluate(Stream stream, const ScalarFormula& formula) {
  std::visit([stream]<class Formula>(
                 const Formula& run) { launch(stream, {}, {}, Evaluate<Formula>{run}); },
             formula);
}

void publish(Stream stream, const ConstView& record, const View& slots) {
  launch(stream, {}, {block_threads}, Publish{record.as<double>(), matrix<double>(slots)});
}

}  // namespace natgrad::kernels
