#pragma once

#include "io/checkpoint_file.hpp"
#include "natgrad/checkpoint.hpp"

// The two halves of `load`: looking into a file that was read, and taking an optimizer from it.

namespace natgrad::io {

/// The caller's part of a checkpoint.
Blobs blobs_of(const CheckpointFile& file);

/// What `load` does with a file that is read: checks, then changes.
void restore(const CheckpointFile& file, NaturalGradient& optimizer);
void restore(const CheckpointFile& file, FirstOrder& optimizer);

}  // namespace natgrad::io
