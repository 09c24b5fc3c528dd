#pragma once

#include "backend/backend.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// What decides between the primal and the dual form, all of it known on the host.
struct FormRequest {
  Form form = Form::automatic;  // as asked for
  bool damped = true;
  std::int64_t rows = 0;                    // N of the whole batch
  std::int64_t parameters = 0;              // P
  double gram_operations = 0;               // for every entry of K
  std::int64_t tile_rows = 0;               // formed at once in the primal form
  ElementType type = ElementType::float32;  // of the rows
  ElementType gram = ElementType::float32;  // of K and its factor
};

/// The sum of what the blocks' Gram costs for every entry of K, on a backend with these costs.
double gram_operations(std::span<const LayerUse> blocks, std::int64_t rows, const RowCosts& costs);

/// The form of a damped solve: as asked for; at damping 0 primal when P <= N; else the one with
/// fewer operations,
///   dual    N^2 (operations of the Gram) + N^3 / 3, those in double twice
///   primal  N P^2 + P^3 / 3, in double: twice for float rows,
/// unless its matrices take more than four times the memory of the other's.
Form choose_form(const FormRequest& request);

}  // namespace natgrad::detail
