#include "backend/cuda_device.hpp"
#include "support/fenced.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

// Products of the Gram on tensor cores: how accurate they are, and what of them is spoilt.

namespace natgrad::tests {

namespace {

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

}  // namespace

}  // namespace natgrad::tests
