#include "io/atomic_file.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace natgrad::io {

using detail::message;

void require_file_name(const char* verb, const std::string& path) {
  if (path.empty()) {
    throw FileError(message("a checkpoint cannot be ", verb, ": the name of its file is empty"));
  }
  if (path.find('\0') != std::string::npos) {
    throw FileError(message(path.c_str(), ": cannot be ", verb,
                            ": the name of the file goes on behind a null character"));
  }
}

namespace {

/// What a link leads to where nothing is there yet; else the name itself. A link whose own folder
/// is a link leads on from there.
std::string target_of_link(const std::string& path, std::error_code& error) {
  std::filesystem::path target = path;
  constexpr int most_links = 40;  // as the system follows
  for (int links = 0; std::filesystem::is_symlink(std::filesystem::symlink_status(target, error));
       ++links) {
    if (links == most_links) error = std::make_error_code(std::errc::too_many_symbolic_link_levels);
    if (error) return path;
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    if (error) return path;
    target = target.parent_path() / next;
  }
  error.clear();  // of the name at the end, which does not exist
  return target.string();
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  require_file_name("written", path_);
  struct stat existing {};
  if (stat(path_.c_str(), &existing) == 0) {
    // A rename would put a file in the place of, say, /dev/null.
    if (!S_ISREG(existing.st_mode)) {
      throw FileError(message(path_, ": cannot be written: it is not a regular file"));
    }
    mode_ = static_cast<int>(existing.st_mode & 07777);
    std::error_code error;
    target_ = std::filesystem::canonical(path_, error).string();
    if (error) throw FileError(message(path_, ": cannot be written: ", error.message()));
  } else {
    std::error_code error;
    target_ = target_of_link(path_, error);
    if (error) throw FileError(message(path_, ": cannot be written: ", error.message()));
  }
  open_fresh();
}

void AtomicFile::open_fresh() {
  // The process and the number keep writers on one machine apart; between machines that share the
  // directory, O_EXCL does.
  static std::atomic<std::uint64_t> number{0};
  constexpr int attempts = 1000;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const std::string name = message(target_, '.', getpid(), '-', ++number, ".tmp");
    file_ = Descriptor(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file_) {
      temporary_ = name;
      return;
    }
    if (errno != EEXIST) break;
  }
  fail("cannot be written");
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what) const {
  throw FileError(message(path_, ": ", what, ": ", std::strerror(errno)));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (!file_.write(bytes)) fail("cannot be written");
}

void AtomicFile::commit() {
  // Some file systems report a full disk only when the file is closed.
  if ((mode_ >= 0 && fchmod(*file_, static_cast<mode_t>(mode_)) != 0) || fsync(*file_) != 0 ||
      !file_.close()) {
    fail("cannot be written");
  }
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be replaced");
  temporary_.clear();
  synchronize_directory();
}

/// So that the rename, too, outlasts a loss of power.
void AtomicFile::synchronize_directory() const {
  std::filesystem::path directory = std::filesystem::path(target_).parent_path();
  if (directory.empty()) directory = ".";
  const Descriptor opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A directory that may be written but not listed, or a file system without such a call.
  if (!opened || fsync(*opened) == 0 || errno == EINVAL || errno == ENOTSUP) return;
  fail("is written, but its directory could not be brought to the disk");
}

}  // namespace natgrad::io
