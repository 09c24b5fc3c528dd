#pragma once

#include "io/checkpoint_file.hpp"
#include "natgrad/checkpoint.hpp"
#include "optimizer/first_order.hpp"

#include <string>

// `save` and `load` for programs that look into a checkpoint before they load it, and for the
// optimizers that have no public name.

namespace natgrad::io {

void save(const std::string& path, FirstOrder& optimizer, const Blobs& blobs);

/// The caller's part of a checkpoint.
Blobs blobs_of(const CheckpointFile& file);

/// What `load` does with a file that is read: checks, then changes.
void restore(const CheckpointFile& file, NaturalGradient& optimizer);
void restore(const CheckpointFile& file, FirstOrder& optimizer);

}  // namespace natgrad::io
