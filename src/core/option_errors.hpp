#pragma once

#include "core/enumerators.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

namespace natgrad::detail {

/// "name = 158, must be one of its 3 enumerators (0 to 2)", what an enumerator out of range is
/// called.
template <class Enum>
std::string enumerator_error(const char* name, Enum value) {
  const auto last = static_cast<std::int64_t>(last_enumerator<Enum>());
  return message(name, " = ", static_cast<std::int64_t>(value), ", must be one of its ", last + 1,
                 " enumerators (0 to ", last, ")");
}

/// Throws `OptionError` naming the owner and the option unless the value is one of the enumerators.
template <class Enum>
void require_enumerator(const char* owner, const char* name, Enum value) {
  if (is_enumerator(value)) return;
  throw OptionError(message(owner, ": ", enumerator_error(name, value)));
}

/// Collects what is wrong with a set of options, so that one error names all of it.
class OptionErrors {
 public:
  explicit OptionErrors(std::string owner) : owner_(std::move(owner)) {}

  /// Notes "name = value, must be RANGE" unless the value is finite and in range.
  void check(const char* name, double value, bool in_range, const char* range) {
    if (std::isfinite(value) && in_range) return;
    note(message(name, " = ", value, ", must be ", range));
  }

  /// Notes "name = value, must be > 0" unless it is; infinity is no bound.
  void check_bound(const char* name, double value) {
    if (!(value > 0)) note(message(name, " = ", value, ", must be > 0"));
  }

  /// Notes a value that is none of its type's enumerators (see `last_enumerator`).
  template <class Enum>
  void check_enumerator(const char* name, Enum value) {
    if (!is_enumerator(value)) note(enumerator_error(name, value));
  }

  /// Throws `OptionError` when something was noted.
  void throw_if_any() const {
    if (!text_.empty()) throw OptionError(message(owner_, ": ", text_));
  }

 private:
  void note(const std::string& what) { text_ += (text_.empty() ? "" : "; ") + what; }

  std::string owner_;
  std::string text_;
};

}  // namespace natgrad::detail
