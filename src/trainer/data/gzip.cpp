#include "trainer/data/gzip.hpp"

#include "natgrad/error.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace natgrad::trainer {

namespace {

constexpr std::size_t chunk = 1 << 20;

struct CloseFile {
  void operator()(gzFile file) const { gzclose_r(file); }
};

struct EndInflate {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

[[noreturn]] void throw_read_error(gzFile file, const std::string& path) {
  int code = Z_OK;
  const char* text = gzerror(file, &code);
  if (code == Z_ERRNO) throw FileError(fmt::format("{}: {}", path, std::strerror(errno)));
  if (code == Z_BUF_ERROR) throw FileError(path + ": the gzip data are cut off");
  throw FileError(fmt::format("{}: damaged gzip data ({})", path, text));
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path) {
  errno = 0;
  const std::unique_ptr<gzFile_s, CloseFile> file(gzopen(path.c_str(), "rb"));
  if (!file)
    throw FileError(fmt::format("{}: {}", path, std::strerror(errno == 0 ? ENOMEM : errno)));
  std::vector<std::uint8_t> content;
  while (true) {
    const std::size_t before = content.size();
    content.resize(before + chunk);
    const int count = gzread(file.get(), content.data() + before, chunk);
    if (count < 0) throw_read_error(file.get(), path);
    content.resize(before + static_cast<std::size_t>(count));
    if (count == 0) break;
  }
  // gzread does not fail on a gzip file that ends early; only gzerror says so.
  int code = Z_OK;
  gzerror(file.get(), &code);
  if (code != Z_OK) throw_read_error(file.get(), path);
  return content;
}

std::vector<std::uint8_t> unpack(std::span<const std::uint8_t> packed, const std::string& name) {
  z_stream stream = {};
  stream.next_in = packed.data();
  stream.avail_in = static_cast<uInt>(packed.size());
  constexpr int gzip_format = 16;
  if (inflateInit2(&stream, gzip_format + MAX_WBITS) != Z_OK) {
    throw FileError(name + ": zlib does not start");
  }
  const std::unique_ptr<z_stream, EndInflate> end(&stream);
  std::vector<std::uint8_t> content;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::size_t before = content.size();
    content.resize(before + chunk);
    stream.next_out = content.data() + before;
    stream.avail_out = chunk;
    status = inflate(&stream, Z_NO_FLUSH);
    content.resize(content.size() - stream.avail_out);
  }
  if (status != Z_STREAM_END) throw FileError(name + ": damaged or cut off gzip data");
  return content;
}

}  // namespace natgrad::trainer
