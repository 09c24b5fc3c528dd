#include "trainer/data/idx.hpp"

#include "natgrad/error.hpp"
#include "trainer/data/gzip.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace natgrad::trainer {

namespace {

constexpr int unsigned_byte = 8;

struct Idx {
  std::vector<std::int64_t> dimensions;
  std::vector<std::uint8_t> elements;
};

std::int64_t big_endian(const std::uint8_t* bytes) {
  return std::int64_t{bytes[0]} << 24 | std::int64_t{bytes[1]} << 16 | std::int64_t{bytes[2]} << 8 |
         std::int64_t{bytes[3]};
}

/// `available` elements must be exactly the product of the dimensions, which itself may overflow in
/// a file that lies about them.
void require_length(const std::string& path, const std::vector<std::int64_t>& dimensions,
                    std::int64_t available) {
  std::string shape;
  std::int64_t expected = 1;
  bool cut_off = false;
  for (const std::int64_t dimension : dimensions) {
    shape += (shape.empty() ? "" : " x ") + std::to_string(dimension);
    if (dimension == 0) throw FileError(path + ": holds nothing, a dimension is 0");
    cut_off = cut_off || dimension > available / expected;
    if (!cut_off) expected *= dimension;
  }
  if (cut_off) {
    throw FileError(fmt::format("{}: cut off, {} bytes are there for {}", path, available, shape));
  }
  if (available > expected) {
    throw FileError(
        fmt::format("{}: {} bytes too many after {}", path, available - expected, shape));
  }
}

Idx read_idx(const std::string& path, std::size_t expected_dimensions) {
  Idx idx = {{}, read_file(path)};
  std::vector<std::uint8_t>& bytes = idx.elements;
  if (bytes.size() < 4) throw FileError(path + ": too short for an IDX file");
  if (bytes[0] != 0 || bytes[1] != 0) {
    throw FileError(path + ": not an IDX file, it does not begin with two zero bytes");
  }
  if (bytes[2] != unsigned_byte) {
    throw FileError(fmt::format("{}: IDX element type {}, expected {} (unsigned byte)", path,
                                bytes[2], unsigned_byte));
  }
  if (bytes[3] != expected_dimensions) {
    throw FileError(fmt::format("{}: IDX file of {} dimensions, expected {}", path, bytes[3],
                                expected_dimensions));
  }
  const std::size_t header = 4 + 4 * expected_dimensions;
  if (bytes.size() < header) throw FileError(path + ": cut off within the IDX header");
  for (std::size_t at = 4; at < header; at += 4) idx.dimensions.push_back(big_endian(&bytes[at]));
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  require_length(path, idx.dimensions, static_cast<std::int64_t>(bytes.size()));
  return idx;
}

}  // namespace

IdxImages read_idx_images(const std::string& path) {
  Idx idx = read_idx(path, 3);
  return {idx.dimensions[0], idx.dimensions[1], idx.dimensions[2], std::move(idx.elements)};
}

std::vector<std::uint8_t> read_idx_labels(const std::string& path, int classes) {
  Idx idx = read_idx(path, 1);
  const auto wrong = std::find_if(idx.elements.begin(), idx.elements.end(),
                                  [&](std::uint8_t label) { return label >= classes; });
  if (wrong != idx.elements.end()) {
    throw FileError(fmt::format("{}: label {} in row {}, expected less than {}", path, *wrong,
                                wrong - idx.elements.begin(), classes));
  }
  return std::move(idx.elements);
}

}  // namespace natgrad::trainer
