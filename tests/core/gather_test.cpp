#include "natgrad/natgrad.hpp"
#include "support/device.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace natgrad::tests {
namespace {

template <class T>
Array array_of(const Context& context, Shape shape, const std::vector<T>& numbers) {
  Array array = context.array(shape, element_type_of<T>);
  context.write(numbers.data(), array);
  return array;
}

template <class T>
void check_gathering(const Context& context) {
  const Array from = array_of<T>(context, {4, 3}, {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32});
  const Array rows = array_of<std::int32_t>(context, {5, 1}, {3, 0, 3, 2, 1});
  const Array to = context.array({5, 3}, element_type_of<T>);
  gather_rows(context, from, rows, to);
  EXPECT_EQ(host_copy<T>(context, to),
            (std::vector<T>{30, 31, 32, 0, 1, 2, 30, 31, 32, 20, 21, 22, 10, 11, 12}));
}

TEST(gather, picks_the_rows_that_are_named_of_every_type) {
  const Context context = test_context();
  check_gathering<float>(context);
  check_gathering<double>(context);
  check_gathering<std::int32_t>(context);
}

TEST(gather, takes_and_leaves_rows_that_are_apart) {
  const Context context = test_context();
  SharedVector<float> from = {1, 2, -1, 3, 4, -1};
  SharedVector<float> to(6, 9);
  const Placement apart = {.leading_dimension = 3, .device = test_device()};
  const Array rows = array_of<std::int32_t>(context, {2, 1}, {1, 0});
  gather_rows(context, ConstView(from.data(), {2, 2}, apart), rows, View(to.data(), {2, 2}, apart));
  synchronize_device();
  EXPECT_EQ(to, (SharedVector<float>{3, 4, 9, 1, 2, 9}));
}

TEST(gather, refuses_operands_that_do_not_fit) {
  const Context context = test_context();
  const Array from = context.array({4, 3}, ElementType::float32);
  const Array rows = context.array({2, 1}, ElementType::int32);
  const Array to = context.array({2, 3}, ElementType::float32);
  EXPECT_THROW(gather_rows(context, {}, rows, to), ArgumentError);
  EXPECT_THROW(gather_rows(context, from, {}, to), ArgumentError);
  EXPECT_THROW(gather_rows(context, from, rows, {}), ArgumentError);
  EXPECT_THROW(gather_rows(context, from, rows, context.array({2, 2}, ElementType::float32)),
               ShapeError);
  EXPECT_THROW(gather_rows(context, from, rows, context.array({3, 3}, ElementType::float32)),
               ShapeError);
  EXPECT_THROW(gather_rows(context, from, rows, context.array({2, 3}, ElementType::float64)),
               TypeError);
  EXPECT_THROW(gather_rows(context, from, context.array({2, 1}, ElementType::float32), to),
               TypeError);
  EXPECT_THROW(gather_rows(context, from, context.array({1, 2}, ElementType::int32), to),
               ShapeError);
}

}  // namespace
}  // namespace natgrad::tests
