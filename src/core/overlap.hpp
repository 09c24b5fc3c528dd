#pragma once

#include "core/message.hpp"
#include "natgrad/array.hpp"
#include "natgrad/error.hpp"

#include <cstddef>
#include <functional>
#include <string_view>

namespace natgrad::detail {

/// Whether two views may share an element: their address ranges meet.
inline bool overlap(const ConstView& a, const ConstView& b) {
  if (a.empty() || b.empty() || a.size() == 0 || b.size() == 0) return false;
  const auto end = [](const ConstView& view) {
    const std::int64_t elements = (view.rows() - 1) * view.leading_dimension() + view.columns();
    return static_cast<const std::byte*>(view.data()) + elements * size_of(view.type());
  };
  const std::less<const void*> before;
  return before(a.data(), end(b)) && before(b.data(), end(a));
}

inline void require_disjoint(std::string_view name_a, const ConstView& a, std::string_view name_b,
                             const ConstView& b) {
  if (overlap(a, b)) {
    throw ArgumentError(
        message(name_a, " (", a.description(), ") overlaps ", name_b, " (", b.description(), ")"));
  }
}

}  // namespace natgrad::detail
