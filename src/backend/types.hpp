#pragma once

#include "natgrad/array.hpp"

#include <cstdint>

// Operands that the groups of the backend interface share.

namespace natgrad {

/// The type of sums, and of whatever must keep its digits beside float.
inline constexpr ElementType real = ElementType::float64;

/// A scalar operand: a constant, or a one-element float64 view that earlier work of the stream
/// wrote, and that the operation reads when it runs.
class Scalar {
 public:
  Scalar(double constant) : constant_(constant) {}         // NOLINT(google-explicit-constructor)
  Scalar(const ConstView& element) : element_(element) {}  // NOLINT(google-explicit-constructor)
  Scalar(const View& element) : element_(element) {}       // NOLINT(google-explicit-constructor)
  bool is_constant() const { return element_.empty(); }
  double constant() const { return constant_; }
  const ConstView& element() const { return element_; }

 private:
  double constant_ = 0;
  ConstView element_;
};

enum class Transpose : std::uint8_t { no, yes };
enum class Triangle : std::uint8_t { lower, upper };

/// How products of floats are computed; those of doubles are always strict.
enum class MathMode : std::uint8_t {
  strict,
  tf32,  ///< allowed: of factors with eleven significant bits (NVIDIA's TF32), summed in float;
         ///< strict where a device has no such units
};
/// What a factor loses at most, relative to it, whether it is rounded to TF32 or cut.
inline constexpr double tf32_epsilon = 0x1p-10;

/// Memory that an operation may use while it runs. What it holds before and after is undefined.
struct Scratch {
  void* data = nullptr;
  std::int64_t bytes = 0;
};

/// Vectors of n numbers as operations take them: the rows of (R, n), or one as (n, 1).
struct SeveralRows {
  std::int64_t count;
  std::int64_t next;  // numbers from one to the next

  SeveralRows(const ConstView& b, std::int64_t n)
      : count(b.columns() == n ? b.rows() : 1),
        next(b.columns() == n ? b.leading_dimension() : n) {}
};

/// The diagonal of a square matrix as a strided (n, 1) view of the same memory.
inline View diagonal_of(const View& A) {
  return {A.data(),
          A.type(),
          {A.rows(), 1},
          {.leading_dimension = A.leading_dimension() + 1, .device = A.device()}};
}

}  // namespace natgrad
