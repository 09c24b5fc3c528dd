#pragma once

#include "core/message.hpp"
#include "io/entry_names.hpp"
#include "io/safetensors.hpp"
#include "optimizer/saved_state.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// How what an optimizer keeps is laid out in a checkpoint: the same when it is written and read.

namespace natgrad::io {

/// The entry of something that the optimizer calls `name`.
inline std::string optimizer_entry(std::string_view name) {
  return detail::message(optimizer_prefix, name);
}

inline DataType data_type(ElementType type) {
  switch (type) {
    case ElementType::int32:
      return DataType::i32;
    case ElementType::float32:
      return DataType::f32;
    default:
      return DataType::f64;
  }
}

/// (rows, columns); a tensor of one column is a vector.
inline std::vector<std::int64_t> shape_of(const View& tensor) {
  if (tensor.columns() == 1) return {tensor.rows()};
  return {tensor.rows(), tensor.columns()};
}

/// Of each field of these records.
inline std::vector<std::int64_t> shape_of(const detail::SavedRecords& records) {
  if (!records.count) return {};
  return {*records.count};
}

/// How many there are.
inline std::size_t count_of(const detail::SavedRecords& records) {
  return static_cast<std::size_t>(records.count.value_or(1));
}

}  // namespace natgrad::io
