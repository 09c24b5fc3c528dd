#include "api/plan.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <sys/resource.h>
#include <vector>

// What a step may take: budgets, rows without end, and a net whose rows no memory holds.

namespace natgrad::tests {

namespace {

/// The text names plan, budget and the way out; nothing is allocated.
template <class Call>
void expect_refused(const Counter& counter, const MemoryPlan& plan, const Call& call) {
  const std::int64_t calls = counter.calls;
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const MemoryError& error) {
    const std::string text = error.what();
    for (const std::string& part :
         {std::to_string(plan.bytes) + " bytes", std::to_string(plan.bytes - 1),
          std::string(".memory_budget"),
          std::string(plan.form == Form::dual ? "Form::primal" : "Form::dual"),
          plan.items.front().name}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
    }
  }
  EXPECT_EQ(counter.calls, calls);
}

TEST(memory, a_budget_refuses_before_anything_is_allocated) {
  for (Form form : {Form::dual, Form::primal}) {
    for (std::int64_t whole : {samples, 3 * samples}) {
      SCOPED_TRACE(testing::Message() << to_string(form) << ", " << whole << " rows");
      Plan plan{.name = "budget", .options = {.form = form}, .batch = whole};
      const MemoryPlan planned = [&] {
        Work<float> run(plan);
        return NaturalGradient(run.rows.parameters, plan.options).plan(run.shape());
      }();
      Work<float> run(plan);
      plan.options.memory_budget = planned.bytes - 1;
      NaturalGradient poor(run.rows.parameters, plan.options);
      const Batch batch = run.batch(samples, whole);
      EXPECT_EQ(poor.plan(batch).bytes, planned.bytes);
      expect_refused(run.counter, planned, [&] { poor.reserve(planned); });
      if (whole == samples) {
        expect_refused(run.counter, planned, [&] { poor.step(batch); });
        Tensor<float> direction = zeros<float>(run.rows.parameters.size());
        expect_refused(run.counter, planned, [&] { poor.direction(batch, direction.view()); });
      } else {
        expect_refused(run.counter, planned, [&] { poor.accumulate(batch); });
      }
      EXPECT_THROW(poor.report(), ArgumentError);
      plan.options.memory_budget = planned.bytes;
      NaturalGradient rich(run.rows.parameters, plan.options);
      run.step(rich, whole, samples);
      EXPECT_EQ(run.counter.peak, planned.bytes);
    }
  }
}

TEST(memory, a_budget_holds_something) {
  const LayeredBatch<float> batch({.layers = {{.inputs = 2, .outputs = 2}}, .samples = 3});
  for (std::int64_t budget : {std::int64_t{0}, std::int64_t{-5}}) {
    EXPECT_THROW(NaturalGradient(batch.parameters, {.memory_budget = budget}), OptionError);
  }
}

/// Peak and plan of the accumulated primal form.
struct Held {
  std::int64_t peak;
  std::int64_t planned;
};
Held accumulated_primal(std::int64_t whole, std::int64_t set) {
  Counter counter;
  const std::vector<Use> uses = {{.inputs = 4, .outputs = 3}, {.inputs = 3, .outputs = 2}};
  const UsedRows<float> rows(uses, set, 1, Context::cpu({.allocator = counter.allocator()}));
  NaturalGradient optimizer(rows.parameters, {.form = Form::primal});
  const MemoryPlan plan = optimizer.plan(
      ScoresShape{.samples = set, .batch_samples = whole, .layers = rows.shape(set)});
  LayerScores scores(rows.parameters);
  for (std::int64_t first = 0; first < whole; first += set) {
    rows.fill(scores, {.samples = set, .batch_samples = whole});
    optimizer.accumulate(scores);
  }
  optimizer.step();
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  return {.peak = counter.peak, .planned = plan.bytes};
}

TEST(memory, the_primal_form_accumulates_any_number_of_rows_in_the_same_memory) {
  const Held few = accumulated_primal(1000, 500);
  const Held many = accumulated_primal(1000000, 500);
  EXPECT_EQ(few.peak, few.planned);
  EXPECT_EQ(many.peak, many.planned);
  EXPECT_EQ(many.peak, few.peak);
  EXPECT_EQ(accumulated_primal(1000000, 1000).peak, accumulated_primal(1000, 1000).peak);
}

TEST(memory, a_step_of_a_large_net_stays_far_below_its_rows) {
  constexpr std::int64_t n = 4096;
  constexpr std::int64_t width = 1024;
  Counter counter;
  FullyConnected large(Context::cpu({.allocator = counter.allocator()}),
                       {.sizes = std::vector<std::int64_t>(9, width)});
  const std::int64_t rows = n * large.parameters().size() * 4;  // bytes of S
  ASSERT_GT(rows, std::int64_t{137000} * 1000000);
  NaturalGradient optimizer(large.parameters());
  const MemoryPlan plan = optimizer.plan(ScoresShape{
      .samples = n,
      .layers = std::vector<ScoresShape::Layer>(8, {.inputs = width, .outputs = width})});
  EXPECT_EQ(plan.form, Form::dual);
  EXPECT_LT(plan.bytes, rows / 50) << plan.text();

  Tensor<float> inputs(Random(1).table(n, width));
  std::vector<std::int32_t> labels(n, 7);
  large.forward(inputs.view());
  large.backward(ConstView(labels.data(), {n, 1}));
  const std::int64_t nets_own = counter.live;
  LayerScores scores(large.parameters());
  large.add_to(scores, {.samples = n});
  optimizer.step(scores);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(counter.peak - nets_own, plan.bytes);

  rusage usage{};
  ASSERT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  EXPECT_LT(usage.ru_maxrss * 1024, rows / 50) << plan.text();
}

}  // namespace

}  // namespace natgrad::tests
