#include "natgrad/cuda.hpp"
#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/emulated_cuda/control.hpp"
#include "support/graph.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

// What outgrown memory costs: nothing without a capture, and after one until its object ends.

namespace natgrad::tests {

namespace {

std::int64_t allocations(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  return emulated_cuda::live().allocations;
}

/// A net and an optimizer that take a step of so many rows, after a capture or without one.
struct Training {
  FullyConnected net;
  LayerScores scores{net.parameters()};
  NaturalGradient optimizer{net.parameters()};
  Tensor<float> inputs{Random(1).table(200, 5)};
  Array labels;

  explicit Training(const Context& context)
      : net(context, {.sizes = {5, 8, 3}}), labels(context.array({200, 1}, ElementType::int32)) {
    context.write(std::vector<std::int32_t>(200, 1).data(), labels);
  }
  void step(std::int64_t rows) {
    net.forward(inputs.view().row_range(0, rows));
    net.backward(labels.view().row_range(0, rows));
    net.add_to(scores, {.samples = rows});
    optimizer.step(scores);
  }
};

TEST(outgrown_memory, is_given_back_while_there_was_no_capture) {
  const Stream stream;
  const Context context = cuda_context(stream);
  Training training(context);
  training.step(10);
  const std::int64_t before = allocations(stream);
  for (const std::int64_t rows : {50, 200}) {
    training.step(rows);
    EXPECT_EQ(allocations(stream), before) << rows;
  }
}

TEST(outgrown_memory, is_kept_after_a_capture_until_its_object_ends) {
  const std::int64_t at_first = emulated_cuda::live().allocations;
  {
    const Stream stream;
    const Context context = cuda_context(stream);
    // The scratch of the context alone.
    const std::int64_t empty = allocations(stream);
    auto training = std::make_unique<Training>(context);
    training->step(10);
    {
      const Graph graph(stream, [&] { training->step(10); });
    }
    const std::int64_t before = allocations(stream);
    training->step(200);
    // Outputs and scores of two layers, the head's number of each row, scale and right-hand side of
    // the rows, and the scratch.
    EXPECT_EQ(allocations(stream), before + 2 + 2 + 1 + 2 + 1);
    for (const std::int64_t rows : {200, 10, 150}) training->step(rows);
    EXPECT_EQ(allocations(stream), before + 8) << "nothing was outgrown";
    training = nullptr;
    EXPECT_EQ(allocations(stream), empty + 2) << "the old and the new scratch";
  }
  EXPECT_EQ(emulated_cuda::live().allocations, at_first);
}

TEST(outgrown_memory, what_ends_after_a_capture_is_given_back) {
  const Stream stream;
  const Context context = cuda_context(stream);
  {
    Training first(context);
    first.step(200);
    const Graph graph(stream, [&] { first.step(200); });
  }
  const std::int64_t before = allocations(stream);
  for (int i = 0; i < 3; ++i) {
    {
      Training trial(context);
      trial.step(200);
      const Graph graph(stream, [&] { trial.step(200); });
      graph.launch(stream);
      const Array array = context.array({100, 1}, ElementType::float64);
    }
    EXPECT_EQ(allocations(stream), before) << i;
  }
}

TEST(outgrown_memory, what_is_reserved_first_is_not_outgrown) {
  const Stream stream;
  const Context context = cuda_context(stream);
  Training training(context);
  training.step(200);
  {
    const Graph graph(stream, [&] { training.step(200); });
  }
  const std::int64_t before = allocations(stream);
  for (const std::int64_t rows : {10, 100, 200}) training.step(rows);
  EXPECT_EQ(allocations(stream), before);
}

/// The caller's allocator may have memory within a capture; rows of more terms than those before
/// take some there.
TEST(outgrown_memory, is_kept_where_a_capture_allocated_it) {
  const Allocator allocator = {
      .allocate = [](std::size_t bytes, void*) -> void* {
        void* memory = nullptr;
        return cudaMalloc(&memory, bytes) == cudaSuccess ? memory : nullptr;
      },
      .deallocate = [](void* memory, std::size_t,
                       void* stream) { cudaFreeAsync(memory, static_cast<cudaStream_t>(stream)); }};
  const Stream stream;
  Parameters parameters(cuda_context(stream, {.allocator = allocator}));
  Tensor<double> weight(Random(1).table(3, 4));
  Tensor<double> input(Random(2).table(12, 4));
  Tensor<double> output_score(Random(3).table(12, 3));
  const Segment segment = parameters.add(weight.view());
  NaturalGradient optimizer(parameters, {.damping = {.absolute = 0.1}, .form = Form::dual});
  LayerScores scores(parameters);
  const auto accumulate = [&](std::int64_t terms) {
    scores.begin({.samples = 2, .batch_samples = 4});
    scores.add({.weight = segment,
                .input = input.view().row_range(0, 2 * terms),
                .output_score = output_score.view().row_range(0, 2 * terms),
                .terms = terms});
    optimizer.accumulate(scores);
  };
  const auto step = [&](std::int64_t terms) {
    accumulate(1);
    accumulate(terms);
    optimizer.step();
  };
  step(1);
  const Graph graph(stream, [&] { step(5); });
  step(6);  // becomes one piece of memory
  graph.launch(stream);
  EXPECT_EQ(optimizer.report().step, 3);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
}

}  // namespace

}  // namespace natgrad::tests
