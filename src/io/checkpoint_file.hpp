#pragma once

#include "io/safetensors.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace natgrad::io {

// A checkpoint on the disk (docs/checkpoint-format.md):
//
//   length of the header (u64)  header  data
//
// The header is that of a safetensors file, and begins with the format and its own checksum:
//
//   {"__metadata__":{"natgrad":"3","checksum":"0123456789abcdef", ...
//
// so that a file of another kind, or of another format, is known by its first bytes. "checksum" is
// the FNV-1a of all bytes before the data with the digits of the checksum as zeros,
// "checksum.NAME" that of the entry's bytes. FNV-1a sees every change of a single byte.

/// The format that this version writes and reads. Formats 1 and 2 were not safetensors.
inline constexpr int checkpoint_format = 3;

/// Replaces `path` by a checkpoint of these entries, or throws `FileError` and leaves it as it was
/// (`AtomicFile`). Names are unique and UTF-8. `metadata`: what is not an array, in any words but
/// "natgrad" and those that begin with "checksum".
void write_checkpoint(const std::string& path, std::span<const Entry> entries,
                      const Metadata& metadata);

/// The bytes of that file.
std::vector<std::byte> checkpoint_bytes(std::span<const Entry> entries, const Metadata& metadata);

/// What errors call a checkpoint that is no file.
inline const std::string name_in_memory = "checkpoint in memory";

/// A checkpoint in memory.
class CheckpointFile {
 public:
  /// Reads the first bytes, which say whether the file is a checkpoint, and then the whole file.
  /// Throws `FileError` naming the file when it cannot be read, is no checkpoint, is cut off or
  /// damaged, or is of another format.
  explicit CheckpointFile(std::string path);
  /// A copy of the bytes of such a file. Throws in the same way.
  explicit CheckpointFile(std::span<const std::byte> bytes);

  const std::string& path() const { return path_; }
  /// By name; their bytes are this object's.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// Null where there is no such entry.
  const Entry* find(const std::string& name) const;
  /// Throws `FileError` where there is no such text.
  const std::string& text(const std::string& name) const;
  /// Null where there is no such text.
  const std::string* find_text(const std::string& name) const;

 private:
  /// Fills the bytes, or as many as are left, and returns how many there were.
  using Source = std::function<std::size_t(std::span<std::byte>)>;

  void read(std::size_t size, const Source& source);
  void place_entries(std::vector<Entry> entries, std::size_t data);

  std::string path_;
  std::vector<std::byte> bytes_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Entry> entries_;  // within bytes_
};

}  // namespace natgrad::io
