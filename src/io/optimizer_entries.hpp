#pragma once

#include "io/checkpoint_file.hpp"
#include "io/safetensors.hpp"
#include "optimizer/saved_state.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

// An optimizer and its parameters as entries of a checkpoint, and back.

namespace natgrad::io {

/// Entries with the memory that they view.
class EntryList {
 public:
  void add(std::string name, DataType type, std::vector<std::int64_t> shape,
           std::vector<std::byte> bytes);
  /// One whose memory is somebody else's.
  void add_view(Entry entry) { entries_.push_back(std::move(entry)); }
  /// Those of wider elements first, otherwise as they were added: each then begins at a multiple of
  /// its element's size, for programs that map the file.
  std::span<const Entry> in_order();

 private:
  std::deque<std::vector<std::byte>> memory_;
  std::vector<Entry> entries_;
};

/// Metadata of a checkpoint without the parameters.
inline const std::string parameters_key = "parameters";
inline const std::string no_parameters = "not saved";

/// Copies all that an optimizer saves, and the parameters where `with_parameters`, to host memory.
/// Waits. Throws `ArgumentError` for names that are not UTF-8.
void add_optimizer(const detail::SavedState& state, bool with_parameters, EntryList& entries);

/// What a file would put in the place of an optimizer's saved state, part by part.
struct LoadedState {
  /// Bytes of the file, or without them one number for all.
  struct Numbers {
    std::span<const std::byte> bytes = {};
    double fill = 0;
  };
  std::vector<std::span<const std::byte>> parameters;  // one a tensor, or none of all
  std::vector<std::vector<double>> records;
  std::vector<std::vector<Numbers>> tensors;  // one a tensor of each
  std::vector<std::int64_t> counters;
};

/// Finds and checks everything, and changes nothing. The optimizer may not have allocated yet. The
/// result is valid while the file is. Throws `FileError` naming what differs on both sides.
LoadedState read_optimizer(const CheckpointFile& file, const detail::SavedState& state);

/// Puts it in place, of an optimizer that has allocated. Waits. Throws `MemoryError`, having
/// changed nothing.
void put_optimizer(const LoadedState& loaded, const detail::SavedState& state);

}  // namespace natgrad::io
