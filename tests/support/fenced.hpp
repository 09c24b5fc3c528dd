#pragma once

#include "backend/backend.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace natgrad::tests {

/// The elements of an array that an operation may know; the others belong to the fence.
enum class Part : std::uint8_t { all, lower, upper };

/// `columns` apart from row to row, or more.
struct FencedShape {
  Shape shape;
  ElementType type = ElementType::float32;
  std::int64_t leading_dimension = 0;  // 0: columns
  Part part = Part::all;
  bool aligned = true;  // to 64 bytes; else to one element, as a caller's view may be
};

/// Memory of one device for a test, with sentinels before and after, between rows, and in the
/// triangle that is nobody's. Every sentinel is NaN in float and double and a huge int32, so that
/// reading one shows in the result and writing one shows in `broken_fence`.
class FencedArray {
 public:
  FencedArray(Backend& backend, const Allocator& memory, const FencedShape& shape);
  FencedArray(FencedArray&& other) noexcept = delete;
  ~FencedArray();

  const View& view() const { return view_; }
  bool has(std::int64_t i, std::int64_t j) const;

  /// Writes all elements, given row by row without gaps; those of the fence are skipped.
  void write(const std::vector<double>& elements);
  /// Fills all elements with NaN of other bits than the fence's.
  void poison();
  /// Fetches what is in memory now; the functions below speak of the last fetch.
  void fetch();

  /// Row by row; the fence's elements are 0.
  std::vector<double> elements() const;
  /// Where the first changed sentinel is, or nothing.
  std::string broken_fence() const;
  bool is_poison(std::int64_t i, std::int64_t j) const;
  const std::vector<std::uint32_t>& bits() const { return words_; }

 private:
  std::int64_t word_of(std::int64_t i, std::int64_t j) const;
  std::int64_t element_words() const { return size_of(view_.type()) / 4; }
  template <class Body>
  void for_each_element(const Body& body) const;
  template <class Body>
  void for_each_run(const Body& body) const;
  View whole() const;
  void send();

  Backend& backend_;
  const Allocator& memory_;
  Part part_;
  std::int64_t front_;  // words before the first element
  std::vector<std::uint32_t>
      words_;  // the whole block, fences included, as last written or fetched
  void* block_;
  View view_;
};

}  // namespace natgrad::tests
