#include "io/checkpoint_file.hpp"

#include "core/message.hpp"
#include "io/atomic_file.hpp"
#include "io/checksum.hpp"
#include "io/descriptor.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace natgrad::io {

namespace {

using detail::message;

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little endian, and nothing here swaps bytes");

const std::string format_key = "natgrad";
const std::string checksum_key = "checksum";
const std::string entry_checksum_prefix = "checksum.";
constexpr std::size_t length_bytes = sizeof(std::uint64_t);
constexpr std::string_view no_checksum = "0000000000000000";
// What stands in front of the format's digits, and between them and those of the checksum.
constexpr std::string_view before_format = R"({"__metadata__":{"natgrad":")";
constexpr std::string_view before_checksum = R"(","checksum":")";
constexpr std::size_t most_format_digits = 4;
/// Enough to know a checkpoint, its format and its header's checksum.
constexpr std::size_t beginning_bytes = length_bytes + before_format.size() + most_format_digits +
                                        before_checksum.size() + checksum_digits;
// Formats 1 and 2 begin with it.
constexpr std::string_view old_magic = "\x89NATGRAD";

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Of the length and the header, whose own checksum begins at `digits` and counts as zeros.
std::string header_checksum(std::span<const std::byte> length_and_header, std::size_t digits) {
  Checksum checksum;
  checksum.add(length_and_header.first(digits));
  checksum.add(as_bytes(no_checksum));
  checksum.add(length_and_header.subspan(digits + checksum_digits));
  return checksum.text();
}

[[noreturn]] void throw_unreadable(const std::string& path) {
  throw FileError(message(path, ": cannot be read: ", std::strerror(errno)));
}

[[noreturn]] void throw_damaged(const std::string& path, const std::string& what) {
  throw FileError(message(path, ": the checkpoint is damaged: ", what));
}

[[noreturn]] void throw_cut_off(const std::string& path, std::size_t size) {
  throw FileError(message(path, ": the checkpoint is cut off after ", size, " bytes"));
}

/// Fills `bytes` from the file, or up to its end; returns how many there were.
std::size_t read_up_to(int descriptor, std::span<std::byte> bytes, const std::string& path) {
  std::size_t count = 0;
  while (count < bytes.size()) {
    const ssize_t got = ::read(descriptor, bytes.data() + count, bytes.size() - count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_unreadable(path);
    if (got == 0) break;
    count += static_cast<std::size_t>(got);
  }
  return count;
}

/// Checks what the first bytes of a file of `size` bytes say, and returns where the digits of the
/// header's checksum begin.
std::size_t check_beginning(std::string_view beginning, std::size_t size, const std::string& path) {
  if (beginning.starts_with(old_magic)) {
    throw FileError(message(path,
                            ": the checkpoint is of an older version of natgrad; this "
                            "version reads format ",
                            checkpoint_format));
  }
  std::string_view rest = beginning.substr(std::min(beginning.size(), length_bytes));
  if (rest.empty() || !before_format.starts_with(rest.substr(0, before_format.size()))) {
    throw FileError(message(path, ": is not a checkpoint of natgrad"));
  }
  if (beginning.size() < beginning_bytes) throw_cut_off(path, size);
  rest.remove_prefix(before_format.size());
  int format = 0;
  const char* const last = rest.data() + most_format_digits;
  const auto [end, error] = std::from_chars(rest.data(), last, format);
  if (error != std::errc{} || *end != '"') throw_damaged(path, "its format is no number");
  if (format != checkpoint_format) {
    throw FileError(message(path, ": the checkpoint is of format ", format,
                            ", this version of natgrad reads format ", checkpoint_format));
  }
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (!rest.starts_with(before_checksum)) throw_damaged(path, "its header has no checksum");
  return beginning.size() - rest.size() + before_checksum.size();
}

/// Of the beginning of a file that is a checkpoint.
std::size_t header_length(std::span<const std::byte> beginning, std::size_t size,
                          const std::string& path) {
  std::uint64_t length = 0;
  std::memcpy(&length, beginning.data(), length_bytes);
  if (length > most_header_bytes) throw_damaged(path, "its header is too long");
  if (length > size - length_bytes) throw_cut_off(path, size);
  if (length < beginning_bytes - length_bytes) throw_damaged(path, "its header is too short");
  return length;
}

}  // namespace

