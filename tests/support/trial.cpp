#include "support/trial.hpp"

#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <optional>
#include <utility>

namespace natgrad::tests {

namespace {

constexpr std::align_val_t alignment{64};

}  // namespace

std::vector<double> random_elements(std::int64_t count, std::uint64_t seed) {
  const auto mixed = [](std::uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    return bits ^ (bits >> 31);
  };
  constexpr std::uint64_t step = 0x9e3779b97f4a7c15;
  std::vector<double> elements;
  // Mixed, or the elements of one seed were those of another moved by some places.
  std::uint64_t state = mixed(seed * step);
  for (std::int64_t i = 0; i < count; ++i) {
    state += step;
    elements.push_back(static_cast<double>(mixed(state) >> 11) * 0x1p-52 - 1);
  }
  return elements;
}

Allocator host_memory() {
  return {
      .allocate = [](std::size_t bytes, void*) { return operator new(bytes, alignment); },
      .deallocate = [](void* memory, std::size_t, void*) { operator delete(memory, alignment); }};
}

struct Trial::Sides {
  FencedShape shape;
  Use use = Use::input;
  std::vector<double> given;
  std::array<std::optional<FencedArray>, 3> arrays;
  std::array<std::vector<double>, 3> results;
  std::vector<std::uint32_t> before;  // the tested side's bits
  std::vector<std::uint32_t> first;   // and after the first call
};

View Side::operator()(Operand operand) const {
  return operand.index < 0 ? View() : trial_.sides(operand).arrays[place_]->view();
}

double Side::operator()(double constant) const {
  return place_ == magnitude ? std::abs(constant) : constant;
}

RowBatch Side::operator()(const TrialRows& rows) const {
  std::vector<LayerUse>& blocks = trial_.blocks_.emplace_back();
  for (const TrialBlock& block : rows.blocks) {
    blocks.push_back(block.shape);
    blocks.back().input = (*this)(block.input);
    blocks.back().output_score = (*this)(block.output_score);
  }
  return {
      .blocks = blocks, .scale = (*this)(rows.scale), .mode = rows.mode, .weighted = rows.weighted};
}

Scratch Side::scratch(const TrialRows& rows, ElementType type) const {
  Backend& backend = trial_.backend(place_);
  const RowBatch blocks = (*this)(rows);
  return fenced_scratch(backend.rows_scratch(blocks.blocks, blocks.rows(), rows.type, type));
}

Scratch Side::factor_scratch(Triangle triangle, Operand matrix) const {
  const View A = (*this)(matrix);
  return fenced_scratch(
      trial_.backend(place_).potrf_scratch(triangle, A.rows(), A.leading_dimension(), A.type()));
}

Scratch Side::eigenvalue_scratch(Operand matrix) const {
  const View A = (*this)(matrix);
  return fenced_scratch(trial_.backend(place_).syevd_scratch(A.rows(), A.leading_dimension()));
}

Scratch Side::fenced_scratch(std::int64_t bytes) const {
  EXPECT_EQ(bytes % 4, 0) << "scratch is a whole number of elements";
  FencedArray& array = trial_.scratches_.emplace_back(
      trial_.backend(place_), trial_.memory(place_),
      FencedShape{.shape = {bytes / 4, 1}, .type = ElementType::int32});
  array.poison();
  return {.data = array.view().data(), .bytes = bytes};
}

Trial::Trial(TestDevice& device, std::int64_t padding) : device_(device), padding_(padding) {}

Trial::~Trial() = default;

Backend& Trial::backend(Side::Place place) {
  return place == Side::tested ? *device_.backend : static_cast<Backend&>(naive_);
}

const Allocator& Trial::memory(Side::Place place) const {
  return place == Side::tested ? device_.memory : host_;
}

Operand Trial::add(const FencedShape& shape, Use use) {
  auto sides = std::make_unique<Sides>();
  sides->shape = shape;
  sides->use = use;
  sides->given = random_elements(shape.shape.size(), operands_.size() + 1);
  for (Side::Place place : {Side::tested, Side::reference, Side::magnitude}) {
    sides->arrays[place].emplace(backend(place), memory(place), shape);
  }
  operands_.push_back(std::move(sides));
  return {.index = static_cast<int>(operands_.size()) - 1};
}

Operand Trial::vector(std::int64_t size, ElementType type, Use use) {
  return add({.shape = {size, 1}, .type = type, .aligned = padding_ % 2 == 0}, use);
}

Operand Trial::vector(ElementType type, Use use, std::vector<double> elements) {
  const Operand operand = vector(static_cast<std::int64_t>(elements.size()), type, use);
  set(operand, std::move(elements));
  return operand;
}

Operand Trial::matrix(std::int64_t rows, std::int64_t columns, ElementType type, Use use,
                      Part part) {
  return add({.shape = {rows, columns},
              .type = type,
              .leading_dimension = columns + padding_,
              .part = part,
              .aligned = padding_ % 2 == 0},
             use);
}

Operand Trial::scalar(double value) { return vector(ElementType::float64, Use::input, {value}); }

void Trial::set(Operand operand, std::vector<double> elements) {
  Sides& sides = *operands_.at(operand.index);
  ASSERT_EQ(static_cast<std::int64_t>(elements.size()), sides.shape.shape.size());
  sides.given = std::move(elements);
}

const std::vector<double>& Trial::given(Operand operand) const { return sides(operand).given; }

void Trial::prepare() {
  scratches_.clear();
  blocks_.clear();
}

void Trial::reset(Side::Place place) {
  for (const auto& sides : operands_) {
    FencedArray& array = *sides->arrays[place];
    if (sides->use == Use::output) {
      array.poison();
    } else {
      std::vector<double> elements = sides->given;
      if (place == Side::magnitude) {
        for (double& element : elements) element = std::abs(element);
      }
      array.write(elements);
    }
    if (place == Side::tested) sides->before = array.bits();
  }
}

void Trial::check(int time) {
  for (FencedArray& scratch : scratches_) {
    scratch.fetch();
    EXPECT_EQ(scratch.broken_fence(), "") << "of the scratch was overwritten";
  }
  collect(Side::tested);
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    Sides& sides = *operands_[i];
    const FencedArray& array = *sides.arrays[Side::tested];
    const std::string name =
        "operand " + std::to_string(i) + " (" + array.view().description() + ")";
    if (sides.use == Use::input) {
      EXPECT_TRUE(array.bits() == sides.before) << name << " is an input, but changed";
    }
    if (time == 0) sides.first = array.bits();
    EXPECT_TRUE(array.bits() == sides.first) << name << ": a second call gave other bits";
  }
}

