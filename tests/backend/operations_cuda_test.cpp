#include "backend/cuda/cuda_backend.hpp"
#include "kernels/cuda/split.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// The operation table on a CUDA device: an emulated one or a real one, as this is linked.

namespace natgrad::tests {

namespace {

Allocator device_memory() {
  return {.allocate = [](std::size_t bytes, void*) -> void* {
            void* memory = nullptr;
            cuda::check(cudaMalloc(&memory, bytes), "an operand");
            return memory;
          },
          .deallocate = [](void* memory, std::size_t, void*) { cudaFree(memory); }};
}

TestDevice make_device(const cuda::GramRule& rule = {}) {
  const auto memory = std::make_shared<const Allocator>(device_memory());
  return {.backend = std::make_unique<CudaBackend>(std::make_shared<const cuda::StreamHandle>(),
                                                   memory, rule),
          .memory = *memory};
}

/// Products on tensor cores at the sizes of the table: several tiles, in blocks or by rows, with
/// ragged edges, and several pieces of columns.
constexpr cuda::GramRule small_blocks = {.tile_height = 128,
                                         .tile_width = 192,
                                         .block = 32,
                                         .least_blocks = 2,
                                         .summed_columns = 24,
                                         .split_pieces = 2,
                                         .least_columns = 1,
                                         .least_products = 1};

[[maybe_unused]] const bool cuda_is_registered = [] {
  register_operations("", [] { return make_device(); });
  register_operations(
      "small_blocks_", [] { return make_device(small_blocks); }, "gram");
  return true;
}();

TEST(cuda_backend, a_double_costs_what_the_data_sheets_say) {
  EXPECT_EQ(cuda::double_cost(7, 0), 2) << "V100";
  EXPECT_EQ(cuda::double_cost(8, 0), 1) << "A100: tensor cores for double";
  EXPECT_EQ(cuda::double_cost(9, 0), 1) << "H100, H200";
  EXPECT_EQ(cuda::double_cost(10, 0), 2) << "B200";
  EXPECT_EQ(cuda::double_cost(7, 5), 32) << "T4";
  EXPECT_EQ(cuda::double_cost(8, 9), 64) << "L40";
  EXPECT_EQ(cuda::double_cost(10, 3), 64) << "B300";
  EXPECT_EQ(cuda::double_cost(12, 0), 64) << "RTX PRO 6000";
  int major = 0;
  int minor = 0;
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "major");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "minor");
  EXPECT_EQ(make_device().backend->double_cost(), cuda::double_cost(major, minor));
}

void expect_scratch_grows(const Backend& backend) {
  for (const LayerUse& layer :
       {LayerUse{.outputs = 128, .bias_offset = 0}, LayerUse{.outputs = 5000, .bias_offset = 0},
        LayerUse{.inputs = 64, .outputs = 64, .weight_offset = 0},
        LayerUse{.inputs = 9, .outputs = 16, .terms = 49}}) {
    for (const ElementType result : {ElementType::float32, ElementType::float64}) {
      std::int64_t before = 0;
      for (std::int64_t n = 1; n < 1000000; n += 1 + n / 7) {
        LayerUse block = layer;
        block.rows = n;
        const std::int64_t bytes =
            backend.rows_scratch({&block, 1}, n, ElementType::float32, result);
        EXPECT_GE(bytes, before) << n << " rows of " << block.inputs << "-" << block.outputs;
        before = bytes;
      }
    }
  }
}

TEST(cuda_backend, fewer_rows_take_no_more_scratch) {
  for (const cuda::GramRule& rule :
       {cuda::GramRule{}, small_blocks, cuda::GramRule{.tensor_cores = false}}) {
    expect_scratch_grows(*make_device(rule).backend);
  }
}

/// Rows of one layer with weights (d_out, d_in) and a bias, made and multiplied on a device.
class GramOfLayer {
 public:
  GramOfLayer(std::int64_t n, std::int64_t inputs, std::int64_t outputs)
      : n_(n),
        inputs_(inputs),
        outputs_(outputs),
        A(random_elements(n * inputs, 1)),
        D(random_elements(n * outputs, 2)) {}

  /// K, whose upper triangle is not written.
  std::vector<double> operator()(const cuda::GramRule& rule, MathMode mode,
                                 ElementType result) const {
    const TestDevice device = make_device(rule);
    Backend& backend = *device.backend;
    const auto array = [&](Shape shape, ElementType type, const std::vector<double>& elements) {
      auto made = std::make_unique<FencedArray>(backend, device.memory,
                                                FencedShape{.shape = shape, .type = type});
      made->write(elements);
      return made;
    };
    constexpr ElementType single = ElementType::float32;
    const auto input = array({n_, inputs_}, single, A);
    const auto score = array({n_, outputs_}, single, D);
    const auto scale = array({n_, 1}, ElementType::float64, std::vector<double>(n_, 1));
    const auto K = array({n_, n_}, result, std::vector<double>(n_ * n_, 0));
    const LayerUse use{.rows = n_,
                       .inputs = inputs_,
                       .outputs = outputs_,
                       .weight_offset = 0,
                       .bias_offset = bias ? inputs_ * outputs_ : -1,
                       .input = input->view(),
                       .output_score = score->view()};
    const std::int64_t bytes = backend.rows_scratch({&use, 1}, n_, single, result);
    FencedArray scratch(backend, device.memory,
                        {.shape = {bytes / 4, 1}, .type = ElementType::int32});
    backend.gram({.blocks = {&use, 1}, .scale = scale->view(), .mode = mode}, K->view(),
                 {.data = scratch.view().data(), .bytes = bytes});
    backend.synchronize();
    scratch.fetch();
    EXPECT_EQ(scratch.broken_fence(), "");
    K->fetch();
    return K->elements();
  }

