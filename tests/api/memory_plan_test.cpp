#include "api/plan.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <variant>
#include <vector>

// A plan is what the context's allocator gives out, to the byte. The parameters and the factors of
// the rows are the tests' own memory and do not count.

namespace natgrad::tests {

namespace {

/// Rules that need the whole batch in one call.
bool takes_parts(const Plan& plan) {
  const bool compares = std::holds_alternative<Backtracking>(plan.options.step) ||
                        std::holds_alternative<QuadraticModel>(plan.options.step) ||
                        std::holds_alternative<LevenbergMarquardt>(plan.options.damping.rule);
  const auto* region = std::get_if<KlTrustRegion>(&plan.options.step);
  return !compares && (region == nullptr || region->trials == 0);
}

/// Plans of rules that compare losses or look at the quadratic model, and all of them with a
/// damping that does both.
void add_rules(std::vector<Plan>& all) {
  std::vector<Plan> plans = {
      {.name = "fixed rate"},
      {.name = "fixed rate, penalty by tensor",
       .options = {.weight_decay = 0.1, .l2 = 0.1, .l2_factors = {{{0}, 0.5}}}}};
  const Options trust{.step = KlTrustRegion{.trials = 2}};
  Options searching{.step = Backtracking{.trials = 2}, .weight_decay = 0.1};
  plans.push_back({.name = "trials of a KL", .options = trust});
  plans.push_back({.name = "trials", .options = searching});
  searching.l2 = 0.1;
  searching.rate_factors = {{{0}, 2}, {{1}, 0.5}};
  for (Source source : {Source::rows, Source::numbers, Source::other_rows}) {
    plans.push_back({.name = "trials, penalty, factors",
                     .options = searching,
                     .type = ElementType::float64,
                     .source = source});
  }
  searching.l2 = 0;
  plans.push_back({.name = "trials, centred", .options = searching, .centering = Centering::rows});
  plans.push_back({.name = "trials, frozen",
                   .options = {.step = Backtracking{.trials = 2}, .rate_factors = {{{1}, 0}}},
                   .source = Source::numbers});
  for (Structure structure : {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
    const Options model{.step = QuadraticModel{}, .momentum = NoMomentum{}, .structure = structure};
    plans.push_back({.name = "model", .options = model});
    plans.push_back({.name = "model, numbers, terms",
                     .options = model,
                     .uses = convolution,
                     .source = Source::numbers});
  }
  for (Plan plan : plans) {
    all.push_back(plan);
    plan.options.damping.rule = LevenbergMarquardt{};
    all.push_back(plan);
  }
}

std::vector<Plan> plans() {
  const SegmentFactor first{{0}, 0};
  std::vector<Plan> base = {
      {.name = "spring"},
      {.name = "no momentum", .options = {.momentum = NoMomentum{}}},
      {.name = "heavy ball, double",
       .options = {.momentum = HeavyBall{}},
       .type = ElementType::float64},
      {.name = "gram in double", .options = {.gram_type = ElementType::float64}},
      {.name = "refined", .options = {.refinement = 2}},
      {.name = "refined, numbers, double",
       .options = {.refinement = 1},
       .type = ElementType::float64,
       .source = Source::numbers},
      {.name = "refined, numbers", .options = {.refinement = 1}, .source = Source::numbers},
      {.name = "refined, gram in double, penalty",
       .options = {.l2 = 0.1, .gram_type = ElementType::float64, .refinement = 1}},
      {.name = "centred", .centering = Centering::rows},
      {.name = "centred, double, heavy ball",
       .options = {.momentum = HeavyBall{}},
       .type = ElementType::float64,
       .centering = Centering::rows},
      {.name = "centred for the Fisher alone",
       .options = {.momentum = HeavyBall{}},
       .centering = Centering::fisher_only},
      {.name = "numbers", .source = Source::numbers},
      {.name = "other rows", .source = Source::other_rows},
      {.name = "other rows, double, no momentum, penalty",
       .options = {.momentum = NoMomentum{}, .l2 = 0.1},
       .type = ElementType::float64,
       .source = Source::other_rows},
      {.name = "rate factors",
       .options = {.momentum = HeavyBall{}, .rate_factors = {{{0}, 2}, {{1}, 0.5}}}},
      {.name = "decay factors, largest norm",
       .options = {.max_norm = 1, .weight_decay = 0.1, .weight_decay_factors = {{{0}, 2}}}},
      {.name = "frozen", .options = {.rate_factors = {first}}},
      {.name = "frozen, scaled, numbers, decay factors",
       .options = {.weight_decay = 0.1,
                   .rate_factors = {first, {{2}, 0.5}},
                   .weight_decay_factors = {{{3}, 0}}},
       .source = Source::numbers},
      {.name = "frozen, dense", .options = {.rate_factors = {{{1}, 0}}}, .dense = true},
      {.name = "terms", .uses = convolution},
      {.name = "terms, double, refined",
       .options = {.refinement = 1},
       .type = ElementType::float64,
       .uses = convolution},
      {.name = "rows an input, other rows", .uses = drawn, .source = Source::other_rows},
      {.name = "row ranges", .uses = interior_and_boundary},
      {.name = "tied", .uses = tied},
      {.name = "wide", .uses = wide},
      {.name = "blocks of groups, heavy ball, penalty, double",
       .options = {.momentum = HeavyBall{},
                   .l2 = 0.1,
                   .structure = Structure::block_diagonal,
                   .groups = {{{0}, {3}}, {{1}}, {{2}}}},
       .type = ElementType::float64},
      {.name = "blocks of groups, refined, numbers",
       .options = {.structure = Structure::block_diagonal,
                   .groups = {{{0}, {3}}, {{1}, {2}}},
                   .refinement = 1},
       .source = Source::numbers},
      {.name = "dense", .dense = true},
      {.name = "dense, numbers, double",
       .type = ElementType::float64,
       .source = Source::numbers,
       .dense = true},
  };
  const std::vector<Plan> of_structures = {
      {.name = "net"},
      {.name = "net, other rows, no momentum, double",
       .options = {.momentum = NoMomentum{}},
       .type = ElementType::float64,
       .source = Source::other_rows},
      {.name = "net, centred", .centering = Centering::rows},
      {.name = "net, centred for the Fisher alone",
       .options = {.momentum = HeavyBall{}},
       .centering = Centering::fisher_only},
      {.name = "net, numbers, rate factors, heavy ball",
       .options = {.momentum = HeavyBall{}, .rate_factors = {{{0}, 2}}},
       .source = Source::numbers},
      {.name = "net, frozen", .options = {.rate_factors = {first}}},
      {.name = "terms", .uses = convolution},
      {.name = "rows an input", .uses = drawn},
      {.name = "row ranges", .uses = interior_and_boundary},
      {.name = "tied", .uses = tied},
      {.name = "wide", .uses = wide},
      {.name = "dense rows", .dense = true},
  };
  for (Structure structure : {Structure::block_diagonal, Structure::diagonal}) {
    for (Plan plan : of_structures) {
      plan.options.structure = structure;
      base.push_back(plan);
    }
  }
  add_rules(base);
  const Options in_units{.damping = {.scaling = DampingScaling::tensor}};
  const std::vector<Plan> of_units = {
      {.name = "net, units", .options = in_units},
      {.name = "terms, units", .options = in_units, .uses = convolution},
      {.name = "rows an input, units, numbers",
       .options = in_units,
       .uses = drawn,
       .source = Source::numbers},
      {.name = "tied, units, double",
       .options = in_units,
       .type = ElementType::float64,
       .uses = tied},
      {.name = "wide, units", .options = in_units, .uses = wide},
      {.name = "dense, units", .options = in_units, .dense = true},
      {.name = "dense, units of parameters",
       .options = {.damping = {.scaling = DampingScaling::diagonal}},
       .dense = true},
      {.name = "net, units, penalty",
       .options = {.damping = {.scaling = DampingScaling::tensor}, .l2 = 0.1, .refinement = 1}},
      {.name = "net, penalty by tensor",
       .options = {.momentum = HeavyBall{}, .l2 = 0.1, .l2_factors = {first}}}};
  for (Structure structure : {Structure::full, Structure::block_diagonal}) {
    for (Plan plan : of_units) {
      plan.options.structure = structure;
      base.push_back(plan);
    }
  }
  std::vector<Plan> all;
  for (Plan plan : base) {
    for (Form form : {Form::dual, Form::primal}) {
      const Structure structure = plan.options.structure;
      const bool is_large = plan.uses.front().inputs > 100;  // P = 4505
      if (is_large && form == Form::primal && structure != Structure::diagonal) continue;
      if (structure == Structure::diagonal && form == Form::dual) continue;
      for (std::int64_t batch : {samples, 2 * samples + 12}) {
        if (batch > samples && !takes_parts(plan)) continue;
        plan.options.form = form;
        plan.options.damping.absolute = 0.1;
        plan.batch = batch;
        all.push_back(plan);
      }
    }
  }
  return all;
}

template <class T>
void check_plan(const Plan& plan) {
  SCOPED_TRACE(testing::Message() << to_string(plan.options.structure) << ", " << plan.name << ", "
                                  << to_string(plan.options.form) << ", " << plan.batch << " rows");
  Work<T> run(plan);
  NaturalGradient optimizer(run.rows.parameters, plan.options);
  const MemoryPlan of_shape = optimizer.plan(run.shape());
  EXPECT_EQ(run.counter.calls, 0);
  const MemoryPlan planned = optimizer.plan(run.batch(samples, plan.batch));
  EXPECT_EQ(planned.form, plan.options.form);
  EXPECT_EQ(planned.structure, plan.options.structure);
  if (!run.freezes()) {
    EXPECT_EQ(of_shape.bytes, planned.bytes) << of_shape.text() << planned.text();
    EXPECT_EQ(of_shape.scratch_bytes, planned.scratch_bytes);
  }
  std::int64_t sum = 0;
  for (const MemoryPlan::Item& item : planned.items) {
    EXPECT_GT(item.bytes, 0) << item.name;
    sum += item.bytes;
  }
  EXPECT_EQ(sum, planned.bytes);

  run.step(optimizer, plan.batch, samples);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(run.counter.peak, planned.bytes) << planned.text();
  const std::int64_t calls = run.counter.calls;
  run.step(optimizer, plan.batch, samples);
  run.step(optimizer, plan.batch / 2, samples / 2);
  EXPECT_EQ(run.counter.calls, calls);
  EXPECT_EQ(run.counter.peak, planned.bytes);
}

template <class T>
void check_reserved(const Plan& plan) {
  SCOPED_TRACE(testing::Message() << to_string(plan.options.structure) << ", " << plan.name << ", "
                                  << to_string(plan.options.form) << ", " << plan.batch << " rows");
  Work<T> run(plan);
  NaturalGradient optimizer(run.rows.parameters, plan.options);
  optimizer.reserve(optimizer.plan(run.shape()));
  const std::int64_t reserved = run.counter.calls;
  run.batch(samples, plan.batch);
  const std::int64_t own = run.counter.calls - reserved;
  EXPECT_EQ(own, plan.source == Source::other_rows ? 4 : 2);
  EXPECT_EQ(run.counter.live, optimizer.plan(run.shape()).bytes);
  run.step(optimizer, plan.batch, samples);
  EXPECT_EQ(run.counter.calls, reserved + own);
}

template <class Body>
void for_all(const Body& body) {
  for (const Plan& plan : plans()) {
    if (plan.type == ElementType::float32)
      body(plan, float{});
    else
      body(plan, double{});
  }
}

TEST(memory, a_plan_is_the_peak_to_the_byte) {
  EXPECT_GE(plans().size(), 10U);
  for_all([]<class T>(const Plan& plan, T) { check_plan<T>(plan); });
}

TEST(memory, what_is_reserved_is_all_that_a_step_takes) {
  for_all([]<class T>(const Plan& plan, T) {
    if (!Work<T>(plan).freezes()) check_reserved<T>(plan);
  });
}

TEST(memory, a_plan_of_frozen_tensors_can_be_reserved_for_its_batch) {
  Plan plan{.name = "frozen", .options = {.rate_factors = {{{0}, 0}}}};
  for (Structure structure : {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
    plan.options.structure = structure;
    plan.options.form = structure == Structure::diagonal ? Form::primal : Form::dual;
    for (std::int64_t whole : {samples, 3 * samples}) {
      SCOPED_TRACE(testing::Message() << to_string(structure) << ", " << whole << " rows");
      Work<float> run(plan);
      NaturalGradient optimizer(run.rows.parameters, plan.options);
      optimizer.reserve(optimizer.plan(run.batch(samples, whole)));
      const std::int64_t calls = run.counter.calls;
      run.step(optimizer, whole, samples);
      EXPECT_EQ(run.counter.calls, calls);
    }
  }
}

TEST(memory, a_plan_follows_parameters_that_are_added_before_the_first_step) {
  Counter counter;
  Tensor<float> theta(Numbers(8, 1.0));
  Tensor<float> rows(Random(1).table(6, 8));
  Parameters parameters(Context::cpu({.allocator = counter.allocator()}));
  parameters.add(theta.view().row_range(0, 3));
  NaturalGradient optimizer(parameters);
  parameters.add(theta.view().row_range(3, 5));
  const MemoryPlan planned = optimizer.plan(ScoresShape{.samples = 6});
  DenseScores scores(parameters);
  scores.begin(rows.view());
  optimizer.step(scores);
  EXPECT_EQ(counter.peak, planned.bytes);
}

}  // namespace

}  // namespace natgrad::tests
