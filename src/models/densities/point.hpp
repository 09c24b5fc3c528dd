#pragma once

#include "backend/backend.hpp"
#include "models/byte_count.hpp"
#include "models/densities/model.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/types.hpp"

namespace natgrad {

/// A density at one theta, in double: what its formulas read.
class DensityPoint {
 public:
  /// Throws `MemoryError`.
  DensityPoint(const Context& context, const DensityModel& model);

  /// Takes theta, P numbers of either float type, as it stands when the work runs. Does not wait.
  void set(const ConstView& theta);
  DensityAt at() const;

  static void count(const formulas::DensitySizes& sizes, ByteCount& bytes);

 private:
  const DensityModel& model_;
  Backend& backend_;
  Array theta_;     // (P)
  Array prepared_;  // of `DensitySizes::prepared`
};

}  // namespace natgrad
