#pragma once

#include "backend/backend.hpp"
#include "models/byte_count.hpp"
#include "models/densities/point.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"

#include <cstdint>

namespace natgrad {

/// Expectations under a density without closed forms, by the quadrature of its family (Q points).
class DensityQuadrature {
 public:
  /// Throws `MemoryError`.
  DensityQuadrature(const Context& context, const DensityModel& model);

  /// R (P, P) in double with R^T R = F at `point`. Q P^2 operations. Does not wait.
  void fisher(const DensityPoint& point, const View& rows);
  /// KL(p_point || p_other), one float64. Does not wait.
  void kl(const DensityPoint& point, const DensityPoint& other, const View& result);

  static void count(const DensityShape& shape, const formulas::DensitySizes& sizes,
                    ByteCount& bytes);

 private:
  void place(const DensityPoint& point);

  const DensityModel& model_;
  Backend& backend_;
  Array x_;          // (Q, D)
  Array weights_;    // (Q)
  Array log_p_;      // (Q)
  Array log_other_;  // (Q)
  Array scores_;     // (Q, P), of weight and density
};

/// KL divergences as means over samples, of a family that has neither closed form nor quadrature.
class SampledDivergence {
 public:
  /// Throws `MemoryError`.
  SampledDivergence(const Context& context, const DensityModel& model, std::int64_t draws,
                    std::uint64_t key);

  /// KL(p_point || p_other), one float64. Does not wait.
  void kl(const DensityPoint& point, const DensityPoint& other, const View& result);

  static void count(const DensityShape& shape, std::int64_t draws, ByteCount& bytes);

 private:
  const DensityModel& model_;
  Backend& backend_;
  std::uint64_t key_;
  Array counter_;    // (1)
  Array x_;          // (draws, D)
  Array log_p_;      // (draws)
  Array log_other_;  // (draws)
};

}  // namespace natgrad
