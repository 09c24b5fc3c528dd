#pragma once

#include "natgrad/export.hpp"
#include "natgrad/first_order.hpp"
#include "natgrad/natural_gradient.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace natgrad {

/// What a caller keeps beside the optimizer (its place in the data, its random numbers), by name.
using Blobs = std::map<std::string, std::vector<std::byte>>;

/// Writes all that the next step depends on to `path`: the parameters, momentum, rate and damping
/// in force, counters, the last 64 reports, and `blobs`. Whoever loads it goes on as if nothing had
/// happened, bit for bit on the same machine.
///
/// The file is written beside `path`, brought to the disk and then renamed, so that `path` is at
/// any instant the whole old file or the whole new one, also for a process that is killed (which
/// may leave "path.PID-N.tmp" behind) and for two that write at once. It is readable on machines of
/// the same byte order. Costs a copy of parameters and momentum in host memory. Before the first
/// step it allocates what that step would. Waits.
///
/// Throws `FileError` naming the file and the reason when it cannot be written or `path` is not a
/// regular file: then the old file is as it was, and nothing else is left. The one exception, said
/// in the text: the new file is in place, but its directory could not be brought to the disk.
/// Throws `ArgumentError` when the parameters have grown since the first step, or a part of a batch
/// is accumulated.
NATGRAD_EXPORT void save(const std::string& path, const NaturalGradient& optimizer,
                         const Blobs& blobs = {});

/// Writes parameters, moving averages, the step counter and `blobs` in the same way, with the same
/// guarantees and the same `FileError`. Costs a copy of parameters and averages in host memory.
/// Waits.
NATGRAD_EXPORT void save(const std::string& path, const FirstOrder& optimizer,
                         const Blobs& blobs = {});

/// Throws the `FileError` that `save` would throw for this name before it writes anything: a folder
/// that is not there or may not be written, or something other than a regular file. For programs
/// whose first checkpoint is hours away. Creates an empty file beside `path` and removes it.
NATGRAD_EXPORT void require_writable(const std::string& path);

/// Puts parameters and optimizer where `save` found them, and returns the caller's blobs. The
/// optimizer may be fresh or have stepped or accumulated; nothing of that remains. Rate and damping
/// in force come from the file, and `options()` says so; all other options stay the optimizer's
/// own. Waits.
///
/// Throws `FileError`, having changed nothing, when the file cannot be read, is no checkpoint, is
/// cut off or damaged, is of a newer format or another byte order, or holds parameters of another
/// type, number, name or shape, another kind of momentum, other frozen tensors, or a rate that does
/// not go with the options; the text names both sides.
/// `MemoryError` without room, and `ArgumentError` when the parameters have grown since the first
/// step, likewise.
NATGRAD_EXPORT Blobs load(const std::string& path, NaturalGradient& optimizer);

/// Puts parameters and optimizer where `save` found them, and returns the caller's blobs. Rule,
/// rate and weight decay stay the optimizer's own. Waits. Throws `FileError`, having changed
/// nothing, when the file cannot be read or is of another model or another rule.
NATGRAD_EXPORT Blobs load(const std::string& path, FirstOrder& optimizer);

/// A checkpoint that was read into host memory and is not loaded yet: for programs that look at
/// their blobs first, to build model and optimizer from them.
class NATGRAD_EXPORT Checkpoint {
 public:
  /// Reads and verifies the whole file. Throws `FileError` naming it when it cannot be read, is no
  /// checkpoint, is cut off or damaged, or is of a newer format or another byte order.
  explicit Checkpoint(const std::string& path);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  const std::string& path() const;
  const Blobs& blobs() const;  ///< the caller's, as given to `save`

  /// Puts parameters and optimizer where `save` found them, with the checks and errors of `load`.
  /// May be called for several optimizers. Waits.
  void restore(NaturalGradient& optimizer) const;
  void restore(FirstOrder& optimizer) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
