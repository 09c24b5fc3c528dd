#include "natgrad/gather.hpp"

#include "core/context_state.hpp"
#include "core/operands.hpp"

namespace natgrad {

void gather_rows(const Context& context, const ConstView& from, const ConstView& rows,
                 const View& to) {
  Backend& backend = context.state().backend();
  detail::require_given("gather_rows: from", from, backend);
  detail::require_operand("gather_rows: rows", rows, {rows.rows(), 1}, ElementType::int32, backend);
  detail::require_given("gather_rows: to", to, backend);
  detail::require_type("gather_rows: to", to, from.type());
  detail::require_shape("gather_rows: to", to, {rows.rows(), from.columns()});
  backend.gather_rows(from, rows, to);
}

}  // namespace natgrad
