#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <string>
#include <utility>

namespace natgrad::detail {

/// Collects what is wrong with a set of options, so that one error names all of it.
class OptionErrors {
 public:
  explicit OptionErrors(std::string owner) : owner_(std::move(owner)) {}

  /// Notes "name = value, must be RANGE" unless the value is finite and in range.
  void check(const char* name, double value, bool in_range, const char* range) {
    if (std::isfinite(value) && in_range) return;
    text_ += message(text_.empty() ? "" : "; ", name, " = ", value, ", must be ", range);
  }

  /// Notes "name = value, must be > 0" unless it is; infinity is no bound.
  void check_bound(const char* name, double value) {
    if (value > 0) return;
    text_ += message(text_.empty() ? "" : "; ", name, " = ", value, ", must be > 0");
  }

  /// Throws `OptionError` when something was noted.
  void throw_if_any() const {
    if (!text_.empty()) throw OptionError(message(owner_, ": ", text_));
  }

 private:
  std::string owner_;
  std::string text_;
};

}  // namespace natgrad::detail
