#pragma once

#include <cstdint>
#include <string>
#include <vector>

// IDX files for tests, good and bad.

namespace natgrad::tests {

/// The bytes of an IDX file of unsigned bytes.
inline std::string idx_bytes(const std::vector<std::uint32_t>& dimensions,
                             const std::vector<std::uint8_t>& elements) {
  std::string bytes = {0, 0, 8, static_cast<char>(dimensions.size())};
  for (const std::uint32_t dimension : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(dimension >> shift & 0xff);
    }
  }
  return bytes + std::string(elements.begin(), elements.end());
}

/// `count` images of 2 x 3 pixels, each filled with its number.
inline std::string image_bytes(std::uint32_t count) {
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t i = 0; i < count; ++i) pixels.insert(pixels.end(), 6, std::uint8_t(i));
  return idx_bytes({count, 2, 3}, pixels);
}

/// Labels 0, 1, ..., 9, 0, ...
inline std::string label_bytes(std::uint32_t count) {
  std::vector<std::uint8_t> labels;
  for (std::uint32_t i = 0; i < count; ++i) labels.push_back(std::uint8_t(i % 10));
  return idx_bytes({count}, labels);
}

}  // namespace natgrad::tests
