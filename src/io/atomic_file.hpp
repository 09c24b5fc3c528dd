#pragma once

#include "io/descriptor.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace natgrad::io {

/// Throws `FileError` for a path that no file can have: an empty one, and one with a null
/// character, behind which the system would not see the rest. `verb`: "read" or "written".
void require_file_name(const char* verb, const std::string& path);

/// A file that takes the place of `path` only when it is whole and on the disk. Until `commit`, and
/// without it, `path` is as it was. All functions throw `FileError` naming `path` and the reason.
class AtomicFile {
 public:
  /// Opens a fresh file in the same directory, under a name that no other file has. `path` is a
  /// regular file, a link to one or to a name that does not exist yet, or does not exist.
  explicit AtomicFile(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Removes the fresh file unless it was committed.
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);

  /// Brings the file to the disk and renames it to `path`, with the permissions that a file there
  /// had. Once it is renamed it stays, also where the directory cannot be brought to the disk.
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;
  void open_fresh();
  void synchronize_directory() const;

  std::string path_;       // as given
  std::string target_;     // what a link leads to
  std::string temporary_;  // empty: nothing to remove
  Descriptor file_;
  int mode_ = -1;  // of the file to replace; -1: there is none
};

}  // namespace natgrad::io
