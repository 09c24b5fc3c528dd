#include "models/output_scores.hpp"

#include "core/overlap.hpp"

namespace natgrad {

void OutputScores::reserve(const Context& context, const std::vector<std::int64_t>& outputs,
                           ElementType type, std::int64_t rows) {
  // The last to be allocated is missing when there was no memory for all.
  if (arrays_.size() == outputs.size() && arrays_.back().view().rows() >= rows) return;
  ByteCount bytes;
  count(outputs, type, rows, bytes);  // throws for more than an array can have
  forget();
  arrays_.clear();  // first: the old and the new together would be twice the memory
  arrays_.reserve(outputs.size());
  for (const std::int64_t columns : outputs) {
    arrays_.push_back(context.array({rows, columns}, type));
  }
}

void OutputScores::require_elsewhere(std::string_view operand, const ConstView& view) const {
  for (const Array& array : arrays_) detail::require_disjoint(operand, view, name_, array);
}

void OutputScores::count(const std::vector<std::int64_t>& outputs, ElementType type,
                         std::int64_t rows, ByteCount& bytes) {
  for (const std::int64_t columns : outputs) bytes.add(rows, columns, size_of(type));
}

}  // namespace natgrad
