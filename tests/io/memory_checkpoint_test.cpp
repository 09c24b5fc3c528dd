#include "natgrad/natgrad.hpp"
#include "support/files.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

// Checkpoints without a file, and without the parameters.

namespace natgrad::tests {

namespace {

using memory_checkpoint = CheckpointTest;
using Bytes = std::vector<std::byte>;

TEST_F(memory_checkpoint, holds_the_bytes_of_the_file_and_continues_bit_for_bit) {
  for (const bool parameters : {true, false}) {
    Training<float> whole;
    whole.steps(1, 5);
    const SaveOptions options{.parameters = parameters};
    const Bytes bytes = save_to_memory(whole.optimizer, some_blobs(), options);
    save(path_, whole.optimizer, some_blobs(), options);
    const std::string file = read_file(path_);
    ASSERT_EQ(bytes.size(), file.size());
    EXPECT_EQ(std::memcmp(bytes.data(), file.data(), file.size()), 0);

    Training<float> fresh;
    if (!parameters) {
      // The caller's part: these are other numbers than those that the file was made beside.
      for (std::size_t i = 0; i < fresh.batch.theta.size(); ++i) {
        const Table table = whole.batch.theta[i].table();
        for (std::size_t r = 0; r < table.rows; ++r) {
          for (std::size_t c = 0; c < table.columns; ++c) {
            fresh.batch.theta[i](r, c) = static_cast<float>(table(r, c));
          }
        }
      }
    }
    EXPECT_EQ(load(bytes, fresh.optimizer), some_blobs());
    expect_same_bits(fresh, whole);
    whole.steps(6, 8);
    fresh.steps(6, 8);
    expect_same_bits(fresh, whole);
    expect_same(fresh.optimizer.report(), whole.optimizer.report());
  }
}

TEST_F(memory_checkpoint, without_parameters_leaves_those_there_are) {
  Training<float> saved;
  saved.steps(1, 3);
  save(path_, saved.optimizer, {}, {.parameters = false});
  EXPECT_EQ(read_file(path_).find("\"segment 0\""), std::string::npos);
  EXPECT_NE(read_file(path_).find("\"optimizer.momentum.segment 0\""), std::string::npos);
  Training<float> other;
  const auto before = other.batch.theta_memory();
  load(path_, other.optimizer);
  const auto after = other.batch.theta_memory();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(before[i], after[i]));
  EXPECT_EQ(other.optimizer.report().step, 3);
}

TEST_F(memory_checkpoint, of_first_order_optimizers_and_many_bytes) {
  const auto make = [](Training<float>& run) {
    return FirstOrder(run.batch.parameters, {.rule = Adam{}});
  };
  Training<float> first, second;
  FirstOrder adam = make(first);
  FirstOrder other = make(second);
  Tensor<float> gradient(
      Random(1).numbers(static_cast<std::size_t>(first.batch.parameters.size())));
  adam.step(gradient.view());
  const Bytes bytes = save_to_memory(adam, {}, {});
  load(bytes, other);
  adam.step(gradient.view());
  other.step(gradient.view());
  expect_same_bits(first, second);
}

TEST_F(memory_checkpoint, that_is_cut_off_or_damaged_is_refused) {
  Training<float> run;
  run.steps(1, 2);
  const Bytes bytes = save_to_memory(run.optimizer, some_blobs());
  const auto refused = [&](std::span<const std::byte> part) {
    return file_error([&] { load(part, run.optimizer); });
  };
  const std::string name = "checkpoint in memory";
  expect_error(refused({}), name, "is not a checkpoint of natgrad");
  for (std::size_t size = 100; size < bytes.size(); size += 97) {
    expect_error(refused(std::span(bytes).first(size)), name, "is cut off");
  }
  Bytes longer = bytes;
  longer.push_back({});
  expect_error(refused(longer), name, "bytes too long");
  Bytes changed = bytes;
  changed.back() ^= std::byte{1};
  expect_error(refused(changed), name, "has another checksum");
  EXPECT_EQ(run.optimizer.report().step, 2);
  EXPECT_EQ(Checkpoint(std::span<const std::byte>(bytes)).path(), name);
  // Without the parameters, momentum still has names and shapes.
  const Bytes bare = save_to_memory(run.optimizer, {}, {.parameters = false});
  Training<double> doubles;
  expect_error(file_error([&] { load(bare, doubles.optimizer); }), name, "optimizer.momentum");
  Training<float> without({.momentum = NoMomentum{}});
  expect_error(file_error([&] { load(bare, without.optimizer); }), name, "without momentum");
}

}  // namespace

}  // namespace natgrad::tests
