#pragma once

#include "core/message.hpp"
#include "natgrad/array.hpp"
#include "natgrad/error.hpp"

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

// Checks of operands that come from outside. Each names the operand and both sides of what failed.

namespace natgrad::detail {

/// What a context's backend knows of the memory that operands lie in.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual Device device() const = 0;
  /// What memory that a view places on this device really is, where that is something else ("memory
  /// of the host"); empty where nothing contradicts the view.
  virtual std::string misplaced(const void*) const { return {}; }
  /// Whether the host can read and write this memory itself, as far as is known.
  virtual bool is_host_memory(const void*) const { return true; }
  /// Whether a CUDA graph may hold addresses of this memory: a call has run, or now runs, while the
  /// context's stream was captured.
  virtual bool was_captured() const { return false; }
};

/// What an operand is called, in two parts that are put together only when there is an error:
/// checks on the way of every step must not allocate.
struct Operand {
  std::string_view owner;
  std::string_view name;
  Operand(const char* whole) : name(whole) {}         // NOLINT(google-explicit-constructor)
  Operand(std::string_view whole) : name(whole) {}    // NOLINT(google-explicit-constructor)
  Operand(const std::string& whole) : name(whole) {}  // NOLINT(google-explicit-constructor)
  Operand(std::string_view part_of, std::string_view part) : owner(part_of), name(part) {}
};

inline std::ostream& operator<<(std::ostream& out, const Operand& operand) {
  if (!operand.owner.empty()) out << operand.owner << ": ";
  return out << operand.name;
}

inline void require_given(const Operand& name, const ConstView& view, const DeviceMemory& memory) {
  if (view.empty()) throw ArgumentError(message(name, " is missing"));
  const Device device = memory.device();
  if (view.device() != device) {
    throw DeviceError(message(name, " is ", view.description(), " ", view.device().index,
                              ", but the context is on ", to_string(device.kind), " ",
                              device.index));
  }
  const std::string elsewhere = memory.misplaced(view.data());
  if (!elsewhere.empty()) {
    throw DeviceError(message(name, " is ", view.description(), " ", device.index,
                              " by its view, but its data is ", elsewhere));
  }
}

inline void require_host(const Operand& name, const void* data, const DeviceMemory& memory) {
  if (data == nullptr) throw ArgumentError(message(name, " is null"));
  if (!memory.is_host_memory(data)) {
    throw DeviceError(message(name, " is memory of the device, which the host cannot reach"));
  }
}

inline void require_contiguous(const Operand& name, const ConstView& view,
                               const DeviceMemory& memory) {
  require_given(name, view, memory);
  if (!view.contiguous()) {
    throw ShapeError(message(name, " is ", view.description(), " with leading dimension ",
                             view.leading_dimension(), ", but must be contiguous"));
  }
}

inline void require_shape(const Operand& name, const ConstView& view, Shape shape) {
  if (view.shape() != shape) {
    throw ShapeError(
        message(name, " is ", to_string(view.shape()), ", expected ", to_string(shape)));
  }
}

inline void require_type(const Operand& name, const ConstView& view, ElementType type) {
  if (view.type() != type) {
    throw TypeError(message(name, " is ", to_string(view.type()), ", expected ", to_string(type)));
  }
}

/// A contiguous vector or matrix of one type and shape on the context's device.
inline void require_operand(const Operand& name, const ConstView& view, Shape shape,
                            ElementType type, const DeviceMemory& memory) {
  require_contiguous(name, view, memory);
  require_type(name, view, type);
  require_shape(name, view, shape);
}

/// One number a row, (n, 1) of any leading dimension, of the parameters' type or float64: weights
/// and coefficients, which are read once a set of rows and may need more digits than the rows.
inline void require_column(const Operand& name, const ConstView& view, std::int64_t rows,
                           ElementType type, const DeviceMemory& memory) {
  require_given(name, view, memory);
  if (view.type() != ElementType::float64) require_type(name, view, type);
  require_shape(name, view, {rows, 1});
}

}  // namespace natgrad::detail