 private:
  std::int64_t n_;
  std::int64_t inputs_;
  std::int64_t outputs_;

 public:
  std::vector<double> A;
  std::vector<double> D;
  bool bias = true;
};

/// Of K's lower triangle, relative to sqrt(K_nn K_mm).
struct Errors {
  double largest = 0;
  double root_mean_square = 0;

  Errors(const std::vector<double>& K, const std::vector<double>& exact, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) {
        const double error =
            (K[i * n + j] - exact[i * n + j]) / std::sqrt(exact[i * n + i] * exact[j * n + j]);
        largest = std::max(largest, std::abs(error));
        root_mean_square += error * error;
      }
    }
    root_mean_square = std::sqrt(root_mean_square / (0.5 * static_cast<double>(n * (n + 1))));
  }
};

/// K of dense rows, whose upper triangle is not written.
std::vector<double> gram_of_rows(const std::vector<double>& S, std::int64_t n, MathMode mode,
                                 ElementType result) {
  const TestDevice device = make_device({});
  Backend& backend = *device.backend;
  const std::int64_t columns = static_cast<std::int64_t>(S.size()) / n;
  const FencedShape wide{.shape = {n, columns}, .type = ElementType::float32};
  FencedArray rows(backend, device.memory, wide);
  FencedArray scale(backend, device.memory, {.shape = {n, 1}, .type = ElementType::float64});
  FencedArray K(backend, device.memory, {.shape = {n, n}, .type = result});
  rows.write(S);
  scale.write(std::vector<double>(n, 1));
  const LayerUse use{.rows = n,
                     .outputs = columns,
                     .materialized = true,
                     .bias_offset = 0,
                     .output_score = rows.view()};
  const std::int64_t bytes = backend.rows_scratch({&use, 1}, n, wide.type, result);
  FencedArray scratch(backend, device.memory,
                      {.shape = {bytes / 4, 1}, .type = ElementType::int32});
  backend.gram({.blocks = {&use, 1}, .scale = scale.view(), .mode = mode}, K.view(),
               {.data = scratch.view().data(), .bytes = bytes});
  backend.synchronize();
  scratch.fetch();
  EXPECT_EQ(scratch.broken_fence(), "");
  K.fetch();
  return K.elements();
}

/// A GPU's tensor cores cut the sums that they add to: in one sum of a million products TF32 lost
/// its second digit. Columns that are no multiple of any piece.
TEST(cuda_backend, dense_rows_of_many_columns_keep_their_digits) {
  constexpr std::int64_t n = 512;
  std::vector<double> S = random_elements(n * 12003, 3);
  for (double& element : S) element = std::abs(element);
  const std::vector<double> exact = gram_of_rows(S, n, MathMode::strict, ElementType::float64);
  const Errors strict(gram_of_rows(S, n, MathMode::strict, ElementType::float32), exact, n);
  const Errors tf32(gram_of_rows(S, n, MathMode::tf32, ElementType::float32), exact, n);
  EXPECT_LE(strict.largest, 5e-6);
  EXPECT_LE(tf32.largest, 1e-3);
}

/// Positive numbers too, of which all errors have one sign where a device cuts sums.
TEST(cuda_backend, split_products_are_as_accurate_as_strict_ones) {
  // Whole blocks and ragged edges, more than one piece of columns.
  constexpr std::int64_t n = 1100;
  const cuda::GramRule blocks = {.block = 256, .least_blocks = 2};
  for (const bool positive : {false, true}) {
    SCOPED_TRACE(positive ? "positive numbers" : "numbers of both signs");
    GramOfLayer gram(n, 600, 1100);
    for (std::vector<double>* factor : {&gram.A, &gram.D}) {
      for (double& element : *factor) element = positive ? std::abs(element) : element;
    }
    const std::vector<double> exact = gram(blocks, MathMode::strict, ElementType::float64);
    const auto single = [&](const cuda::GramRule& rule, MathMode mode) {
      return gram(rule, mode, ElementType::float32);
    };
    const std::vector<double> strict = single({.tensor_cores = false}, MathMode::strict);
    const Errors errors(strict, exact, n);
    const Errors tf32(single(blocks, MathMode::tf32), exact, n);
    for (const cuda::GramRule& rule : {cuda::GramRule{}, blocks}) {
      const std::vector<double> split = single(rule, MathMode::strict);
      EXPECT_NE(split, strict) << "no tensor cores were used";
      const Errors own(split, exact, n);
      // A GPU cuts the sums that it adds to: on an H200 the largest error is no larger than that of
      // strict products, the root mean square up to 3.3 times.
      EXPECT_LE(own.largest, 1.5 * errors.largest);
      EXPECT_LE(own.root_mean_square, 4 * errors.root_mean_square);
      EXPECT_GE(tf32.root_mean_square, 8 * own.root_mean_square);
    }
  }
}