namespace {

/// All that stands before the data.
std::string beginning_of(const std::string& path, std::span<const Entry> entries,
                         const Metadata& metadata) {
  Metadata all = {{format_key, std::to_string(checkpoint_format)},
                  {checksum_key, std::string(no_checksum)}};
  all.insert(all.end(), metadata.begin(), metadata.end());
  for (const Entry& entry : entries) {
    all.emplace_back(entry_checksum_prefix + entry.name, checksum_of(entry.bytes));
  }
  std::string header = make_header(entries, all);
  const std::uint64_t length = header.size();
  if (length > most_header_bytes) {
    throw FileError(message(path, ": cannot be written: the names of ", entries.size(),
                            " entries take ", length, " bytes, more than the ", most_header_bytes,
                            " of a safetensors header"));
  }
  header.insert(0, reinterpret_cast<const char*>(&length), length_bytes);
  const std::size_t digits = check_beginning(header, header.size(), path);
  header.replace(digits, checksum_digits, header_checksum(as_bytes(header), digits));
  return header;
}

}  // namespace

void write_checkpoint(const std::string& path, std::span<const Entry> entries,
                      const Metadata& metadata) {
  const std::string header = beginning_of(path, entries, metadata);
  AtomicFile file(path);
  file.write(as_bytes(header));
  for (const Entry& entry : entries) file.write(entry.bytes);
  file.commit();
}

std::vector<std::byte> checkpoint_bytes(std::span<const Entry> entries, const Metadata& metadata) {
  const std::string header = beginning_of(name_in_memory, entries, metadata);
  std::size_t size = header.size();
  for (const Entry& entry : entries) size += entry.bytes.size();
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  const auto add = [&](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  };
  add(as_bytes(header));
  for (const Entry& entry : entries) add(entry.bytes);
  return bytes;
}

CheckpointFile::CheckpointFile(std::string path) : path_(std::move(path)) {
  require_file_name("read", path_);
  // Without O_NONBLOCK a pipe would wait for somebody to write.
  const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || fstat(*file, &status) != 0) throw_unreadable(path_);
  if (!S_ISREG(status.st_mode)) {
    throw FileError(message(path_, ": cannot be read: it is not a regular file"));
  }
  read(static_cast<std::size_t>(status.st_size),
       [&](std::span<std::byte> bytes) { return read_up_to(*file, bytes, path_); });
}

CheckpointFile::CheckpointFile(std::span<const std::byte> bytes) : path_(name_in_memory) {
  std::span<const std::byte> left = bytes;
  read(bytes.size(), [&](std::span<std::byte> to) {
    const std::size_t count = std::min(to.size(), left.size());
    std::copy_n(left.begin(), count, to.begin());
    left = left.subspan(count);
    return count;
  });
}

void CheckpointFile::read(std::size_t size, const Source& source) {
  bytes_.resize(std::min(size, beginning_bytes));
  bytes_.resize(source(bytes_));
  const std::size_t digits = check_beginning(text_of(bytes_), size, path_);
  const std::size_t data = length_bytes + header_length(bytes_, size, path_);

  const auto read_on = [&](std::size_t end) {
    const std::size_t known = bytes_.size();
    bytes_.resize(end);
    const std::span<std::byte> rest = std::span(bytes_).subspan(known);
    if (source(rest) != rest.size()) throw_cut_off(path_, size);
  };
  read_on(data);
  if (header_checksum(bytes_, digits) != text_of(bytes_).substr(digits, checksum_digits)) {
    throw_damaged(path_, "its header has another checksum");
  }
  Header header;
  try {
    header = read_header(text_of(bytes_).substr(length_bytes));
  } catch (const FileError& error) {
    throw_damaged(path_, error.what());
  }
  if (header.data_bytes > size - data) throw_cut_off(path_, size);
  if (header.data_bytes < size - data) {
    throw_damaged(path_, message("it is ", size - data - header.data_bytes, " bytes too long"));
  }
  read_on(size);
  metadata_ = std::move(header.metadata);
  place_entries(header.entries, data);
}

void CheckpointFile::place_entries(std::vector<Entry> entries, std::size_t data) {
  std::span<const std::byte> rest = std::span(bytes_).subspan(data);
  for (Entry& entry : entries) {
    entry.bytes = rest.first(bytes_of(entry));
    rest = rest.subspan(entry.bytes.size());
    if (text(entry_checksum_prefix + entry.name) != checksum_of(entry.bytes)) {
      throw_damaged(path_, message("entry \"", entry.name, "\" has another checksum"));
    }
    const std::string name = entry.name;
    entries_.emplace(name, std::move(entry));
  }
}

const Entry* CheckpointFile::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

const std::string* CheckpointFile::find_text(const std::string& name) const {
  const auto found = metadata_.find(name);
  return found == metadata_.end() ? nullptr : &found->second;
}

const std::string& CheckpointFile::text(const std::string& name) const {
  const std::string* found = find_text(name);
  if (found == nullptr) throw_damaged(path_, message("its metadata has no \"", name, '"'));
  return *found;
}

}  // namespace natgrad::io
