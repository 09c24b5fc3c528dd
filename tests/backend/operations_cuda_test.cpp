#include "backend/cuda_device.hpp"
#include "support/operation_table.hpp"

#include <gtest/gtest.h>

#include <cstdint>

// The operation table on a CUDA device.

namespace natgrad::tests {

namespace {

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

TEST(cuda_backend, a_tile_of_too_many_blocks_is_refused) {
  EXPECT_NE(make_device({.tile_height = 2048, .block = 32}).backend, nullptr);
  try {
    make_device({.tile_height = 2048, .block = 31});
    ADD_FAILURE() << "66 rows of blocks are taken";
  } catch (const OptionError& error) {
    EXPECT_STREQ(error.what(),
                 "CUDA: .tile_height = 2048 has 66 rows of .block = 31, at most 64 are taken");
  }
}

}  // namespace

}  // namespace natgrad::tests
