#include "backend/cuda_device.hpp"
#include "kernels/cuda/split.hpp"
#include "support/fenced.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// Numbers in half precision, and floats split into two of them.

namespace natgrad::tests {

namespace {

/// Numbers whose nearest half is known, in the order of their halves' bits.
TEST(half_precision, is_the_nearest_ties_to_even) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  struct Case {
    float number;
    int bits;
    float nearest;
  };
  for (const Case& known : {Case{0, 0, 0},
                            {0x1p-149F, 0, 0},
                            {0x1p-25F, 0, 0},  // a tie
                            {0x1.000002p-25F, 1, 0x1p-24F},
                            {0x1.8p-24F, 2, 0x1p-23F},  // a tie
                            {0x1.4p-23F, 2, 0x1p-23F},  // a tie
                            {0x1.ff8p-15F, 0x3FF, 0x1.ff8p-15F},
                            {0x1.ffcp-15F, 0x400, 0x1p-14F},  // a tie, to the first normal one
                            {0x1p-14F, 0x400, 0x1p-14F},
                            {1, 0x3C00, 1},
                            {1 + 0x1p-11F, 0x3C00, 1},              // a tie
                            {1 + 0x1.8p-10F, 0x3C02, 1 + 0x1p-9F},  // a tie
                            {1 + 0x1.002p-11F, 0x3C01, 1 + 0x1p-10F},
                            {0x1.ffep0F, 0x4000, 2},  // a tie that carries
                            {65504, 0x7BFF, 65504},
                            {0x1.ffdffep15F, 0x7BFF, 65504},
                            {65520, 0x7C00, infinity},  // a tie
                            {std::numeric_limits<float>::max(), 0x7C00, infinity},
                            {infinity, 0x7C00, infinity}}) {
    for (const int sign : {0, 0x8000}) {
      const float factor = sign == 0 ? 1.0F : -1.0F;
      const kernels::Half half = kernels::to_half(factor * known.number);
      EXPECT_EQ(half.bits, known.bits | sign) << factor * known.number;
      EXPECT_EQ(kernels::to_float(half), factor * known.nearest) << factor * known.number;
    }
  }
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(kernels::to_float(kernels::to_half(nan))));
}

TEST(half_precision, comes_back_from_float) {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const float number = kernels::to_float({static_cast<std::uint16_t>(bits)});
    if (std::isnan(number)) continue;
    ASSERT_EQ(kernels::to_half(number).bits, bits) << number;
  }
}

/// Splits some rows on a device.
class SplitTrial {
 public:
  SplitTrial(std::vector<std::vector<double>> rows, std::int64_t leading_dimension)
      : rows_(std::move(rows)),
        columns_(static_cast<std::int64_t>(rows_.front().size())),
        from_(*device_.backend, device_.memory,
              {.shape = {size(), columns_},
               .leading_dimension = leading_dimension,
               .aligned = leading_dimension % 4 == 0}),
        powers_(*device_.backend, device_.memory,
                {.shape = {size(), 1}, .type = ElementType::int32}) {
    std::vector<double> elements;
    for (const auto& row : rows_) elements.insert(elements.end(), row.begin(), row.end());
    from_.write(elements);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  const std::vector<double>& row(std::int64_t i) const { return rows_[i]; }

  /// The bits of the strings from column `first` on.
  std::vector<std::uint16_t> split(std::int64_t first, std::int64_t width, std::int64_t pieces) {
    const std::int64_t words = size() * pieces * 5 * width / 2;
    FencedArray strings(*device_.backend, device_.memory,
                        {.shape = {words, 1}, .type = ElementType::int32});
    strings.write(std::vector<double>(words, untouched));
    const kernels::FactorToSplit factor{
        {from_.view().as<float>(), size(), columns_, from_.view().leading_dimension()},
        {static_cast<kernels::Half*>(strings.view().data()), width, pieces},
        powers_.view().as<std::int32_t>()};
    kernels::split_rows(static_cast<kernels::Stream>(device_.backend->stream()), {&factor, 1},
                        first);
    strings.fetch();
    EXPECT_EQ(strings.broken_fence(), "");
    std::vector<std::uint16_t> halves;
    for (const double word : strings.elements()) {
      const auto bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(word));
      halves.push_back(static_cast<std::uint16_t>(bits));
      halves.push_back(static_cast<std::uint16_t>(bits >> 16));
    }
    return halves;
  }

