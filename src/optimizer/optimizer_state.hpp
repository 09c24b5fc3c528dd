#pragma once

#include "natgrad/array.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// An optimizer as a checkpoint sees it: what outlives a step, in place.

namespace natgrad::detail {

/// Host memory or a contiguous device array. Both are missing before the optimizer has allocated;
/// `bytes` is known all the same.
struct StatePart {
  std::string name;
  std::int64_t bytes = 0;
  void* host = nullptr;
  View device = {};
  /// Whether the optimizer could work with this content; null: with any.
  bool (*sound)(std::span<const std::byte> content) = nullptr;
};

// Counters out of range and enumerators that do not exist would lead out of the ring of reports.
bool sound_counter(std::span<const std::byte> content);  // one int64
bool sound_scalars(std::span<const std::byte> content);  // any number of StepScalars

struct OptimizerState {
  Parameters parameters;
  std::string kind;  // in words; states of two kinds do not fit each other
  std::vector<StatePart> parts;
};

/// The way past `NaturalGradient`'s interface.
struct OptimizerAccess {
  static OptimizerState state(const NaturalGradient& optimizer);
  /// What the first step allocates. Throws `MemoryError`, or `ArgumentError` when the parameters
  /// have grown since.
  static void allocate(const NaturalGradient& optimizer);
  /// Throws `ArgumentError` while a part of a batch is accumulated.
  static void require_between_steps(const NaturalGradient& optimizer);
  /// Throws `OptionError` when the rate or damping of these scalars does not go with the options.
  static void check_settings(const NaturalGradient& optimizer, std::span<const std::byte> scalars);
  /// After the parts' content has been replaced.
  static void settle(NaturalGradient& optimizer);
};

}  // namespace natgrad::detail
