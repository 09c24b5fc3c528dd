#include "io/entry_names.hpp"

#include "core/message.hpp"
#include "io/safetensors.hpp"
#include "natgrad/error.hpp"

#include <map>
#include <set>

namespace natgrad::io {

namespace {

using detail::message;

/// With bytes outside ASCII as "\xff", so that the text is one that a terminal shows.
std::string escaped(std::string_view name) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text;
}

}  // namespace

bool is_parameter(std::string_view entry) {
  return !entry.starts_with(optimizer_prefix) && !entry.starts_with(blob_prefix);
}

void require_utf8(std::string_view what, std::string_view name) {
  if (is_utf8(name)) return;
  throw ArgumentError(message("checkpoint: the name of ", what, " \"", escaped(name),
                              "\" is not UTF-8, as names in a checkpoint must be"));
}

std::vector<std::string> tensor_entries(const Parameters& parameters) {
  std::vector<std::string> entries;
  std::set<std::string> taken;
  std::map<std::string, int> numbers;  // to try next, of names that come again
  for (int i = 0; i < parameters.segments(); ++i) {
    const std::string& name = parameters.name({i});
    require_utf8("parameter", name);
    const bool reserved = !is_parameter(name) || name == "__metadata__";
    const std::string base = reserved ? "parameters." + name : name;
    int& number = numbers.try_emplace(base, 2).first->second;
    std::string entry = base;
    while (!taken.insert(entry).second) entry = message(base, '#', number++);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace natgrad::io
