#include "api/counted_new.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"
#include "support/counter.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

// Every allocation made to fail in turn, of the context's and of the process's.

namespace natgrad::tests {

namespace {

struct Attempt {
  const char* name;
  NaturalGradient::Options options = {};
  bool numbers = false;  // a gradient of its own
  Centering centering = Centering::none;
  bool dense = false;
};

/// An optimizer and rows of its parameters, in a context that counts.
struct Attempted {
  static constexpr std::int64_t samples = 12;
  Attempt attempt;
  LayeredBatch<double> batch;
  Tensor<double> formed{Random(1).table(samples, 23)};
  Tensor<double> coefficients{Random(2).numbers(samples)};
  Tensor<double> numbers{Random(3).numbers(23)};
  Tensor<double> out{Numbers(23, 7.0)};
  LayerScores layers{batch.parameters};
  DenseScores dense{batch.parameters};
  NaturalGradient optimizer;

  Attempted(const Attempt& given, Counter& counter)
      : attempt(given),
        batch({.layers = {{.inputs = 4, .outputs = 3}, {.inputs = 3, .outputs = 2}},
               .samples = samples},
              Context::cpu({.allocator = counter.allocator()})),
        optimizer(batch.parameters, given.options) {}

  void begin(std::int64_t first, std::int64_t count, std::int64_t whole) {
    RowSet set{.samples = count, .batch_samples = whole, .centering = attempt.centering};
    if (attempt.centering != Centering::fisher_only) {
      set.coefficients = coefficients.view().row_range(first, count);
    }
    if (attempt.dense)
      dense.begin(formed.view().row_range(first, count), set);
    else
      batch.fill(layers, set, first);
  }
  Batch rows() {
    const Scores& scores = attempt.dense ? static_cast<const Scores&>(dense) : layers;
    if (!attempt.numbers) return {.fisher = scores};
    return {.fisher = scores, .gradient = Gradient{numbers.view()}};
  }
  void step(std::int64_t count) {
    begin(0, count, count);
    optimizer.step(rows());
  }
};

/// Calls one after another; what fails is repeated. Only the last may move the parameters.
using Calls = std::vector<void (*)(Attempted&)>;

struct Sequence {
  const char* name;
  bool stepped = false;  // after a step of fewer rows, so that there is momentum
  Calls calls;
};

void begin_first(Attempted& run) { run.begin(0, 7, 12); }
void begin_second(Attempted& run) { run.begin(7, 5, 12); }
void begin_whole(Attempted& run) { run.begin(0, 12, 12); }
void accumulate(Attempted& run) { run.optimizer.accumulate(run.rows()); }
void step(Attempted& run) { run.optimizer.step(run.rows()); }
void step_of_parts(Attempted& run) { run.optimizer.step(); }
void direction(Attempted& run) { run.optimizer.direction(run.rows(), run.out.view()); }
void reserve(Attempted& run) { run.optimizer.reserve(run.optimizer.plan(run.rows())); }

std::vector<Sequence> sequences() {
  const Calls parts = {begin_first, accumulate, begin_second, accumulate, step_of_parts};
  return {{"first step", false, {begin_whole, step}},
          {"larger step", true, {begin_whole, step}},
          {"first step of parts", false, parts},
          {"larger step of parts", true, parts},
          {"direction", false, {begin_whole, direction}},
          {"direction after a step", true, {begin_whole, direction}},
          {"reserve", true, {begin_whole, reserve, step}},
          {"reserve parts", false, {begin_first, reserve, accumulate, begin_second, accumulate}}};
}

/// Where an allocation is refused: the n-th of the calls, from 1.
enum class Refused { of_the_context, of_the_process };

void refuse(Refused whose, Counter& counter, std::int64_t n) {
  counter.refused_call = n > 0 && whose == Refused::of_the_context ? counter.calls + n : 0;
  refused_new = n > 0 && whose == Refused::of_the_process ? news + n : 0;
}

/// Makes the calls with the n-th allocation refused and expects that nothing shows of it in the
/// end. Returns whether there were so many.
bool check_refusal(const Attempt& attempt, const Sequence& sequence, Refused whose,
                   std::int64_t n) {
  SCOPED_TRACE(testing::Message() << "allocation " << n);
  Counter counter;
  Counter undisturbed_counter;
  bool failed = false;
  const std::int64_t held_before = held;
  {
    Attempted undisturbed(attempt, undisturbed_counter);
    Attempted run(attempt, counter);
    for (Attempted* one : {&run, &undisturbed}) {
      if (sequence.stepped) one->step(4);
    }
    const auto theta = run.batch.theta_memory();
    for (const auto call : sequence.calls) call(undisturbed);
    refuse(whose, counter, n);
    for (const auto call : sequence.calls) {
      try {
        call(run);
        continue;
      } catch (const MemoryError&) {
      } catch (const std::bad_alloc&) {
      }
      failed = true;
      EXPECT_EQ(run.batch.theta_memory(), theta);
      EXPECT_EQ(run.out.numbers(), Numbers(23, 7.0));
      call(run);
    }
    refuse(whose, counter, 0);
    EXPECT_EQ(counter.live, undisturbed_counter.live);
    EXPECT_TRUE(same_bits(run.out.memory(), undisturbed.out.memory()));
    for (int time = 0; time < 2; ++time) {
      const auto actual = run.batch.theta_memory();
      const auto expected = undisturbed.batch.theta_memory();
      for (std::size_t i = 0; i < actual.size(); ++i) {
        EXPECT_TRUE(same_bits(actual[i], expected[i])) << "tensor " << i;
      }
      for (Attempted* one : {&run, &undisturbed}) {
        one->optimizer.discard();
        one->step(12);
      }
      EXPECT_EQ(run.optimizer.report().step, undisturbed.optimizer.report().step);
    }
  }
  EXPECT_EQ(counter.live, 0);
  EXPECT_EQ(held, held_before) << "allocations of the process were not freed";
  return failed;
}

void check_refusals(Attempt attempt, Refused whose) {
  for (Form form : {Form::primal, Form::dual}) {
    if (attempt.options.structure == Structure::diagonal && form == Form::dual) continue;
    attempt.options.form = form;
    for (const Sequence& sequence : sequences()) {
      SCOPED_TRACE(testing::Message()
                   << attempt.name << ", " << to_string(form) << ", " << sequence.name);
      std::int64_t refusals = 0;
      while (check_refusal(attempt, sequence, whose, refusals + 1)) {
        ASSERT_LT(++refusals, 1000);
      }
      // Scratch and the rows' own arrays; of the process, later steps need nothing.
      const int least = whose == Refused::of_the_context ? 3 : sequence.stepped ? 0 : 1;
      EXPECT_GE(refusals, least);
    }
  }
}

std::vector<Attempt> attempts() {
  return {
      {.name = "spring"},
      {.name = "heavy ball, decay factors",
       .options = {.momentum = HeavyBall{},
                   .weight_decay = 0.1,
                   .weight_decay_factors = {{{1}, 2}}}},
      {.name = "numbers", .options = {.momentum = NoMomentum{}}, .numbers = true},
      {.name = "refined, numbers", .options = {.refinement = 2}, .numbers = true},
      {.name = "centred", .options = {.refinement = 1}, .centering = Centering::rows},
      {.name = "centred for the Fisher alone",
       .options = {.momentum = HeavyBall{}},
       .centering = Centering::fisher_only},
      {.name = "frozen, scaled", .options = {.rate_factors = {{{0}, 0}, {{1}, 2}}}},
      {.name = "blocks", .options = {.structure = Structure::block_diagonal}},
      {.name = "blocks of groups, numbers",
       .options = {.structure = Structure::block_diagonal, .groups = {{{0}, {3}}, {{1}}, {{2}}}},
       .numbers = true},
      {.name = "diagonal", .options = {.structure = Structure::diagonal}},
      {.name = "KlTrustRegion, dense",
       .options = {.step = KlTrustRegion{.allow_empirical = true}, .l2 = 0.1},
       .dense = true}};
}

TEST(allocations, each_of_a_context_may_fail_and_nothing_has_changed) {
  for (const Attempt& attempt : attempts()) check_refusals(attempt, Refused::of_the_context);
}

/// Calls body() with the n-th allocation of the process refused, for n = 1, 2, ... until none is
/// met; each refusal must be a `MemoryError` that leaves what `state` returns as it was. Returns
/// how many there were.
template <class Body, class State>
int count_refusals(const char* what, const Body& body, const State& state) {
  SCOPED_TRACE(what);
  for (int refusals = 0;; ++refusals) {
    const auto before = state();
    refused_new = news + refusals + 1;
    bool other = false;
    try {
      body();
      if (news < refused_new) {
        refused_new = 0;
        return refusals;
      }
      other = true;  // a refusal that nobody noticed
    } catch (const MemoryError&) {
    } catch (...) {
      other = true;
    }
    refused_new = 0;
    EXPECT_FALSE(other) << "allocation " << refusals + 1 << " is no MemoryError";
    EXPECT_EQ(state(), before) << "allocation " << refusals + 1;
    if (other || refusals == 200) return refusals;
  }
}

/// A net's calls, of which each may find no memory.
void check_refusals_of_a_net() {
  const Context context = Context::cpu();
  const FullyConnected::Options options{.sizes = {3, 4, 2}, .type = ElementType::float64};
  Tensor<double> inputs(Random(8).table(6, 3));
  Tensor<std::int32_t> labels(Numbers{0, 1, 1, 0, 1, 0});
  FullyConnected net(context, options);
  LayerScores scores(net.parameters());
  const auto expect_some = [&](const char* what, const auto& body) {
    const auto state = [&] { return net.draw_counter(); };
    EXPECT_GE(count_refusals(what, body, state), 1) << what << ": nothing was refused";
  };
  std::vector<FullyConnected::Options> copies(100, options);
  expect_some("a net", [&] {
    FullyConnected::Options given = std::move(copies.back());
    copies.pop_back();
    FullyConnected{context, std::move(given)};
  });
  expect_some("bytes of a net", [&] { FullyConnected::bytes(options, 6, 1); });
  expect_some("forward", [&] { net.forward(inputs.view()); });
  expect_some("labels that do not fit", [&] {
    try {
      net.backward(labels.view().row_range(0, 5));
    } catch (const ShapeError&) {
    }
  });
  net.backward(labels.view());
  expect_some("rows of a net", [&] { net.add_to(scores, {.samples = 6}); });
}

void check_host_refusals() {
  Tensor<double> theta(Random(1).numbers(12));
  Tensor<double> input(Random(2).table(6, 3));
  Tensor<double> output_score(Random(3).table(6, 3));
  Tensor<double> other_score(Random(4).table(6, 3));
  Tensor<double> rows(Random(5).table(6, 12));
  Tensor<double> numbers(Random(6).numbers(12));
  Tensor<double> more(Random(7).table(9, 12));
  Tensor<double> gradient(Numbers(12, 0.0));
  Tensor<double> bad = numbers;
  bad(5) = std::numeric_limits<double>::quiet_NaN();
  Parameters parameters(Context::cpu());
  const Context& context = parameters.context();
  const Segment weight =
      parameters.add({theta.view().as<double>(), {3, 3}}, "a name beyond all small strings");
  const Segment bias = parameters.add({theta.view().as<double>() + 9, {3}});
  LayerScores layers(parameters);
  layers.begin({.samples = 6});
  layers.add(
      {.weight = weight, .bias = bias, .input = input.view(), .output_score = output_score.view()});
  DenseScores dense(parameters);
  const auto state = [&] {
    layers.gradient(gradient.view());
    Numbers all = gradient.numbers();
    all.push_back(static_cast<double>(dense.samples()));
    all.push_back(static_cast<double>(layers.rows().blocks().blocks.size()));
    all.push_back(parameters.segments());
    for (double value : theta.numbers()) all.push_back(value);
    return all;
  };
  const auto expect_some = [&](const char* what, const auto& body) {
    EXPECT_GE(count_refusals(what, body, state), 1) << what << ": nothing was refused";
  };

  expect_some("a context", [] { Context::cpu(); });
  expect_some("an array", [&] { context.array({3, 2}, ElementType::float32); });
  expect_some("parameters", [&] { Parameters{context}; });
  expect_some("a tensor", [&] {
    Parameters others(context);
    others.add(numbers.view());
  });
  expect_some("scores", [&] { LayerScores{parameters}; });
  expect_some("dense scores", [&] { DenseScores{parameters}; });
  expect_some("a gradient of fresh scores", [&] {
    LayerScores fresh(parameters);
    fresh.begin({.samples = 6});
    fresh.add({.bias = bias, .output_score = output_score.view()});
    fresh.gradient(gradient.view());
  });
  expect_some("a check", [&] { layers.check(numbers.view()); });
  expect_some("a check of segments", [&] {
    const ConstView parts[] = {{numbers.view().as<double>(), {3, 3}},
                               {numbers.view().as<double>() + 9, {3}}};
    layers.check(parts);
  });
  expect_some("a check of what is not finite", [&] { layers.check(bad.view()); });
  const LogLikelihood log_likelihood = [&](const View& log_p) {
    for (std::int64_t n = 0; n < 6; ++n) log_p.as<double>()[n] = theta(0) * static_cast<double>(n);
  };
  expect_some("a check with log p", [&] { check_scores(layers, log_likelihood); });

  FisherMatrix fisher(parameters);
  expect_some("a damping that is refused", [&] {
    try {
      fisher.set_damping({.absolute = -1});
    } catch (const OptionError&) {
    }
  });
  expect_some("a first-order optimizer", [&] { FirstOrder(parameters, {}); });
  Tensor<double> fewer(Numbers(11, 0.0));
  FirstOrder first_order(parameters, {});
  expect_some("a gradient that does not fit", [&] {
    try {
      first_order.step(fewer.view());
    } catch (const ShapeError&) {
    }
  });
  const std::string path = "/dev/null/is no directory";
  expect_some("a file that cannot be written", [&] {
    try {
      require_writable(path);
    } catch (const FileError&) {
    }
  });
  check_refusals_of_a_net();

  // These change the state where they succeed, and go last.
  expect_some("one more use of a layer", [&] {
    layers.add({.weight = weight, .input = input.view(), .output_score = other_score.view()});
  });
  expect_some("dense rows", [&] { dense.begin(rows.view()); });
  expect_some("a larger set of dense rows", [&] {
    DenseScores fresh(parameters);
    fresh.begin(rows.view());
    fresh.begin(more.view());
  });
  expect_some("one more tensor", [&] { parameters.add(rows.view().row_range(0, 1)); });
}

TEST(allocations, of_the_host_that_fail_are_memory_errors_and_change_nothing) {
  check_host_refusals();
  const std::int64_t held_before = held;
  check_host_refusals();
  EXPECT_EQ(held, held_before) << "allocations of the process were not freed";
}

TEST(allocations, each_of_the_process_may_fail_and_nothing_has_changed) {
  for (const Attempt& attempt : attempts()) check_refusals(attempt, Refused::of_the_process);
}

}  // namespace

}  // namespace natgrad::tests
