#pragma once

#include "natgrad/checkpoint.hpp"
#include "natgrad/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <vector>

// What the trainer keeps in a checkpoint: JSON objects as blobs, so that a key that is added makes
// no old file unreadable. Numbers that are finite come back bit for bit.

namespace natgrad::trainer {

using Json = nlohmann::ordered_json;

inline std::vector<std::byte> to_blob(const Json& object) {
  const std::string text = object.dump();
  const auto* const bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

/// A blob that `to_blob` made. `file` begins error texts.
class BlobReader {
 public:
  /// Throws `FileError` where there is no such blob, or it is no JSON object.
  BlobReader(const Blobs& blobs, const std::string& name, const std::string& file)
      : name_(fmt::format("{}: \"{}\"", file, name)) {
    const auto found = blobs.find(name);
    if (found == blobs.end()) throw FileError(file + ": is no run of natgrad-train");
    const auto* const text = reinterpret_cast<const char*>(found->second.data());
    object_ = Json::parse(text, text + found->second.size(), nullptr, false);
    if (!object_.is_object()) throw FileError(name_ + " is damaged");
  }

  const Json& object() const { return object_; }

  /// Throws `FileError` where there is no such key, or its value is of another type.
  template <class T>
  T get(const std::string& key) const {
    try {
      return object_.at(key).template get<T>();
    } catch (const Json::exception&) {
      throw FileError(fmt::format("{} has no \"{}\"", name_, key));
    }
  }

 private:
  std::string name_;
  Json object_;
};

}  // namespace natgrad::trainer
