#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace natgrad::io {

/// The whole content of a file, unpacked when it is gzip. Throws `FileError` naming the file when
/// it is missing, unreadable, damaged or cut off.
std::vector<std::uint8_t> read_file(const std::string& path);

/// What gzip data in memory unpacks to. `name` is what a `FileError` calls it.
std::vector<std::uint8_t> unpack(std::span<const std::uint8_t> packed, const std::string& name);

}  // namespace natgrad::io
