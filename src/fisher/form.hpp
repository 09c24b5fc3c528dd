#pragma once

#include "backend/backend.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad::detail {

/// What decides between the primal and the dual form, all of it known on the host.
struct FormRequest {
  Form form = Form::automatic;  // as asked for
  Damping damping = {};
  std::int64_t rows = 0;            // N of the whole batch
  std::int64_t parameters = 0;      // P
  std::int64_t factor_columns = 0;  // sum of d_in + d_out over the blocks
  std::int64_t tile_rows = 0;       // formed at once in the primal form
  ElementType type = ElementType::float32;
};

/// sum of d_in + d_out.
std::int64_t factor_columns(const RowBlocks& rows);

/// The form of a damped solve: as asked for; at damping 0 primal when P <= N; else the one with
/// fewer operations,
///   dual    N^2 sum(d_in + d_out) + N^3 / 3
///   primal  N P^2 + P^3 / 3, in double: twice for float rows,
/// unless its matrices take more than four times the memory of the other's.
Form choose_form(const FormRequest& request);

}  // namespace natgrad::detail
