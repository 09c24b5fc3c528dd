#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace natgrad::trainer {

/// Reads the whole content of a file, unpacked when it is gzip. Throws `FileError` naming the file
/// when it is missing, unreadable, damaged or cut off.
std::vector<std::uint8_t> read_file(const std::string& path);

/// Unpacks gzip data in memory. Throws `FileError` that begins with `name` when they are damaged or
/// cut off.
std::vector<std::uint8_t> unpack(std::span<const std::uint8_t> packed, const std::string& name);

}  // namespace natgrad::trainer
