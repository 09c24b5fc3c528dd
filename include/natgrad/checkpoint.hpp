#pragma once

#include "natgrad/export.hpp"
#include "natgrad/natural_gradient.hpp"

#include <cstddef>
#include <map>
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

}  // namespace natgrad
