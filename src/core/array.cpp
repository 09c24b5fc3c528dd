#include "natgrad/array.hpp"

#include "core/enumerators.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <utility>

namespace natgrad {

using detail::message;

std::string to_string(Shape shape) { return message(shape.rows, " x ", shape.columns); }

ConstView::ConstView(const void* data, ElementType type, Shape shape, Placement placement)
    : data_(data),
      type_(type),
      shape_(shape),
      leading_dimension_(placement.leading_dimension == 0 ? shape.columns
                                                          : placement.leading_dimension),
      device_(placement.device) {
  if (!detail::is_enumerator(type)) {
    throw TypeError(message("view: ", static_cast<int>(type), " is no element type"));
  }
  if (shape.rows < 0 || shape.columns < 0) {
    throw ShapeError(message("view: shape ", to_string(shape), " is negative"));
  }
  if (leading_dimension_ < shape.columns) {
    throw ShapeError(
        message("view: leading dimension ", leading_dimension_, " < ", shape.columns, " columns"));
  }
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / size_of(type);
  // One row at least, so that the bytes of a row can be counted even where there is none.
  if (leading_dimension_ > 0 && std::max<std::int64_t>(shape.rows, 1) > most / leading_dimension_) {
    throw ShapeError(message("view: ", shape.rows, " rows of leading dimension ",
                             leading_dimension_, " are more bytes than an address can count"));
  }
  if (data == nullptr) {
    throw ArgumentError(message("view: data of ", description(), " is null"));
  }
  if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(size_of(type)) != 0) {
    throw ArgumentError(
        message("view: data of ", description(), " is not aligned to its elements"));
  }
}

std::string ConstView::description() const {
  return message(to_string(shape_), " ", to_string(type_), " on ", to_string(device_.kind));
}

void ConstView::require_type(ElementType type) const {
  if (type != type_) {
    throw TypeError(message("view: ", description(), " read as ", to_string(type)));
  }
}

void ConstView::require_rows(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count < 0 || first > rows() - count) {
    throw ShapeError(message("view: ", count, " rows from row ", first, " on of ", description()));
  }
}

ConstView ConstView::row_range(std::int64_t first, std::int64_t count) const {
  require_rows(first, count);
  return {static_cast<const std::byte*>(data_) + first * row_bytes(),
          type_,
          {count, columns()},
          {leading_dimension_, device_}};
}

View View::row_range(std::int64_t first, std::int64_t count) const {
  require_rows(first, count);
  return {static_cast<std::byte*>(data_) + first * row_bytes(),
          type(),
          {count, columns()},
          {leading_dimension(), device()}};
}

namespace {

/// Memory from an allocator, which may be the caller's: null, and whatever it throws, become
/// `MemoryError`. Errors of the library, such as a driver's, pass.
void* allocated(const Allocator& allocator, const ConstView& array, std::int64_t bytes,
                void* stream) {
  const auto fail = [&](const std::string& why) {
    throw MemoryError(message("no memory for ", array.description(), ", ", bytes, " bytes", why));
  };
  void* memory = nullptr;
  try {
    memory = allocator.allocate(static_cast<std::size_t>(bytes), stream);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail(message(": the allocator threw ", error.what()));
  } catch (...) {
    fail(": the allocator threw");
  }
  if (memory == nullptr) fail({});
  return memory;
}

}  // namespace

Array::Array(std::shared_ptr<const Allocator> allocator, Shape shape, ElementType type,
             Device device, void* stream)
    : allocator_(std::move(allocator)), stream_(stream) {
  // A view checks the shape before any memory is asked for.
  const ConstView checked(this, type, shape, {.device = device});
  const std::int64_t bytes = checked.size() * size_of(type);
  if (bytes == 0) return;
  view_ = View(allocated(*allocator_, checked, bytes, stream), type, shape, {.device = device});
}

Array::Array(Array&& other) noexcept
    : allocator_(std::move(other.allocator_)),
      stream_(other.stream_),
      view_(std::exchange(other.view_, {})) {}

Array& Array::operator=(Array&& other) noexcept {
  if (this != &other) {
    release();
    allocator_ = std::move(other.allocator_);
    stream_ = other.stream_;
    view_ = std::exchange(other.view_, {});
  }
  return *this;
}

Array::~Array() { release(); }

void Array::release() noexcept {
  if (view_.empty()) return;
  allocator_->deallocate(view_.data(),
                         static_cast<std::size_t>(view_.size() * size_of(view_.type())), stream_);
  view_ = {};
}

}  // namespace natgrad
