#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <string>

// Every way to break a contract of the public interface: one clear error each, nothing changed.
// Here: contexts and parameters.

namespace natgrad::tests {

namespace {

using W = Workplace;

TEST(contracts, every_error_has_its_code) {
  const std::string text = "text";
  EXPECT_EQ(ArgumentError(text).code(), ErrorCode::argument);
  EXPECT_EQ(ShapeError(text).code(), ErrorCode::shape);
  EXPECT_EQ(TypeError(text).code(), ErrorCode::type);
  EXPECT_EQ(DeviceError(text).code(), ErrorCode::device);
  EXPECT_EQ(OptionError(text).code(), ErrorCode::option);
  EXPECT_EQ(FileError(text).code(), ErrorCode::file);
  EXPECT_EQ(MemoryError(text).code(), ErrorCode::memory);
  EXPECT_EQ(StepFailed(text).code(), ErrorCode::step_failed);
  EXPECT_EQ(Error(text).code(), ErrorCode::other);
  const StepFailed failed(text);
  const Error& caught = failed;
  EXPECT_EQ(Error(caught).code(), ErrorCode::step_failed) << "a copy as the base class";
}

TEST(contracts, views_and_contexts) {
  expect_errors({
      bad<ArgumentError>("null data", "2 x 3 float32 on cpu is null",
                         [](W&) {
                           ConstView(static_cast<float*>(nullptr), {2, 3});
                         }),
      bad<ArgumentError>("misaligned data", "2 x 3 float32 on cpu is not aligned",
                         [](W& w) {
                           const auto* bytes =
                               reinterpret_cast<const std::byte*>(w.wide.view().as<float>());
                           ConstView(bytes + 1, ElementType::float32, {2, 3});
                         }),
      bad<ShapeError>("negative rows", "-2 x 3 is negative",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {-2, 3});
                      }),
      bad<ShapeError>("leading dimension", "leading dimension 2 < 3 columns",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {2, 3}, {.leading_dimension = 2});
                      }),
      bad<ShapeError>("negative leading dimension", "leading dimension -5 < 3",
                      [](W& w) {
                        ConstView(w.wide.view().as<float>(), {2, 3}, {.leading_dimension = -5});
                      }),
      bad<ShapeError>("more than can be addressed", "more bytes than an address can count",
                      [](W& w) {
                        constexpr std::int64_t many = std::int64_t{1} << 32;
                        ConstView(w.wide.view().as<float>(), {many, many});
                      }),
      bad<ShapeError>("a row of more bytes than can be counted, where there is none",
                      "more bytes than an address can count",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        ConstView(w.wide.view().as<float>(), {0, 3}, {.leading_dimension = many});
                      }),
      bad<ShapeError>("rows beyond all counting", "9223372036854775807 rows from row 2 on",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        w.dense_rows.view().row_range(2, many);
                      }),
      bad<ShapeError>("from a row beyond all counting", "0 rows from row 9223372036854775807 on",
                      [](W& w) {
                        constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
                        w.dense_rows.view().row_range(many, 0);
                      }),
      bad<TypeError>("elements of an unknown type", "77 is no element type",
                     [](W& w) {
                       View(static_cast<void*>(w.wide.view().as<float>()),
                            static_cast<ElementType>(77), {2, 3});
                     }),
      bad<TypeError>("an array of an unknown type", "3 is no element type",
                     [](W& w) {
                       w.batch.parameters.context().array({2, 3}, static_cast<ElementType>(3));
                     }),
      bad<ShapeError>("rows outside", "3 rows from row 5 on of 6 x 17",
                      [](W& w) { w.dense_rows.view().row_range(5, 3); }),
      bad<ShapeError>("negative rows outside", "3 rows from row -1 on",
                      [](W& w) { w.dense_rows.view().row_range(-1, 3); }),
      bad<TypeError>("read as another type", "read as float64",
                     [](W& w) { w.dense_rows.view().as<double>(); }),
      bad<ShapeError>("an array of negative size", "negative",
                      [](W& w) {
                        w.batch.parameters.context().array({-1, 2}, ElementType::float32);
                      }),
      bad<MemoryError>("no memory", "no memory for 2 x 3 float64 on cpu, 48 bytes",
                       [](W&) {
                         const Allocator none{
                             .allocate = [](std::size_t, void*) { return nullptr; },
                             .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<MemoryError>("an allocator that throws", "48 bytes: the allocator threw std::bad_alloc",
                       [](W&) {
                         const Allocator none{.allocate = [](std::size_t, void*) -> void* {
                                                throw std::bad_alloc();
                                              },
                                              .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<MemoryError>("an allocator that throws anything", "48 bytes: the allocator threw",
                       [](W&) {
                         const Allocator none{
                             .allocate = [](std::size_t, void*) -> void* { throw 7; },
                             .deallocate = [](void*, std::size_t, void*) {}};
                         Context::cpu({.allocator = none}).array({2, 3}, ElementType::float64);
                       }),
      bad<OptionError>("half an allocator", "both allocate and deallocate",
                       [](W&) {
                         Context::cpu(
                             {.allocator = {.allocate = {},
                                            .deallocate = [](void*, std::size_t, void*) {}}});
                       }),
      bad<ArgumentError>("write without an array", "array is missing",
                         [](W& w) {
                           const float value = 1;
                           w.batch.parameters.context().write(&value, View());
                         }),
      bad<ArgumentError>("write from null", "host memory is null",
                         [](W& w) { w.batch.parameters.context().write(nullptr, w.floats(3)); }),
      bad<ShapeError>("read with gaps", "leading dimension 3, but must be contiguous",
                      [](W& w) {
                        float values[17];
                        w.batch.parameters.context().read(w.padded.view(), values);
                      }),
      bad<DeviceError>("read from elsewhere", "on cuda 0, but the context is on cpu",
                       [](W& w) {
                         float value = 0;
                         w.batch.parameters.context().read(W::elsewhere(1), &value);
                       }),
  });
}

TEST(contracts, a_device_that_is_not_there) {
  if (Context::best().device().kind == DeviceKind::cuda) GTEST_SKIP() << "there is a CUDA device";
  expect_errors({
      bad<DeviceError>("no CUDA device", "context: ", [](W&) { Context::cuda(); }),
  });
}

TEST(contracts, parameters) {
  expect_errors({
      bad<ArgumentError>("no tensor", "theta is missing",
                         [](W& w) { w.batch.parameters.add(View(), "theta"); }),
      bad<ArgumentError>("no elements", "theta is 0 x 3: it has no elements",
                         [](W& w) { w.batch.parameters.add(w.floats(0, 3), "theta"); }),
      bad<TypeError>("integers", "theta is int32",
                     [](W& w) { w.batch.parameters.add(w.labels(3), "theta"); }),
      bad<TypeError>("another type", "segment 4 is float64, expected float32",
                     [](W& w) { w.batch.parameters.add(w.float64s(3)); }),
      bad<ArgumentError>(
          "the same memory again", "overlaps segment 0",
          [](W& w) { w.batch.parameters.add(w.batch.theta[0].view().row_range(1, 1)); }),
      bad<DeviceError>("elsewhere", "theta is 3 x 1 float32 on cuda",
                       [](W& w) { w.batch.parameters.add(W::elsewhere(3), "theta"); }),
      bad<ArgumentError>("unknown segment", "segment 4 of 4 does not exist",
                         [](W& w) { w.batch.parameters.tensor({4}); }),
      bad<ArgumentError>("no segment", "segment -1 of 4",
                         [](W& w) { w.batch.parameters.offset({}); }),
      bad<ArgumentError>("no segment's name", "segment -1 of 4",
                         [](W& w) { w.batch.parameters.name({}); }),
      bad<ShapeError>("part of too much", "part: array is 40 x 1, expected 17 x 1",
                      [](W& w) { w.batch.parameters.part({0}, w.floats(40)); }),
      bad<ShapeError>("part with gaps", "must be contiguous",
                      [](W& w) { w.batch.parameters.part({0}, w.padded.view()); }),
      bad<TypeError>("gather into another type", "gather: array is float64, expected float32",
                     [](W& w) { w.batch.parameters.gather(w.float64s(17)); }),
      bad<ShapeError>("scatter too little", "scatter: array is 16 x 1, expected 17 x 1",
                      [](W& w) { w.batch.parameters.scatter(w.floats(16)); }),
      bad<ArgumentError>("scatter nothing", "scatter: array is missing",
                         [](W& w) { w.batch.parameters.scatter(View()); }),
  });
}

}  // namespace

}  // namespace natgrad::tests
