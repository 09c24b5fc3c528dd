#include "io/safetensors.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace natgrad::io {

namespace {

using detail::message;
using nlohmann::json;
using nlohmann::ordered_json;

const std::string metadata_key = "__metadata__";

struct TypeRow {
  DataType type;
  const char* name;
  std::size_t bytes;
};

constexpr std::array types = {TypeRow{DataType::u8, "U8", 1}, TypeRow{DataType::i32, "I32", 4},
                              TypeRow{DataType::i64, "I64", 8}, TypeRow{DataType::f32, "F32", 4},
                              TypeRow{DataType::f64, "F64", 8}};

const TypeRow& row_of(DataType type) { return types[static_cast<std::size_t>(type)]; }

DataType type_named(const std::string& name, const std::string& entry) {
  const auto* row =
      std::find_if(types.begin(), types.end(), [&](const TypeRow& r) { return r.name == name; });
  if (row == types.end()) {
    throw FileError(message("entry \"", entry, "\" is of the element type \"", name,
                            "\", which natgrad does not write"));
  }
  return row->type;
}

std::uint64_t number(const json& value) {
  if (!value.is_number_unsigned()) throw FileError("the header has another value for a number");
  return value.get<std::uint64_t>();
}

/// With where its bytes begin.
std::pair<std::uint64_t, Entry> read_entry(const std::string& name, const json& value) {
  Entry entry{
      .name = name, .type = type_named(value.at("dtype").get<std::string>(), name), .shape = {}};
  for (const json& length : value.at("shape")) {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    entry.shape.push_back(static_cast<std::int64_t>(std::min(number(length), most)));
  }
  const json& offsets = value.at("data_offsets");
  const std::uint64_t begin = number(offsets.at(0));
  const std::uint64_t end = number(offsets.at(1));
  if (begin > end || end - begin != bytes_of(entry)) {
    throw FileError(message("entry \"", name, "\" does not fit its place in the data"));
  }
  return {begin, std::move(entry)};
}

Header parse(std::string_view text) {
  const json parsed = json::parse(text);
  Header header;
  std::vector<std::pair<std::uint64_t, Entry>> entries;
  for (const auto& [name, value] : parsed.items()) {
    if (name != metadata_key) {
      entries.push_back(read_entry(name, value));
      continue;
    }
    for (const auto& [key, content] : value.items()) {
      header.metadata.emplace(key, content.get<std::string>());
    }
  }
  // Of several that begin at one place all but one are empty and come first.
  std::ranges::sort(entries, {},
                    [](const auto& e) { return std::pair(e.first, bytes_of(e.second)); });
  for (auto& [begin, entry] : entries) {
    if (begin != header.data_bytes) throw FileError("entries overlap or leave a gap in the data");
    header.data_bytes += bytes_of(entry);
    header.entries.push_back(std::move(entry));
  }
  return header;
}

}  // namespace

const char* to_string(DataType type) { return row_of(type).name; }
std::size_t size_of(DataType type) { return row_of(type).bytes; }

std::uint64_t bytes_of(const Entry& entry) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t bytes = size_of(entry.type);
  if (std::ranges::find(entry.shape, 0) != entry.shape.end()) return 0;
  for (const std::int64_t length : entry.shape) {
    const auto factor = static_cast<std::uint64_t>(length);
    if (bytes > most / factor) return most;
    bytes *= factor;
  }
  return bytes;
}

std::string shape_in_words(std::span<const std::int64_t> shape) {
  if (shape.empty()) return "one number";
  std::string text = message(shape.front());
  for (const std::int64_t length : shape.subspan(1)) text += message(" x ", length);
  return text;
}

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(json(text).dump());
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string make_header(std::span<const Entry> entries, const Metadata& metadata) {
  // Members are appended: `operator[]` of an ordered object searches it from its beginning.
  const auto append = [](ordered_json& object, const std::string& name, ordered_json value) {
    object.get_ref<ordered_json::object_t&>().emplace_back(name, std::move(value));
  };
  ordered_json texts = ordered_json::object();
  for (const auto& [name, text] : metadata) append(texts, name, text);
  ordered_json header = ordered_json::object();
  append(header, metadata_key, std::move(texts));
  std::uint64_t end = 0;
  for (const Entry& entry : entries) {
    const std::uint64_t begin = std::exchange(end, end + entry.bytes.size());
    append(
        header, entry.name,
        {{"dtype", to_string(entry.type)}, {"shape", entry.shape}, {"data_offsets", {begin, end}}});
  }
  std::string text = header.dump();
  constexpr std::size_t alignment = 8;
  text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
  return text;
}

Header read_header(std::string_view text) {
  try {
    return parse(text);
  } catch (const json::exception& error) {
    throw FileError(message("the header is not one of a checkpoint: ", error.what()));
  }
}

}  // namespace natgrad::io