void Trial::collect(Side::Place place) {
  for (const auto& sides : operands_) {
    FencedArray& array = *sides->arrays[place];
    array.fetch();
    sides->results[place] = array.elements();
    EXPECT_EQ(array.broken_fence(), "")
        << "of " << array.view().description() << " was overwritten"
        << (place == Side::tested ? "" : " by the reference implementation");
  }
}

const std::vector<double>& Trial::actual(Operand operand) const {
  return sides(operand).results[Side::tested];
}

const std::vector<double>& Trial::expected(Operand operand) const {
  return sides(operand).results[Side::reference];
}

/// bound_of(index, magnitude) says how far an element may be from the reference's.
template <class Bound>
void Trial::compare(Operand operand, const Bound& bound_of) const {
  constexpr int shown = 3;
  const Sides& s = sides(operand);
  const FencedArray& array = *s.arrays[Side::tested];
  int failures = 0;
  for (std::int64_t i = 0; i < s.shape.shape.rows; ++i) {
    for (std::int64_t j = 0; j < s.shape.shape.columns; ++j) {
      if (!array.has(i, j)) continue;
      const std::size_t at = static_cast<std::size_t>(i * s.shape.shape.columns + j);
      const bool missing = s.use == Use::output && array.is_poison(i, j);
      const auto result = within(s.results[Side::tested][at], s.results[Side::reference][at],
                                 bound_of(std::abs(s.results[Side::magnitude][at])));
      if ((result && !missing) || ++failures > shown) continue;
      ADD_FAILURE() << "operand " << operand.index << " (" << array.view().description()
                    << "), row " << i << ", column " << j << ": "
                    << (missing ? "not written" : result.message());
    }
  }
  EXPECT_LE(failures, shown) << "elements differ; the first are above";
}

void Trial::expect_equal(Operand operand) const {
  compare(operand, [](double) { return 0.0; });
}

void Trial::expect_sums(Operand operand, std::int64_t length) const {
  expect_sums(operand, length, sides(operand).shape.type);
}

void Trial::expect_sums(Operand operand, std::int64_t length, ElementType arithmetic) const {
  compare(operand, [=](double magnitude) { return sum_bound(length, arithmetic, magnitude); });
}

void Trial::expect_tf32_sums(Operand operand, std::int64_t length, int factors) const {
  compare(operand, [=](double magnitude) {
    return sum_bound(length, ElementType::float32, magnitude) + factors * tf32_epsilon * magnitude;
  });
}

void Trial::expect_rounded(Operand operand, double roundings) const {
  const ElementType type = sides(operand).shape.type;
  compare(operand, [=](double magnitude) { return rounding_bound(roundings, type, magnitude); });
}

void Trial::expect_within(Operand operand, double bound) const {
  compare(operand, [=](double) { return bound; });
}

}  // namespace natgrad::tests
