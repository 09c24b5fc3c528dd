#pragma once

#include "natgrad/export.hpp"
#include "natgrad/first_order.hpp"
#include "natgrad/natural_gradient.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace natgrad {

/// What a caller keeps beside the optimizer (its place in the data, its random numbers), by name.
/// Names are UTF-8.
using Blobs = std::map<std::string, std::vector<std::byte>>;

/// What of an optimizer goes into a checkpoint.
struct SaveOptions {
  /// Whether the parameters do. Without them it is for programs that keep these themselves; on
  /// loading it leaves the parameters as they are, and the caller restores them.
  bool parameters = true;
};

/// Writes all that the next step depends on to `path`: the parameters, momentum, rate and damping
/// in force, counters, the last 64 reports, and `blobs`. Whoever loads it goes on as if nothing had
/// happened, bit for bit on the same machine.
///
/// The file is in the safetensors format (docs/checkpoint-format.md): the Python package
/// `safetensors` reads each parameter under the name that `Parameters::add` was given, in its
/// shape, and its momentum as "optimizer.momentum.NAME". Where several tensors have one name, the
/// second is "NAME#2" in the file, the third "NAME#3"; a name that begins with "optimizer." or
/// "blob.", or is "__metadata__", gets "parameters." in front. Every byte of the file is covered by
/// a checksum.
///
/// The file is written beside `path`, brought to the disk and then renamed, so that `path` is at
/// any instant the whole old file or the whole new one, also for a process that is killed (which
/// may leave "path.PID-N.tmp" behind) and for two that write at once. Costs a copy of parameters
/// and momentum in host memory. Before the first step it allocates what that step would. Waits.
///
/// Throws `FileError` naming the file and the reason when it cannot be written, `path` is empty or
/// is not a regular file: then the old file is as it was, and nothing else is left. The one
/// exception, said in the text: the new file is in place, but its directory could not be brought to
/// the disk. Throws `ArgumentError`, having written nothing, when the name of a tensor or of a blob
/// is not UTF-8, the parameters have grown since the first step, or a part of a batch is
/// accumulated; `MemoryError` without room.
NATGRAD_EXPORT void save(const std::string& path, const NaturalGradient& optimizer,
                         const Blobs& blobs = {}, const SaveOptions& options = {});

/// Writes a first-order optimizer in the same way: its parameters, its moving averages by tensor
/// ("optimizer.momentum.NAME" of Sgd, "optimizer.first_moment.NAME" and
/// "optimizer.second_moment.NAME" of Adam), its number of steps, and `blobs`. Waits. Throws
/// `FileError`, `ArgumentError` and `MemoryError` for the same reasons.
NATGRAD_EXPORT void save(const std::string& path, const FirstOrder& optimizer,
                         const Blobs& blobs = {}, const SaveOptions& options = {});

/// Returns the bytes of the file that `save` would write, for programs with checkpoints of their
/// own. Costs that much host memory, and a copy of parameters and momentum while it runs. Waits.
/// Throws `ArgumentError` and `MemoryError` for the same reasons.
NATGRAD_EXPORT std::vector<std::byte> save_to_memory(const NaturalGradient& optimizer,
                                                     const Blobs& blobs = {},
                                                     const SaveOptions& options = {});
NATGRAD_EXPORT std::vector<std::byte> save_to_memory(const FirstOrder& optimizer,
                                                     const Blobs& blobs = {},
                                                     const SaveOptions& options = {});

/// Throws the `FileError` that `save` would throw for this name before it writes anything: an empty
/// name, a folder that is not there or may not be written, or something other than a regular file.
/// For programs whose first checkpoint is hours away. Creates an empty file beside `path` and
/// removes it; what stands at `path` is not touched.
NATGRAD_EXPORT void require_writable(const std::string& path);

/// A checkpoint that has been read, for programs that look at their blobs before they build an
/// optimizer to restore.
class NATGRAD_EXPORT Checkpoint {
 public:
  /// Reads the whole file and verifies every checksum. A file that is no checkpoint is refused
  /// after its first bytes, however large it is. Holds the file's content in host memory. Throws
  /// `FileError` naming the file when it cannot be read, is no checkpoint, is cut off or damaged,
  /// or is of an older or newer format; `MemoryError` without room.
  explicit Checkpoint(const std::string& path);
  /// The same of the bytes of a file, which are copied. Errors call it "checkpoint in memory".
  explicit Checkpoint(std::span<const std::byte> bytes);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;
  ~Checkpoint();

  /// As it was given to the constructor; "checkpoint in memory" of bytes.
  const std::string& path() const;
  /// The caller's part.
  const Blobs& blobs() const;

  /// Puts parameters and optimizer where `save` found them. The optimizer may be fresh or have
  /// stepped or accumulated; nothing of that remains. Rate and damping in force come from the file,
  /// and `options()` says so; all other options stay the optimizer's own. Tensors are found by
  /// their names, in whatever order they were added. Parameters that were not saved stay as they
  /// are (`SaveOptions`). Waits.
  ///
  /// Throws `FileError`, having changed nothing, when the file is of another optimizer, or holds
  /// parameters of another type, number, name or shape, another kind of momentum, other frozen
  /// tensors, a rate that does not go with the options, or an entry that this version does not
  /// know, or lacks one that it needs; the text names both sides. Throws `MemoryError` without
  /// room and `ArgumentError` when the parameters have grown since the first step, having changed
  /// nothing either.
  void restore(NaturalGradient& optimizer) const;
  /// The same for a first-order optimizer, whose options all stay its own.
  void restore(FirstOrder& optimizer) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

/// Reads a checkpoint, restores the optimizer from it and returns the caller's blobs. Waits. Throws
/// as `Checkpoint` and `Checkpoint::restore` do, having changed nothing.
NATGRAD_EXPORT Blobs load(const std::string& path, NaturalGradient& optimizer);
NATGRAD_EXPORT Blobs load(const std::string& path, FirstOrder& optimizer);
NATGRAD_EXPORT Blobs load(std::span<const std::byte> bytes, NaturalGradient& optimizer);
NATGRAD_EXPORT Blobs load(std::span<const std::byte> bytes, FirstOrder& optimizer);

}  // namespace natgrad
