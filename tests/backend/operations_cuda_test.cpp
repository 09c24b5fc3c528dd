#include "backend/cuda/cuda_backend.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
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
                       .bias_offset = inputs_ * outputs_,
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

TEST(cuda_backend, split_products_are_as_accurate_as_strict_ones) {
  // Whole blocks and ragged edges, more than one piece of columns.
  constexpr std::int64_t n = 1100;
  const GramOfLayer gram(n, 600, 1100);
  const cuda::GramRule blocks = {.block = 256, .least_blocks = 2};
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
    EXPECT_LE(own.largest, 1.5 * errors.largest);
    EXPECT_LE(own.root_mean_square, 1.5 * errors.root_mean_square);
    EXPECT_GE(tf32.root_mean_square, 50 * own.root_mean_square);
  }
}

TEST(cuda_backend, split_products_keep_what_is_not_finite_to_its_row) {
  constexpr std::int64_t n = 600;
  GramOfLayer gram(n, 40, 8);
  const cuda::GramRule rule = {
      .block = 64, .least_blocks = 2, .least_columns = 1, .least_products = 1};
  const std::vector<double> finite = gram(rule, MathMode::strict, ElementType::float32);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double largest = std::numeric_limits<float>::max();
  gram.A[70 * 40 + 3] = -infinity;
  gram.A[130 * 40 + 39] = std::numeric_limits<double>::quiet_NaN();
  gram.D[599 * 8 + 1] = infinity;
  gram.A[300 * 40 + 7] = largest;
  const std::vector<double> K = gram(rule, MathMode::strict, ElementType::float32);
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

}  // namespace

}  // namespace natgrad::tests
