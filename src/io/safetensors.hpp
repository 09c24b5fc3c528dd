#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The header of the safetensors format: JSON that names each entry with its element type, its shape
// and where its bytes lie in the data behind the header.
//   https://github.com/huggingface/safetensors#format

namespace natgrad::io {

enum class DataType : std::uint8_t { u8, i32, i64, f32, f64 };

/// "F32", as headers name it.
const char* to_string(DataType type);
/// Bytes of one element.
std::size_t size_of(DataType type);

/// An array by name, in row-major order and little endian; its bytes are somebody else's.
struct Entry {
  std::string name;  // UTF-8
  DataType type = DataType::u8;
  std::vector<std::int64_t> shape;  // empty: one number
  std::span<const std::byte> bytes = {};
};

/// "3 x 4"; "one number" for an empty shape.
std::string shape_in_words(std::span<const std::int64_t> shape);

/// The header's "__metadata__", in the order in which it is written.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// Headers may not be longer, says the format.
inline constexpr std::uint64_t most_header_bytes = 100'000'000;

/// Whether JSON can hold a text.
bool is_utf8(std::string_view text);

/// The header of these entries, whose bytes follow it in their order: JSON in one line with
/// "__metadata__" first, and spaces behind it up to a length that 8 divides. Names are unique and,
/// as the metadata, UTF-8.
std::string make_header(std::span<const Entry> entries, const Metadata& metadata);

/// What a header says.
struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;  // in the order of their data, without their bytes
  std::uint64_t data_bytes = 0;
};

/// Bytes of an entry of this type and shape; the largest number where they are more.
std::uint64_t bytes_of(const Entry& entry);

/// Reads a header. Throws `FileError` saying what is wrong, without the name of the file: text that
/// is no such header, an element type that natgrad does not write, and entries that overlap or
/// leave a gap in the data.
Header read_header(std::string_view text);

}  // namespace natgrad::io
