#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::trainer {

// IDX, the format of MNIST: two zero bytes, a byte for the element type (8: unsigned byte), a byte
// for the number of dimensions, each dimension as a big-endian 32-bit number, then the elements.
// Files are plain or gzip, whatever their names say.

/// Images as one row of bytes each.
struct IdxImages {
  std::int64_t count = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;  // (count, height width)
};

/// Reads a file of three dimensions. Throws `FileError` naming the file when it is missing, not IDX
/// of unsigned bytes, of other dimensions, empty, cut off, or longer than it says.
IdxImages read_idx_images(const std::string& path);

/// Reads a file of one dimension, with the same errors and one for a label that is `classes` or
/// more.
std::vector<std::uint8_t> read_idx_labels(const std::string& path, int classes);

}  // namespace natgrad::trainer
