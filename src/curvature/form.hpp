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
  std::int64_t tile_rows = 0;               // materialized at once in the primal form
  ElementType type = ElementType::float32;  // of the rows
  ElementType gram = ElementType::float32;  // of K and its factor
  double double_cost = 2;                   // `Backend::double_cost`
};

/// The sum of what the uses' Gram costs for every entry of K, on a backend with these costs.
double gram_operations(std::span<const LayerUse> uses, std::int64_t rows, const RowCosts& costs);

/// The form of a damped solve: as asked for; at damping 0 primal when P <= N; primal when P < N,
/// because K is singular then; else the one with fewer operations,
///   dual    N^2 (operations of the Gram) + N^3 / 3
///   primal  N P^2 + P^3 / 3, in double,
/// where operations in double over float rows count `double_cost` times.
/// A form whose matrices take more than four times the memory of the other's is not taken.
Form choose_form(const FormRequest& request);

}  // namespace natgrad::detail
