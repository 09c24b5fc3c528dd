#pragma once

#include "natgrad/types.hpp"

#include <cstdint>
#include <iterator>

namespace natgrad::detail {

/// The last enumerator of an enum whose values are 0, 1, 2, ...; an enum that comes from outside is
/// added here, or beside the options that hold it, as a specialization.
template <class Enum>
constexpr Enum last_enumerator() = delete;
template <>
constexpr ElementType last_enumerator() {
  return ElementType::float64;
}
template <>
constexpr DeviceKind last_enumerator() {
  return DeviceKind::cuda;
}
template <>
constexpr FisherKind last_enumerator() {
  return FisherKind::residual;
}
template <>
constexpr Form last_enumerator() {
  return Form::dual;
}
template <>
constexpr Structure last_enumerator() {
  return std::rbegin(structure_table)->value;
}
template <>
constexpr DampingScaling last_enumerator() {
  return std::rbegin(damping_scaling_table)->value;
}
template <>
constexpr Activation last_enumerator() {
  return Activation::gelu;
}
template <>
constexpr Likelihood last_enumerator() {
  return std::rbegin(likelihood_names)->value;
}
template <>
constexpr PoissonSolution last_enumerator() {
  return std::rbegin(poisson_solution_table)->value;
}
template <>
constexpr DensityFamily last_enumerator() {
  return std::rbegin(density_table)->value;
}

/// Whether the value is one of the enumerators: an enum that comes from outside may hold any number
/// of its underlying type.
template <class Enum>
constexpr bool is_enumerator(Enum value) {
  const auto number = static_cast<std::int64_t>(value);
  return number >= 0 && number <= static_cast<std::int64_t>(last_enumerator<Enum>());
}

}  // namespace natgrad::detail