/// Splits and multiplies whatever the sizes are.
constexpr cuda::GramRule small_products = {
    .block = 64, .least_blocks = 2, .least_columns = 1, .least_products = 1};

TEST(cuda_backend, split_products_of_outputs_and_inputs_go_together) {
  constexpr std::int64_t n = 200;
  struct Case {
    std::int64_t inputs;
    std::int64_t outputs;
  };
  for (const std::int64_t least_blocks : {2, 1000}) {
    cuda::GramRule rule = small_products;
    rule.least_blocks = least_blocks;
    rule.summed_columns = 32;
    rule.split_pieces = 3;
    // As many pieces, more of either one, more than are split at a time, and another width alone.
    for (const Case& layer : {Case{64, 50}, Case{20, 190}, Case{300, 33}, Case{32, 200}}) {
      SCOPED_TRACE(std::to_string(layer.inputs) + "-" + std::to_string(layer.outputs) +
                   (least_blocks == 2 ? " by blocks" : " by rows"));
      const GramOfLayer gram(n, layer.inputs, layer.outputs);
      const std::vector<double> K = gram(rule, MathMode::strict, ElementType::float32);
      const std::vector<double> exact = gram(rule, MathMode::strict, ElementType::float64);
      EXPECT_LE(Errors(K, exact, n).largest, 2e-6);
      EXPECT_NE(K, gram({.tensor_cores = false}, MathMode::strict, ElementType::float32));
    }
  }
}

TEST(cuda_backend, split_products_keep_what_is_not_finite_to_its_row) {
  constexpr std::int64_t n = 600;
  GramOfLayer gram(n, 40, 8);
  const auto multiply = [&] {
    return gram(small_products, MathMode::strict, ElementType::float32);
  };
  const std::vector<double> finite = multiply();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  gram.A[70 * 40 + 3] = -infinity;
  gram.A[130 * 40 + 39] = std::numeric_limits<double>::quiet_NaN();
  gram.D[599 * 8 + 1] = infinity;
  gram.A[300 * 40 + 7] = std::numeric_limits<float>::max();
  const std::vector<double> K = multiply();
  const auto is_spoilt = [](std::int64_t i) { return i == 70 || i == 130 || i == 599; };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      const double element = K[i * n + j];
      if (is_spoilt(i) || is_spoilt(j)) {
        ASSERT_FALSE(std::isfinite(element)) << i << ' ' << j;
      } else if (i == 300 || j == 300) {
        ASSERT_FALSE(std::isnan(element)) << i << ' ' << j;
      } else {
        ASSERT_EQ(element, finite[i * n + j]) << i << ' ' << j;
      }
    }
  }
}

/// Whatever the size of the rows beside it, and up to the ends of float's range.
TEST(cuda_backend, split_products_are_accurate_in_each_row) {
  constexpr std::int64_t n = 600;
  constexpr std::int64_t inputs = 40;
  constexpr std::int64_t outputs = 300;
  constexpr double most = std::numeric_limits<float>::max();
  constexpr double least = std::numeric_limits<float>::denorm_min();
  constexpr double sizes[] = {1, 1e-30, 1e30, 0, 1e-38, 3e-15, 3e-42, 1e15, least, most};
  GramOfLayer gram(n, inputs, outputs);
  gram.bias = false;
  std::vector<double> norms;  // of the rows of D
  for (std::int64_t i = 0; i < n; ++i) {
    double square = 0;
    for (std::int64_t j = 0; j < outputs; ++j) {
      double& element = gram.D[i * outputs + j];
      element = std::clamp(element, -1.0, 1.0) * sizes[i % std::size(sizes)];
      square += element * element;
    }
    norms.push_back(std::sqrt(square));
    for (std::int64_t j = 0; j < inputs; ++j) gram.A[i * inputs + j] *= i % 3 == 0 ? 1e-12 : 1;
  }
  const std::vector<double> K = gram(small_products, MathMode::strict, ElementType::float32);
  const std::vector<double> exact = gram(small_products, MathMode::strict, ElementType::float64);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      const double element = K[i * n + j];
      const double size = std::sqrt(exact[i * n + i]) * std::sqrt(exact[j * n + j]);
      if (std::max(norms[i] * norms[j], size) > 0.5 * most) {
        ASSERT_FALSE(std::isnan(element)) << i << ' ' << j;
      } else {
        // D_i . D_j may be denormal, and is multiplied by A_i . A_j.
        ASSERT_NEAR(element, exact[i * n + j], 4e-6 * size + 2 * inputs * least) << i << ' ' << j;
      }
    }
  }
}

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
