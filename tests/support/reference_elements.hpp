#pragma once

#include "backend/backend.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// How the reference implementation reads and writes a view of any type: one element at a time, as
// long double.

namespace natgrad::tests::naive {

using Real = long double;
using Vector = std::vector<Real>;

inline constexpr Real not_a_number = std::numeric_limits<Real>::quiet_NaN();

inline Real load(const ConstView& view, std::int64_t i, std::int64_t j = 0) {
  const std::int64_t at = i * view.leading_dimension() + j;
  switch (view.type()) {
    case ElementType::int32:
      return static_cast<const std::int32_t*>(view.data())[at];
    case ElementType::float32:
      return static_cast<const float*>(view.data())[at];
    case ElementType::float64:
      return static_cast<const double*>(view.data())[at];
  }
  return not_a_number;
}

inline void store(Real value, const View& view, std::int64_t i, std::int64_t j = 0) {
  const std::int64_t at = i * view.leading_dimension() + j;
  switch (view.type()) {
    case ElementType::int32:
      view.as<std::int32_t>()[at] = static_cast<std::int32_t>(value);
      break;
    case ElementType::float32:
      view.as<float>()[at] = static_cast<float>(value);
      break;
    case ElementType::float64:
      view.as<double>()[at] = static_cast<double>(value);
      break;
  }
}

/// `value` as an element of this view would hold it.
inline Real rounded(Real value, const ConstView& view) {
  return view.type() == ElementType::float32 ? Real{static_cast<float>(value)}
                                             : Real{static_cast<double>(value)};
}

inline Real value_of(const Scalar& scalar) {
  return scalar.is_constant() ? Real{scalar.constant()} : load(scalar.element(), 0);
}

/// Calls body(i, j) for every element.
template <class Body>
void for_each(const ConstView& view, const Body& body) {
  for (std::int64_t i = 0; i < view.rows(); ++i) {
    for (std::int64_t j = 0; j < view.columns(); ++j) body(i, j);
  }
}

/// b * old, where b = 0 ignores what was there.
inline Real scaled_old(Real b, const ConstView& view, std::int64_t i, std::int64_t j = 0) {
  return b == 0 ? 0 : b * load(view, i, j);
}

}  // namespace natgrad::tests::naive