  std::vector<double> powers() {
    powers_.fetch();
    EXPECT_EQ(powers_.broken_fence(), "");
    return powers_.elements();
  }

  static constexpr int untouched = 0x12341234;

 private:
  std::vector<std::vector<double>> rows_;
  std::int64_t columns_;
  TestDevice device_ = make_device();
  FencedArray from_;
  FencedArray powers_;
};

/// Of a row with these numbers.
int expected_power(const std::vector<double>& row) {
  double largest = 0;
  for (const double x : row) {
    if (!std::isfinite(x)) return 0;
    largest = std::max(largest, std::abs(x));
  }
  return largest == 0 ? 0 : std::max(std::ilogb(largest) - 14, -126);
}

/// Rows of numbers up to 1, small and large ones, and what is not finite.
std::vector<std::vector<double>> rows_to_split(std::int64_t columns) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double largest = std::numeric_limits<float>::max();
  std::vector<std::vector<double>> rows;
  for (const double size : {1.0, 0.0, 1e-30, 3e-42, largest, infinity}) {
    std::vector<double> row = random_elements(columns, rows.size() + 1);
    for (double& x : row) {
      x = static_cast<float>(std::clamp(x, -1.0, 1.0) * (std::isinf(size) ? 1 : size));
    }
    row.back() = size == 3e-42 ? double{3e-42F} : size;
    rows.push_back(row);
  }
  rows.push_back(rows[0]);
  rows.back()[3] = std::numeric_limits<double>::quiet_NaN();
  return rows;
}

/// hi and lo of a number that has been divided by a power of two.
void expect_halves(float x, std::uint16_t high_bits, std::uint16_t low_bits) {
  const float high = kernels::to_float({high_bits});
  const float low = kernels::to_float({low_bits});
  if (std::isnan(x)) {
    EXPECT_TRUE(std::isnan(high));
  } else {
    EXPECT_EQ(high_bits, kernels::to_half(x).bits) << x;
  }
  if (!std::isfinite(high)) {
    EXPECT_EQ(low, 0) << x;
    return;
  }
  EXPECT_EQ(low_bits, kernels::to_half(x - high).bits) << x;
  EXPECT_LE(std::abs(double{x} - high - low), std::max(0x1p-23 * std::abs(x), 0x1p-25));
}

TEST(cuda_backend, rows_are_split_into_halves) {
  constexpr std::int64_t width = 32;
  for (const std::int64_t columns : {5, 70, 300}) {
    for (const std::int64_t padding : {0, 3}) {
      SCOPED_TRACE(std::to_string(columns) + " columns, padding " + std::to_string(padding));
      SplitTrial trial(rows_to_split(columns), columns + padding);
      // Two pieces at a time.
      for (std::int64_t first = 0; first < columns; first += 2 * width) {
        const std::vector<std::uint16_t> halves = trial.split(first, width, 2);
        const std::vector<double> powers = trial.powers();
        for (std::int64_t k = 0; k < trial.size() * 2 * width; ++k) {
          const std::int64_t i = k / (2 * width);
          const std::int64_t j = first + k % (2 * width);
          const std::uint16_t* string = &halves[k / width * 5 * width + k % width];
          const std::uint16_t low = string[0];
          const std::uint16_t high = string[width];
          EXPECT_TRUE(string[2 * width] == high && string[3 * width] == low &&
                      string[4 * width] == high);
          const std::vector<double>& row = trial.row(i);
          ASSERT_EQ(powers[i], expected_power(row)) << "row " << i;
          if (j / width * width >= columns) {
            EXPECT_EQ(high, 0x1234) << "a piece without columns is written";
          } else {
            const double x = j < columns ? row[j] : 0;
            expect_halves(static_cast<float>(std::ldexp(x, -expected_power(row))), high, low);
          }
        }
      }
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
