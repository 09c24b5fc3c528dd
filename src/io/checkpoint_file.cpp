#include "io/checkpoint_file.hpp"

#include "core/message.hpp"
#include "io/atomic_file.hpp"
#include "io/bytes.hpp"
#include "io/descriptor.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace natgrad::io {

namespace {

using detail::message;

// The first byte is no text, as PNG does it, and shows a file that was carried as 7-bit text.
constexpr std::string_view magic = "\x89NATGRAD";
constexpr std::uint32_t byte_order = 0x01020304;
constexpr std::uint32_t swapped_byte_order = 0x04030201;
constexpr std::uint32_t format = 2;
constexpr std::size_t header_bytes = 32;
constexpr std::size_t checksum_bytes = sizeof(std::uint64_t);

/// FNV-1a, 64 bits (Fowler, Noll, Vo 1991).
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

[[noreturn]] void throw_unreadable(const std::string& path) {
  throw FileError(message(path, ": cannot be read: ", std::strerror(errno)));
}

[[noreturn]] void throw_damaged(const std::string& path) {
  throw FileError(message(path, ": the checkpoint is damaged"));
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

/// Checks what the first bytes of a file of `size` bytes say.
void check_header(std::span<const std::byte> header, std::uint64_t size, const std::string& path) {
  const std::string beginning = text_of(header.first(std::min(header.size(), magic.size())));
  if (beginning.empty() || beginning != magic.substr(0, beginning.size())) {
    throw FileError(message(path, ": is not a checkpoint of natgrad"));
  }
  const auto throw_cut_off = [&] {
    throw FileError(message(path, ": the checkpoint is cut off after ", size, " bytes"));
  };
  if (header.size() < header_bytes) throw_cut_off();
  ByteReader reader(header.subspan(magic.size()), path);
  const auto order = reader.number<std::uint32_t>();
  if (order == swapped_byte_order) {
    throw FileError(message(path, ": the checkpoint is of a machine of the other byte order"));
  }
  if (order != byte_order) throw_damaged(path);
  if (const auto written = reader.number<std::uint32_t>(); written != format) {
    throw FileError(message(path, ": the checkpoint is of format ", written,
                            ", this version of natgrad reads format ", format));
  }
  const auto length = reader.number<std::uint64_t>();
  if (size < length) throw_cut_off();
  if (size > length || size < header_bytes + checksum_bytes) throw_damaged(path);
}

}  // namespace

void write_checkpoint(const std::string& path, const Sections& sections) {
  std::uint64_t length = header_bytes + checksum_bytes;
  for (const auto& [name, content] : sections) {
    length += 2 * sizeof(std::uint64_t) + name.size() + content.size();
  }
  AtomicFile file(path);
  Checksum checksum;
  const auto write = [&](std::span<const std::byte> bytes) {
    checksum.add(bytes);
    file.write(bytes);
  };
  ByteWriter header;
  header.number(byte_order);
  header.number(format);
  header.number(length);
  header.number(static_cast<std::uint64_t>(sections.size()));
  write(bytes_of(magic));
  write(header.take());
  for (const auto& [name, content] : sections) {
    ByteWriter lengths;
    lengths.number(static_cast<std::uint64_t>(name.size()));
    lengths.number(static_cast<std::uint64_t>(content.size()));
    write(lengths.take());
    write(bytes_of(name));
    write(content);
  }
  const std::uint64_t sum = checksum.value();
  file.write(std::as_bytes(std::span(&sum, 1)));
  file.commit();
}

CheckpointFile::CheckpointFile(std::string path) : path_(std::move(path)) {
  read();
  parse();
}

/// The header first: a large file that is something else is not read.
void CheckpointFile::read() {
  // Without O_NONBLOCK a pipe would wait for somebody to write.
  const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || fstat(*file, &status) != 0) throw_unreadable(path_);
  if (!S_ISREG(status.st_mode)) {
    throw FileError(message(path_, ": cannot be read: it is not a regular file"));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  bytes_.resize(std::min(size, header_bytes));
  bytes_.resize(read_up_to(*file, bytes_, path_));
  check_header(bytes_, size, path_);
  bytes_.resize(size);
  const std::span<std::byte> rest = std::span(bytes_).subspan(header_bytes);
  if (read_up_to(*file, rest, path_) != rest.size()) throw_damaged(path_);
}

void CheckpointFile::parse() {
  const std::span<const std::byte> content =
      std::span(bytes_).first(bytes_.size() - checksum_bytes);
  Checksum checksum;
  checksum.add(content);
  const std::span<const std::byte> stored = std::span(bytes_).last(checksum_bytes);
  if (ByteReader(stored, path_).number<std::uint64_t>() != checksum.value()) throw_damaged(path_);

  ByteReader reader(content.subspan(header_bytes - sizeof(std::uint64_t)),
                    message(path_, ": the list of sections"));
  for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
    const auto name_bytes = reader.number<std::uint64_t>();
    const auto content_bytes = reader.number<std::uint64_t>();
    const std::string name = text_of(reader.take(name_bytes));
    if (!sections_.emplace(name, reader.take(content_bytes)).second) throw_damaged(path_);
  }
  reader.end();
}

std::span<const std::byte> CheckpointFile::section(const std::string& name) const {
  const auto found = sections_.find(name);
  if (found == sections_.end()) {
    throw FileError(message(path_, ": the checkpoint has no section \"", name, '"'));
  }
  return found->second;
}

Sections CheckpointFile::sections_after(std::string_view prefix) const {
  Sections found;
  for (const auto& [name, content] : sections_) {
    if (name.starts_with(prefix)) found.emplace(name.substr(prefix.size()), content);
  }
  return found;
}

}  // namespace natgrad::io
