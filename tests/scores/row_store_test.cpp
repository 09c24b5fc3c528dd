#include "natgrad/natgrad.hpp"
#include "support/counter.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// The memory of rows that are kept until a batch is whole, for sequences that come in buckets of
// one length each.

namespace natgrad::tests {

namespace {

constexpr std::int64_t samples = 12;
constexpr std::int64_t longest = 5;

/// A recurrent layer and one after it, with factors for the longest sequences.
struct Buckets {
  Counter counter;
  Tensor<double> w1{Random(1).table(3, 4)};
  Tensor<double> b1{Random(2).numbers(3)};
  Tensor<double> w2{Random(3).table(2, 3)};
  Tensor<double> input1{Random(4).table(samples * longest, 4)};
  Tensor<double> score1{Random(5).table(samples * longest, 3)};
  Tensor<double> input2{Random(6).table(samples * longest, 3)};
  Tensor<double> score2{Random(7).table(samples * longest, 2)};
  Parameters parameters{Context::cpu({.allocator = counter.allocator()})};
  Segment first = parameters.add(w1.view(), "w1");
  Segment bias = parameters.add(b1.view(), "b1");
  Segment second = parameters.add(w2.view(), "w2");
  LayerScores scores{parameters};

  struct Part {
    std::int64_t rows;
    std::int64_t terms;
  };
  const Scores& part(const Part& part) {
    const std::int64_t count = part.rows * part.terms;
    scores.begin({.samples = part.rows, .batch_samples = samples});
    scores.add({.weight = first,
                .bias = bias,
                .input = input1.view().row_range(0, count),
                .output_score = score1.view().row_range(0, count),
                .terms = part.terms});
    scores.add({.weight = second,
                .input = input2.view().row_range(0, count),
                .output_score = score2.view().row_range(0, count),
                .terms = part.terms});
    return scores;
  }
  void step(NaturalGradient& optimizer, const std::vector<Part>& parts) {
    for (const Part& one : parts) optimizer.accumulate(part(one));
    optimizer.step();
  }
  Numbers theta() {
    Numbers all = w1.numbers();
    for (const Tensor<double>* tensor : {&b1, &w2}) {
      const Numbers more = tensor->numbers();
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
  static ScoresShape shape(std::int64_t rows, std::int64_t terms) {
    return {.samples = rows,
            .batch_samples = samples,
            .layers = {{.inputs = 4, .outputs = 3, .terms = terms},
                       {.inputs = 3, .outputs = 2, .terms = terms}}};
  }
};

const std::vector<std::vector<Buckets::Part>> batches = {
    {{4, 3}, {4, 5}, {4, 2}}, {{3, 5}, {6, 5}, {3, 1}}, {{2, 1}, {10, 5}},
    {{4, 2}, {4, 3}, {4, 5}}, {{1, 4}, {11, 5}},        {{6, 3}, {6, 3}}};

TEST(row_store, a_plan_for_the_longest_sequences_is_enough_for_all) {
  Buckets data;
  NaturalGradient optimizer(data.parameters, {.form = Form::dual});
  const MemoryPlan plan = optimizer.plan(Buckets::shape(11, longest));
  data.part({11, longest});  // the scores' own weights and coefficients
  optimizer.reserve(plan);
  const std::int64_t live = data.counter.live;
  const std::int64_t calls = data.counter.calls;
  for (const auto& parts : batches) {
    for (int time = 0; time < 2; ++time) {
      for (const Buckets::Part& one : parts) optimizer.accumulate(data.part(one));
      EXPECT_EQ(data.counter.live, live);
      optimizer.discard();
    }
  }
  EXPECT_EQ(data.counter.calls, calls);
}

TEST(row_store, what_no_plan_foresaw_is_allocated_once) {
  Buckets data;
  Buckets reference;
  NaturalGradient optimizer(data.parameters, {.form = Form::dual});
  NaturalGradient primal(reference.parameters, {.form = Form::primal});
  // The shortest sequences come first: the layout is far too small for what follows.
  const std::vector<Buckets::Part> parts = {{2, 1}, {2, 5}, {3, 2}, {5, 5}};
  for (int step = 0; step < 2; ++step) {
    data.step(optimizer, parts);
    reference.step(primal, parts);
  }
  const std::int64_t calls = data.counter.calls;
  const std::int64_t live = data.counter.live;
  for (int step = 0; step < 3; ++step) {
    data.step(optimizer, parts);
    reference.step(primal, parts);
  }
  EXPECT_EQ(data.counter.calls, calls) << "the second batch has made room for the others";
  EXPECT_EQ(data.counter.live, live);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_TRUE(relative_error_within(data.theta(), reference.theta(), 1e-10));
  // The same in other orders.
  data.step(optimizer, {parts[3], parts[2], parts[1], parts[0]});
  data.step(optimizer, {parts[1], parts[3], parts[0], parts[2]});
  EXPECT_EQ(data.counter.calls, calls);
}

TEST(row_store, a_part_that_finds_no_memory_adds_nothing) {
  Buckets data;
  Buckets undisturbed;
  NaturalGradient optimizer(data.parameters, {.form = Form::dual});
  NaturalGradient expected(undisturbed.parameters, {.form = Form::dual});
  for (Buckets* one : {&data, &undisturbed}) one->part({12, longest});
  const auto accumulate = [](Buckets& from, NaturalGradient& to, const Buckets::Part& part) {
    to.accumulate(from.part(part));
  };
  accumulate(data, optimizer, {4, 1});
  accumulate(undisturbed, expected, {4, 1});
  // What this part needs beyond the layout comes from several allocations: the first fails, then
  // the second.
  for (std::int64_t refused = 1; refused <= 2; ++refused) {
    data.counter.refused_call = data.counter.calls + refused;
    EXPECT_THROW(accumulate(data, optimizer, {8, longest}), MemoryError) << refused;
  }
  data.counter.refused_call = 0;
  accumulate(data, optimizer, {8, longest});
  accumulate(undisturbed, expected, {8, longest});
  optimizer.step();
  expected.step();
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(data.theta(), undisturbed.theta());
}

}  // namespace

}  // namespace natgrad::tests
