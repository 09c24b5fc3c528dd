#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The bytes of a checkpoint taken apart, changed, and put together again with checksums that fit,
// so that what a checksum cannot see is tried, too. Written a second time from docs/
// checkpoint-format.md, without anything of the library.

namespace natgrad::tests {

/// FNV-1a of 64 bits, as 16 digits.
inline std::string fnv1a(std::string_view bytes) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(sum));
  return digits.data();
}

class CheckpointBytes {
 public:
  explicit CheckpointBytes(const std::string& content) {
    std::uint64_t length = 0;
    std::memcpy(&length, content.data(), sizeof length);
    const auto json = nlohmann::ordered_json::parse(content.substr(8, length));
    metadata_ = json.at("__metadata__");
    for (const auto& [name, value] : json.items()) {
      if (name == "__metadata__") continue;
      const auto begin = value.at("data_offsets").at(0).get<std::size_t>();
      const auto end = value.at("data_offsets").at(1).get<std::size_t>();
      entries_.push_back({name, value.at("dtype"), value.at("shape"),
                          content.substr(8 + length).substr(begin, end - begin)});
    }
  }

  /// Replaces one number of an entry.
  template <class T>
  CheckpointBytes& set(const std::string& name, T value, std::size_t index = 0) {
    std::string& bytes = find(name).bytes;
    EXPECT_LE((index + 1) * sizeof value, bytes.size()) << name;
    std::memcpy(&bytes[index * sizeof value], &value, sizeof value);
    return *this;
  }
  CheckpointBytes& rename(const std::string& from, const std::string& to) {
    find(from).name = to;
    return *this;
  }
  CheckpointBytes& erase(const std::string& name) {
    find(name);
    std::erase_if(entries_, [&](const Entry& entry) { return entry.name == name; });
    return *this;
  }
  CheckpointBytes& add(const std::string& name, double value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    entries_.push_back({name, "F64", nlohmann::ordered_json::array(), bytes});
    return *this;
  }
  CheckpointBytes& describe(const std::string& name, const std::string& type,
                            nlohmann::ordered_json shape) {
    find(name).type = type;
    find(name).shape = std::move(shape);
    return *this;
  }
  CheckpointBytes& set_text(const std::string& name, const std::string& text) {
    metadata_[name] = text;
    return *this;
  }
  CheckpointBytes& erase_text(const std::string& name) {
    metadata_.erase(name);
    return *this;
  }

  const std::string& bytes_of(const std::string& name) { return find(name).bytes; }
  std::string text() const {
    nlohmann::ordered_json json;
    json["__metadata__"] = metadata_;
    std::string data;
    for (const Entry& entry : entries_) {
      const std::size_t begin = data.size();
      data += entry.bytes;
      json["__metadata__"]["checksum." + entry.name] = fnv1a(entry.bytes);
      json[entry.name] = {
          {"dtype", entry.type}, {"shape", entry.shape}, {"data_offsets", {begin, data.size()}}};
    }
    return with_header(json.dump(), data);
  }
  /// A header, given as text with whatever checksum it holds, in front of data.
  static std::string with_header(std::string header, const std::string& data) {
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = header.size();
    std::string content(8, '\0');
    std::memcpy(content.data(), &length, sizeof length);
    return with_header_checksum(content + header + data);
  }
  /// The same bytes but for the digits of the header's checksum, where there are some.
  static std::string with_header_checksum(std::string content) {
    constexpr std::string_view before = R"("checksum":")";
    std::uint64_t length = 0;
    std::memcpy(&length, content.data(), sizeof length);
    const std::size_t at = content.find(before);
    if (at == std::string::npos || length > content.size() - 8) return content;
    content.replace(at + before.size(), 16, 16, '0');
    content.replace(at + before.size(), 16, fnv1a(std::string_view(content).substr(0, 8 + length)));
    return content;
  }

 private:
  struct Entry {
    std::string name;
    std::string type;
    nlohmann::ordered_json shape;
    std::string bytes;
  };

  Entry& find(const std::string& name) {
    for (Entry& entry : entries_) {
      if (entry.name == name) return entry;
    }
    throw std::runtime_error("no entry " + name);
  }

  nlohmann::ordered_json metadata_;
  std::vector<Entry> entries_;
};

}  // namespace natgrad::tests
