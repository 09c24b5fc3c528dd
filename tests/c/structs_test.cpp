#include "bindings/c/structs.hpp"

#include <gtest/gtest.h>

#include <cstddef>

// A struct of the C interface that has grown: programs of before and programs of after.

namespace natgrad::tests {

namespace {

struct First {
  std::size_t size;
  double old;
};
/// What the library has.
struct Second {
  std::size_t size;
  double old;
  double added;
};
struct Third {
  std::size_t size;
  double old;
  double added;
  double later;
};

constexpr Second own_defaults = {sizeof(Second), 1, 2};

template <class T>
Second read(const T& given) {
  return c::read_struct("it", reinterpret_cast<const Second*>(&given), own_defaults, sizeof(First));
}

TEST(c_structs, what_an_older_program_does_not_know_has_its_default) {
  const Second result = read(First{sizeof(First), 5});
  EXPECT_EQ(result.old, 5);
  EXPECT_EQ(result.added, 2);
  EXPECT_EQ(result.size, sizeof(Second));
}

TEST(c_structs, one_version) {
  const Second result = read(Second{sizeof(Second), 5, 6});
  EXPECT_EQ(result.old, 5);
  EXPECT_EQ(result.added, 6);
  const Second none = c::read_struct<Second>("it", nullptr, own_defaults, sizeof(First));
  EXPECT_EQ(none.old, 1);
  EXPECT_EQ(none.added, 2);
}

TEST(c_structs, what_the_library_does_not_know_must_be_zero) {
  const Second result = read(Third{sizeof(Third), 5, 6, 0});
  EXPECT_EQ(result.added, 6);
  EXPECT_THROW(read(Third{sizeof(Third), 5, 6, 7}), OptionError);
}

TEST(c_structs, sizes_that_no_version_has) {
  EXPECT_THROW(read(First{0, 5}), OptionError);
  EXPECT_THROW(read(First{sizeof(std::size_t), 5}), OptionError);
  EXPECT_THROW(read(First{c::largest_struct + 1, 5}), OptionError);
}

TEST(c_structs, reports_are_cut_or_followed_by_zeros) {
  const auto write = [](auto& to, std::size_t size) {
    c::write_struct("it", reinterpret_cast<Second*>(&to), size, Second{0, 5, 6}, sizeof(First));
  };
  First first = {0, -1};
  write(first, sizeof first);
  EXPECT_EQ(first.size, sizeof first);
  EXPECT_EQ(first.old, 5);
  Third third = {0, -1, -1, -1};
  write(third, sizeof third);
  EXPECT_EQ(third.size, sizeof third);
  EXPECT_EQ(third.added, 6);
  EXPECT_EQ(third.later, 0);
  EXPECT_THROW(write(first, 8), OptionError);
}

}  // namespace

}  // namespace natgrad::tests
