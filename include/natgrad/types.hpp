#pragma once

#include "natgrad/export.hpp"

#include <cstdint>

#ifndef __cpp_concepts
#error "natgrad needs C++20; nvcc: -std=c++20"
#endif

namespace natgrad {

/// Type of the elements behind a view, known at run time as in DLPack.
enum class ElementType : std::uint8_t { int32, float32, float64 };

enum class DeviceKind : std::uint8_t { cpu, cuda };

/// Where memory lives and work runs. `index` counts the devices of one kind.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

/// What the rows of a batch are, and with it what F = S^T S means.
enum class FisherKind : std::uint8_t {
  empirical,  ///< scores at the labels of the data: the empirical Fisher
  sampled,    ///< scores at labels, actions or states drawn from the model: an unbiased estimate of
              ///< the Fisher
  exact,      ///< rows whose S^T S is the Fisher itself
  residual,   ///< the Jacobian of residuals: S^T S is the Gauss-Newton matrix
};

/// Which system a damped solve factorizes: P x P (primal) or N x N (dual, push-through).
enum class Form : std::uint8_t { automatic, primal, dual };

/// How a step or a solve ended. Everything but `accepted` leaves parameters and momentum untouched.
enum class Outcome : std::uint8_t {
  accepted,
  rejected,    ///< a step rule judged the trial to be worse; no rule of this version does
  not_finite,  ///< NaN or Inf in rows, coefficients, parameters, or what became of them
  not_positive_definite,  ///< the Cholesky factorization met a pivot that is not positive
};

enum class Activation : std::uint8_t { identity, tanh, relu, sigmoid, gelu };

NATGRAD_EXPORT const char* to_string(ElementType type);
NATGRAD_EXPORT const char* to_string(DeviceKind kind);
NATGRAD_EXPORT const char* to_string(FisherKind kind);
NATGRAD_EXPORT const char* to_string(Form form);
NATGRAD_EXPORT const char* to_string(Outcome outcome);
NATGRAD_EXPORT const char* to_string(Activation activation);

/// Bytes of one element.
constexpr std::int64_t size_of(ElementType type) { return type == ElementType::float64 ? 8 : 4; }

}  // namespace natgrad
