#include "models/output_scores.hpp"

#include "core/context_state.hpp"
#include "core/overlap.hpp"

namespace natgrad {

void OutputScores::reserve(const Context& context, const std::vector<std::int64_t>& outputs,
                           ElementType type, std::int64_t rows) {
  // The last to be allocated is missing when there was no memory for all.
  if (!arrays_.empty() && arrays_.back().rows() >= rows) return;
  ByteCount bytes;
  count(outputs, type, rows, bytes);  // throws for more than an array can have
  forget();
  arrays_.resize(outputs.size());
  const detail::DeviceMemory& memory = context.state().memory();
  // First: the old and the new together would be twice the memory.
  for (detail::GrowingArray& array : arrays_) array.replace(memory);
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    arrays_[i].replace(memory, context.array({rows, outputs[i]}, type));
  }
}

void OutputScores::require_elsewhere(std::string_view operand, const ConstView& view) const {
  for (const detail::GrowingArray& array : arrays_)
    detail::require_disjoint(operand, view, name_, array);
}

void OutputScores::count(const std::vector<std::int64_t>& outputs, ElementType type,
                         std::int64_t rows, ByteCount& bytes) {
  for (const std::int64_t columns : outputs) bytes.add(rows, columns, size_of(type));
}

}  // namespace natgrad
