#pragma once

#include "natgrad/export.hpp"
#include "natgrad/types.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

namespace natgrad {

/// The element types that a view can have.
template <class T>
concept Element =
    std::same_as<T, std::int32_t> || std::same_as<T, float> || std::same_as<T, double>;

/// The run-time name of an element type.
template <Element T>
inline constexpr ElementType element_type_of = std::same_as<T, double>  ? ElementType::float64
                                               : std::same_as<T, float> ? ElementType::float32
                                                                        : ElementType::int32;

/// The rows and columns of a row-major array; a vector of n numbers is n x 1.
struct Shape {
  std::int64_t rows = 0;
  std::int64_t columns = 1;
  std::int64_t size() const { return rows * columns; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

/// "3 x 4".
NATGRAD_EXPORT std::string to_string(Shape shape);

/// Where the memory of a view is.
struct Placement {
  std::int64_t leading_dimension = 0;  ///< elements from one row to the next; 0: rows are adjacent
  Device device = {};
};

/// A row-major array in memory that the caller owns, for reading. Element (i, j) is at address +
/// (i leading_dimension + j) elements; address, element type, shape, leading dimension and device
/// are known at run time, as in DLPack. Copying a view copies no data, and a view never keeps its
/// memory alive. A default view is empty and stands for "not given".
///
/// Construction throws `ArgumentError` for null or misaligned data, `TypeError` for a type that is
/// no enumerator, and `ShapeError` for a negative size, for a leading dimension below the number of
/// columns, and for more bytes than an address can count.
class NATGRAD_EXPORT ConstView {
 public:
  ConstView() = default;
  /// `data`: the first element, aligned to its type. The memory is not touched.
  template <Element T>
  ConstView(const T* data, Shape shape, Placement placement = {})
      : ConstView(static_cast<const void*>(data), element_type_of<T>, shape, placement) {}
  ConstView(const void* data, ElementType type, Shape shape, Placement placement = {});

  bool empty() const { return data_ == nullptr; }
  const void* data() const { return data_; }
  ElementType type() const { return type_; }
  Shape shape() const { return shape_; }
  std::int64_t rows() const { return shape_.rows; }
  std::int64_t columns() const { return shape_.columns; }
  std::int64_t size() const { return shape_.size(); }
  std::int64_t leading_dimension() const { return leading_dimension_; }
  Device device() const { return device_; }
  bool contiguous() const { return leading_dimension_ == shape_.columns || shape_.rows <= 1; }

  /// The address of the first element, as a pointer to `T`. Throws `TypeError` when the elements
  /// are of another type.
  template <Element T>
  const T* as() const {
    require_type(element_type_of<T>);
    return static_cast<const T*>(data_);
  }

  /// The view of rows [first, first + count). Throws `ShapeError` for rows outside the array.
  ConstView row_range(std::int64_t first, std::int64_t count) const;

  /// "3 x 4 float32 on cpu", as error messages name it.
  std::string description() const;

 protected:
  void require_type(ElementType type) const;
  void require_rows(std::int64_t first, std::int64_t count) const;
  std::int64_t row_bytes() const { return leading_dimension_ * size_of(type_); }

 private:
  const void* data_ = nullptr;
  ElementType type_ = ElementType::float32;
  Shape shape_ = {0, 0};
  std::int64_t leading_dimension_ = 0;
  Device device_ = {};
};

/// A row-major array in memory that the caller owns, for reading and writing. It converts to a
/// `ConstView`; construction, `as` and `row_range` throw what those of `ConstView` throw.
class NATGRAD_EXPORT View : public ConstView {
 public:
  View() = default;
  template <Element T>
  requires(!std::is_const_v<T>) View(T* data, Shape shape, Placement placement = {})
      : View(static_cast<void*>(data), element_type_of<T>, shape, placement) {}
  View(void* data, ElementType type, Shape shape, Placement placement = {})
      : ConstView(static_cast<const void*>(data), type, shape, placement), data_(data) {}

  void* data() const { return data_; }
  template <Element T>
  T* as() const {
    require_type(element_type_of<T>);
    return static_cast<T*>(data_);
  }
  View row_range(std::int64_t first, std::int64_t count) const;

 private:
  void* data_ = nullptr;
};

/// Keeps memory alive that somebody else owns: a tensor, or a struct of several. Where an operand
/// comes with one, the library holds it until the work that reads the operand has run, on a GPU
/// without waiting, and the caller may drop the memory at once. It is let go of in a thread that
/// calls the library, never in one of the driver's, so that its destructor may free device memory.
using Owner = std::shared_ptr<const void>;

/// Memory for the library: two functions, called with sizes in bytes. `stream` is the CUDA stream
/// on which the memory is used, null on the CPU. `allocate` returns memory aligned to at least 64
/// bytes, on a CUDA device 256; where there is none it returns null or throws, whatever it likes:
/// the library makes `MemoryError` of either. `deallocate` does not throw.
struct Allocator {
  std::function<void*(std::size_t bytes, void* stream)> allocate;
  std::function<void(void* memory, std::size_t bytes, void* stream)> deallocate;
};

/// An array that owns its memory, made by `Context::array`. Its elements are not initialized. It
/// can be moved and not copied, because a copy takes a stream. The destructor gives the memory back
/// in the order of the stream and does not wait.
class NATGRAD_EXPORT Array {
 public:
  Array() = default;  ///< empty
  /// What `Context::array` calls. Throws `MemoryError` where there is no room.
  Array(std::shared_ptr<const Allocator> allocator, Shape shape, ElementType type, Device device,
        void* stream);
  Array(Array&& other) noexcept;
  Array& operator=(Array&& other) noexcept;
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array();

  bool empty() const { return view_.empty(); }
  View view() const { return view_; }
  operator View() const { return view_; }       // NOLINT(google-explicit-constructor)
  operator ConstView() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  void release() noexcept;

  std::shared_ptr<const Allocator> allocator_;
  void* stream_ = nullptr;
  View view_;
};

}  // namespace natgrad
