#pragma once

#include "backend/cuda/handles.hpp"
#include "natgrad/array.hpp"

#include <vector>

namespace natgrad::cuda {

/// Owners of memory that enqueued work reads, in groups, each with an event behind its work. The
/// host asks for the events whenever it comes by: an owner's destructor may free device memory,
/// which a callback of the driver's must not. Work of all groups is ordered, so that they finish in
/// the order in which they came. Groups are used again, so that a loop allocates nothing. What is
/// called here makes the stream's device current before.
class KeptOwners {
 public:
  /// `stream` outlives this.
  explicit KeptOwners(const StreamHandle& stream) : stream_(stream) {}
  ~KeptOwners() = default;
  KeptOwners(const KeptOwners&) = delete;
  KeptOwners& operator=(const KeptOwners&) = delete;

  /// Takes over all of `owners`. Within a capture no event can say when work has run: these stay
  /// until those of a later call outside go. Throws `std::bad_alloc`, `MemoryError` or
  /// `DeviceError`, with `owners` as it was.
  void add(std::vector<Owner>& owners);
  /// Lets go of the groups whose work has run. Within a capture nothing may be asked for.
  void release_finished() noexcept;
  /// Waits for the stream's work, where there are owners, and lets all of them go. Nothing may be
  /// called afterwards.
  void release_all() noexcept;

 private:
  struct Group {
    cudaEvent_t done = nullptr;
    std::vector<Owner> owners = {};
  };

  Group unused_group();

  const StreamHandle& stream_;
  std::vector<Group> under_way_;  // oldest first
  std::vector<Group> unused_;
  std::vector<Owner> captured_;  // came within a capture
};

}  // namespace natgrad::cuda
