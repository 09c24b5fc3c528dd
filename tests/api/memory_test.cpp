#include "natgrad/natgrad.hpp"
#include "support/counter.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <sys/resource.h>
#include <variant>
#include <vector>

// A plan is what the context's allocator gives out, to the byte. The parameters and the factors of
// the rows are the tests' own memory and do not count.

namespace natgrad::tests {

namespace {

using Options = NaturalGradient::Options;
using Source = ScoresShape::Source;

constexpr std::int64_t samples = 24;  // of a set

const std::vector<Use> net = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}};
const std::vector<Use> convolution = {
    {.inputs = 3, .outputs = 5, .terms = 7},
    {.inputs = 5, .outputs = 2, .terms = 3, .bias_terms = Bias::first_term},
    {.inputs = 0, .outputs = 4}};
const std::vector<Use> drawn = {{.inputs = 6, .outputs = 3, .rows_per_input = 3},
                                {.inputs = 3, .outputs = 2, .rows_per_input = 3}};
const std::vector<Use> interior_and_boundary = {
    {.inputs = 4, .outputs = 3, .terms = 5, .half = 1, .bias_terms = Bias::first_term},
    {.inputs = 4, .outputs = 3, .half = 2, .same_as = 0},
    {.inputs = 3, .outputs = 2, .terms = 2}};
const std::vector<Use> tied = {{.inputs = 4, .outputs = 4},
                               {.inputs = 4, .outputs = 4, .same_as = 0}};
// More columns than a tile of formed rows has, and layers of which apply's buffers are the largest.
const std::vector<Use> wide = {{.inputs = 700, .outputs = 3}, {.inputs = 3, .outputs = 600}};

struct Plan {
  const char* name;
  Options options = {};
  ElementType type = ElementType::float32;
  std::vector<Use> uses = net;
  Source source = Source::rows;
  Centering centering = Centering::none;
  bool dense = false;
  std::int64_t batch = samples;  // larger: it comes in parts
};

/// Rules that need the whole batch in one call.
bool takes_parts(const Plan& plan) {
  const bool compares = std::holds_alternative<Backtracking>(plan.options.step) ||
                        std::holds_alternative<QuadraticModel>(plan.options.step) ||
                        std::holds_alternative<LevenbergMarquardt>(plan.options.damping.rule);
  const auto* region = std::get_if<KlTrustRegion>(&plan.options.step);
  return !compares && (region == nullptr || region->trials == 0);
}

/// What one step of a plan is taken from, and the context whose memory is counted.
template <class T>
struct Work {
  explicit Work(const Plan& given)
      : plan(given),
        rows(plan.uses, samples, 1, Context::cpu({.allocator = counter.allocator()})),
        others(of_inputs(plan.uses), samples, 2),
        formed(Random(3).table(samples, static_cast<std::size_t>(rows.parameters.size()))),
        numbers(Random(4).numbers(static_cast<std::size_t>(rows.parameters.size()))),
        coefficients(Random(5).numbers(samples)),
        layers(rows.parameters, {.kind = kind()}),
        other_layers(rows.parameters),
        dense(rows.parameters, {.kind = kind()}) {}

  /// Centring for the Fisher alone goes with maximum likelihood, of empirical rows.
  FisherKind kind() const {
    return plan.centering == Centering::fisher_only ? FisherKind::empirical : FisherKind::exact;
  }

  /// The gradient's rows: one for each input.
  static std::vector<Use> of_inputs(std::vector<Use> uses) {
    for (Use& use : uses) use.rows_per_input = 1;
    return uses;
  }
  std::int64_t per_input() const { return plan.uses.front().rows_per_input; }
  const Scores& fisher() const {
    if (plan.dense) return dense;
    return layers;
  }
  Batch batch(std::int64_t count, std::int64_t whole) {
    RowSet set{.samples = count, .batch_samples = whole, .centering = plan.centering};
    if (plan.centering != Centering::fisher_only && plan.source == Source::rows) {
      set.coefficients = coefficients.view().row_range(0, count);
    }
    if (plan.dense)
      dense.begin(formed.view().row_range(0, count), set);
    else
      rows.fill(layers, set);
    // Losses that fall, and a divergence of nothing.
    const BatchFunction loss = [this](const View& result) {
      *result.as<double>() = falling -= 1e6;
    };
    const BatchFunction kl = [](const View& result) { *result.as<double>() = 0; };
    if (plan.source == Source::rows) return {.fisher = fisher(), .loss = loss, .kl = kl};
    if (plan.source == Source::numbers) {
      return {.fisher = fisher(), .gradient = Gradient{numbers.view()}, .loss = loss, .kl = kl};
    }
    others.fill(other_layers,
                {.samples = count / per_input(), .batch_samples = whole / per_input()});
    return {.fisher = fisher(), .gradient = other_layers, .loss = loss, .kl = kl};
  }
  /// A step of `whole` rows in sets of at most `most`.
  void step(NaturalGradient& optimizer, std::int64_t whole, std::int64_t most) {
    if (whole <= most) return optimizer.step(batch(whole, whole));
    for (std::int64_t first = 0; first < whole; first += most) {
      optimizer.accumulate(batch(std::min(most, whole - first), whole));
    }
    optimizer.step();
  }
  ScoresShape shape() const {
    return {.samples = samples,
            .batch_samples = plan.batch,
            .layers = plan.dense ? std::vector<ScoresShape::Layer>{} : rows.shape(samples),
            .gradient = plan.source,
            .centering = plan.centering};
  }
  bool freezes() const {
    bool any = false;
    for (const SegmentFactor& f : plan.options.rate_factors) any = any || f.factor == 0;
    return any;
  }

  Plan plan;
  Counter counter;
  UsedRows<T> rows;
  UsedRows<T> others;  // for their factors alone
  Tensor<T> formed;
  Tensor<T> numbers;
  Tensor<T> coefficients;
  LayerScores layers;
  LayerScores other_layers;
  DenseScores dense;
  double falling = 0;
};

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
