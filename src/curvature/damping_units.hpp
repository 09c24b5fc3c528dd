#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "curvature/curvature.hpp"
#include "kernels/formulas/damping_units.hpp"
#include "natgrad/types.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace natgrad::detail {

/// The units D of a damped matrix F + lambda D, a number a tensor or a parameter, and vectors of
/// parameters in them. With theta' = D^1/2 theta the system is that of D^-1/2 F D^-1/2 + lambda I:
/// d' = D^1/2 d, g' = D^-1/2 g, rows S D^-1/2. Everything of a damped solve is then of that system.
///
/// First the caller writes the diagonal of F, or its means, then `finish` makes the units of it.
class DampingUnits {
 public:
  DampingUnits(Backend& backend, DampingScaling scaling, ElementType parameters)
      : backend_(backend), scaling_(scaling), parameters_(parameters) {}

  DampingScaling scaling() const { return scaling_; }
  bool by_parameter() const { return scaling_ == DampingScaling::diagonal; }

  /// `vectors`: the type of what `to_units` and `from_units` take.
  void layout(Carver& carver, const BatchShape& shape, ElementType vectors);

  /// Every mean is 0.
  void clear_means() const;
  /// A tensor's mean of the diagonal, one float64.
  View mean(std::size_t tensor) const { return scalar(unit(tensor), &TensorUnit::diagonal); }
  /// By parameter: the diagonal (P) float64.
  const View& diagonal() const { return diagonal_; }

  /// Makes the units. A penalty of `shape` joins them with `joins_penalty`: lambda is then the
  /// absolute part of the damping, which the device may change.
  void finish(const BatchShape& shape, const DampingState* damping, bool joins_penalty);

  void to_units(const View& x) const { backend_.multiply(x, roots_, x); }            // D^1/2 x
  void from_units(const View& x) const { backend_.multiply(x, inverse_roots_, x); }  // D^-1/2 x
  const View& roots() const { return roots_; }                                       // (P)
  const View& inverse_roots() const { return inverse_roots_; }                       // (P)

  /// Of one tensor; what columns of S are multiplied by, and its inverse, one float64 each.
  View row_factor(std::size_t tensor) const {
    return scalar(unit(tensor), &TensorUnit::row_factor);
  }
  View row_root(std::size_t tensor) const { return scalar(unit(tensor), &TensorUnit::row_root); }
  /// m += pull theta of the penalty that joined the units, tensor by tensor; m (P).
  void pull_to_zero(const BatchShape& shape, const View& m) const;

 private:
  View unit(std::size_t tensor) const;
  double smallest() const;
  void expand(const BatchShape& shape, double TensorUnit::*field, const View& to) const;

  Backend& backend_;
  DampingScaling scaling_;
  ElementType parameters_;
  View tensors_;        // a TensorUnit a tensor
  View diagonal_;       // (P) float64, by parameter; then its roots
  View inverse_;        // (P) float64, by parameter
  View roots_;          // (P), 0 where there is no unit
  View inverse_roots_;  // (P), 0 where there is no unit
};

/// The place in `tensors` of the one that this offset among the P numbers stands in.
std::size_t tensor_at(std::span<const ParameterTensor> tensors, std::int64_t offset);

/// Whether every column of S is an output score, so that it can have a unit of its own.
bool without_layers(std::span<const LayerUse> uses);

/// diagonal_i = eta e of each parameter's tensor: the penalty eta/2 sum_t e_t |theta_t|^2 in the
/// matrix. `diagonal` (P).
void load_penalty(Backend& backend, const BatchShape& shape, const View& diagonal);

}  // namespace natgrad::detail
