#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace natgrad::io {

// The format of a checkpoint: named sections of bytes that only their owners understand. Numbers
// are in the writer's byte order.
//
//   magic (8 bytes)  byte order (u32: 0x01020304)  format (u32)  length of the file (u64)
//   number of sections (u64)
//   each section: length of the name (u64), length of the content (u64), name, content
//   checksum (u64): FNV-1a of all bytes before it, which sees every change of a single byte

/// Names and contents; the contents are the caller's.
using Sections = std::map<std::string, std::span<const std::byte>>;

/// Replaces `path` by a checkpoint of these sections, or throws `FileError` and leaves it as it was
/// (`AtomicFile`).
void write_checkpoint(const std::string& path, const Sections& sections);

/// A checkpoint in memory.
class CheckpointFile {
 public:
  /// Reads the whole file. Throws `FileError` naming it when it cannot be read, is no checkpoint,
  /// is cut off or damaged, or was written in another byte order or a newer format.
  explicit CheckpointFile(std::string path);

  const std::string& path() const { return path_; }
  const Sections& sections() const { return sections_; }
  /// Throws `FileError` when there is no such section.
  std::span<const std::byte> section(const std::string& name) const;
  /// Those whose names begin with `prefix`, by the rest of their names.
  Sections sections_after(std::string_view prefix) const;

 private:
  void read();
  void parse();

  std::string path_;
  std::vector<std::byte> bytes_;
  Sections sections_;  // within bytes_
};

}  // namespace natgrad::io
