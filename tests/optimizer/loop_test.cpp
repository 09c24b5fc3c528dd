#include "support/loop.hpp"

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/parted_training.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"
#include "support/uses.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

// The update loop: batches that come in parts. Everything in double, against the whole batch or an
// optimizer that was not disturbed.

namespace natgrad::tests {

namespace {

using Source = ScoresShape::Source;

void check_parts(const char* what, const Parted& setup) {
  SCOPED_TRACE(testing::Message() << what << ", " << to_string(setup.options.form) << ", momentum "
                                  << setup.options.momentum.index());
  PartedTraining whole(setup);
  PartedTraining parted(setup);
  for (const std::vector<std::int64_t>& parts :
       std::initializer_list<std::vector<std::int64_t>>{{16, 16, 9}, {1, 20, 3, 17}, {41}}) {
    whole.draw();
    parted.draw();
    whole.optimizer.step(whole.part(0, 41));
    parted.accumulate(parts);
    parted.optimizer.step();
    EXPECT_EQ(whole.optimizer.report().outcome, Outcome::accepted);
    expect_same_report(parted.optimizer.report(), whole.optimizer.report());
    EXPECT_TRUE(
        relative_error_within(parted.batch.theta_numbers(), whole.batch.theta_numbers(), same));
  }
}

TEST(loop, parts_are_the_whole_batch) {
  for (Form form : forms) {
    for (const Momentum& momentum : momenta) {
      const Options options{.damping = damping, .momentum = momentum, .form = form};
      const auto with = [&](const std::function<void(Options&)>& change) {
        Options changed = options;
        change(changed);
        return changed;
      };
      check_parts("rows", {options});
      check_parts("numbers", {options, Source::numbers});
      check_parts("other rows", {options, Source::other_rows});
      check_parts("centred", {options, Source::rows, Centering::rows});
      check_parts("centred, numbers", {options, Source::numbers, Centering::rows});
      check_parts("penalty", {with([](Options& o) { o.l2 = 0.1; })});
      check_parts("penalty, other rows",
                  {with([](Options& o) { o.l2 = 0.1; }), Source::other_rows});
      check_parts("refined", {with([](Options& o) { o.refinement = 2; }), Source::numbers});
      check_parts("KlTrustRegion",
                  {with([](Options& o) { o.step = KlTrustRegion{.radius = 1e-3}; })});
      check_parts("frozen and scaled", {with([](Options& o) {
                                          o.rate_factors = {{{0}, 0}, {{2}, 2}};
                                          o.max_norm = 0.05;
                                        }),
                                        Source::other_rows});
      if (std::holds_alternative<Spring>(momentum)) continue;
      check_parts("centred for the Fisher alone", {options, Source::rows, Centering::fisher_only});
    }
  }
}

TEST(loop, parts_of_any_shape_are_the_whole_batch) {
  const std::vector<Use> uses = {
      {.inputs = 3, .outputs = 4, .terms = 3, .half = 1, .bias_terms = Bias::first_term},
      {.inputs = 3, .outputs = 4, .rows_per_input = 2, .half = 2, .same_as = 0},
      {.inputs = 2, .outputs = 3, .terms = 2, .rows_per_input = 4},
      {.inputs = 0, .outputs = 2}};
  constexpr std::array<std::int64_t, 4> parts{16, 8, 24, 4};
  constexpr std::int64_t samples = 52;
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const Options options{.damping = damping, .form = form};
    UsedRows<double> whole(uses, samples);
    UsedRows<double> parted(uses, samples);
    NaturalGradient of_whole(whole.parameters, options);
    NaturalGradient of_parts(parted.parameters, options);
    LayerScores scores(whole.parameters);
    LayerScores part(parted.parameters);
    for (int step = 0; step < 2; ++step) {
      scores.begin({.samples = samples});
      std::int64_t first = 0;
      for (std::int64_t count : parts) {
        whole.add(scores, first, first, count);
        parted.fill(part, {.samples = count, .batch_samples = samples}, first);
        of_parts.accumulate(part);
        first += count;
      }
      of_whole.step(scores);
      of_parts.step();
      expect_same_report(of_parts.report(), of_whole.report());
      EXPECT_TRUE(relative_error_within(parted.theta_numbers(), whole.theta_numbers(), same));
    }
  }
}

struct Bucket {
  std::int64_t rows;
  std::int64_t terms;
};

/// A layer of 48 parameters, and batches of 30 rows in buckets of one number of terms each; with
/// `second` another such layer, of eight terms always.
struct BucketedTraining {
  static constexpr std::int64_t samples = 30;
  std::array<Tensor<double>, 4> theta{
      Tensor<double>(Random(40).table(8, 5)), Tensor<double>(Random(41).table(8, 1)),
      Tensor<double>(Random(42).table(8, 5)), Tensor<double>(Random(43).table(8, 1))};
  Parameters parameters{test_context()};
  std::vector<LayerScores::Layer> layers;
  LayerScores scores{parameters};
  LayerScores data{parameters};  // whose sum is the gradient
  Source source;
  std::optional<NaturalGradient> optimizer;
  std::vector<std::unique_ptr<Tensor<double>>> factors;  // of the calls so far

  BucketedTraining(const Options& options, bool second, Source source) : source(source) {
    for (std::size_t i = 0; i < (second ? 4 : 2); i += 2) {
      const Segment weight = parameters.add(theta[i].view());
      layers.push_back({.weight = weight, .bias = parameters.add(theta[i + 1].view())});
    }
    optimizer.emplace(parameters, options);
  }

  void add(LayerScores& to, const Bucket& bucket, std::int64_t first, Random& random) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      LayerScores::Layer use = layers[i];
      use.terms = i == 0 ? bucket.terms : 8;
      const auto terms = static_cast<std::size_t>(bucket.rows * use.terms);
      factors.push_back(std::make_unique<Tensor<double>>(random.table(terms, 5)));
      use.input = factors.back()->view();
      factors.push_back(std::make_unique<Tensor<double>>(random.table(terms, 8)));
      use.output_score = factors.back()->view();
      use.rows = {first, bucket.rows};
      to.add(use);
    }
  }
  Batch batch() const {
    if (source == Source::rows) return {.fisher = scores};
    return {.fisher = scores, .gradient = data};
  }
  void step_at_once(const std::vector<Bucket>& buckets, std::uint64_t seed) {
    Random random(seed);
    scores.begin({.samples = samples});
    data.begin({.samples = samples});
    std::int64_t first = 0;
    for (const Bucket& bucket : buckets) {
      add(scores, bucket, first, random);
      add(data, bucket, first, random);
      first += bucket.rows;
    }
    optimizer->step(batch());
  }
  void accumulate(const std::vector<Bucket>& buckets, std::uint64_t seed) {
    Random random(seed);
    for (const Bucket& bucket : buckets) {
      scores.begin({.samples = bucket.rows, .batch_samples = samples});
      data.begin({.samples = bucket.rows, .batch_samples = samples});
      add(scores, bucket, 0, random);
      add(data, bucket, 0, random);
      optimizer->accumulate(batch());
    }
  }
  Numbers moved() const {
    Numbers all;
    for (const Tensor<double>& tensor : theta) {
      const Numbers part = tensor.numbers();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
};

/// Rows of one term take sample space and rows of eight parameter space, by the first part of a
/// batch: the same part needs other memory as a first one than behind others.
TEST(loop, parts_may_change_their_shape_from_batch_to_batch) {
  struct Call {
    std::vector<Bucket> buckets;
    enum { whole, parts, discarded } how;
  };
  const std::vector<Call> calls = {{{{10, 1}, {10, 8}}, Call::discarded},
                                   {{{10, 8}, {10, 8}, {10, 1}}, Call::parts},
                                   {{{30, 1}}, Call::whole},
                                   {{{10, 1}, {10, 1}, {10, 1}}, Call::parts},
                                   {{{20, 8}, {10, 1}}, Call::whole},
                                   {{{10, 8}, {10, 1}}, Call::discarded},
                                   {{{10, 1}, {2, 8}, {18, 1}}, Call::parts},
                                   {{{2, 1}, {28, 8}}, Call::parts},
                                   {{{30, 8}}, Call::parts},
                                   {{{30, 8}}, Call::whole},
                                   {{{30, 1}}, Call::parts},
                                   {{{1, 1}, {28, 8}}, Call::discarded},
                                   {{{28, 8}, {2, 1}}, Call::parts}};
  for (const Source source : {Source::rows, Source::other_rows}) {
    for (const Structure structure :
         {Structure::full, Structure::block_diagonal, Structure::diagonal}) {
      SCOPED_TRACE(testing::Message() << to_string(structure) << ", gradient "
                                      << (source == Source::rows ? "of the rows" : "of others"));
      const Options options{.damping = damping, .momentum = NoMomentum{}, .structure = structure};
      const bool second = structure != Structure::full;
      BucketedTraining whole(options, second, source);
      BucketedTraining parted(options, second, source);
      std::uint64_t seed = 50;
      std::set<Form> taken;
      for (const Call& call : calls) {
        SCOPED_TRACE(++seed);
        if (call.how == Call::discarded) {
          parted.accumulate(call.buckets, seed);
          parted.optimizer->discard();
          continue;
        }
        whole.step_at_once(call.buckets, seed);
        if (call.how == Call::whole) {
          parted.step_at_once(call.buckets, seed);
        } else {
          parted.accumulate(call.buckets, seed);
          parted.optimizer->step();
        }
        EXPECT_EQ(parted.optimizer->report().outcome, Outcome::accepted);
        taken.insert(parted.optimizer->report().form);
        EXPECT_TRUE(relative_error_within(parted.moved(), whole.moved(), same));
      }
      EXPECT_TRUE(structure == Structure::diagonal || taken.size() > 1) << "one form alone";
    }
  }
}

/// 4096 rows of a small net, at once and in eight parts.
void check_eight_parts(Form form, const Momentum& momentum) {
  SCOPED_TRACE(to_string(form));
  constexpr std::int64_t samples = 4096;
  constexpr std::int64_t part = 512;
  struct Training {
    Training(Form form, const Momentum& momentum)
        : net(test_context(), {.sizes = {6, 8, 3}, .type = ElementType::float64}),
          scores(net.parameters()),
          optimizer(net.parameters(), {.momentum = momentum, .form = form}) {}
    void load(Tensor<double>& inputs, SharedVector<std::int32_t>& labels, std::int64_t first,
              std::int64_t count) {
      net.forward(inputs.view().row_range(first, count));
      net.backward(shared_view(labels, {samples, 1}).row_range(first, count));
      net.add_to(scores, {.samples = count, .batch_samples = samples});
    }
    Numbers theta() const {
      Tensor<double> all = zeros<double>(net.parameters().size());
      net.parameters().gather(all.view());
      return all.numbers();
    }
    FullyConnected net;
    LayerScores scores;
    NaturalGradient optimizer;
  };
  Training whole(form, momentum);
  Training parted(form, momentum);
  Tensor<double> inputs(Random(20).table(samples, 6));
  SharedVector<std::int32_t> labels;
  for (std::size_t n = 0; n < samples; ++n) {
    labels.push_back(inputs(n, 0) > inputs(n, 1) ? 0 : inputs(n, 2) > 0 ? 1 : 2);
  }
  for (int step = 0; step < 2; ++step) {
    whole.load(inputs, labels, 0, samples);
    whole.optimizer.step(whole.scores);
    for (std::int64_t first = 0; first < samples; first += part) {
      parted.load(inputs, labels, first, part);
      parted.optimizer.accumulate(parted.scores);
    }
    parted.optimizer.step();
    EXPECT_EQ(parted.optimizer.report().outcome, Outcome::accepted);
    EXPECT_TRUE(relative_error_within(parted.theta(), whole.theta(), same));
  }
}

TEST(loop, eight_parts_of_512_are_4096_rows_with_spring_in_the_primal_form) {
  check_eight_parts(Form::primal, Spring{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_heavy_ball_in_the_primal_form) {
  check_eight_parts(Form::primal, HeavyBall{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_spring_in_the_dual_form) {
  check_eight_parts(Form::dual, Spring{0.9});
}
TEST(loop, eight_parts_of_512_are_4096_rows_with_heavy_ball_in_the_dual_form) {
  check_eight_parts(Form::dual, HeavyBall{0.9});
}

TEST(loop, what_is_discarded_has_never_been) {
  for (Form form : forms) {
    for (Source source : {Source::rows, Source::numbers}) {
      const Parted setup{{.damping = damping, .form = form}, source};
      PartedTraining run(setup);
      PartedTraining undisturbed(setup);
      run.draw();
      undisturbed.draw();
      run.accumulate({30, 5});
      run.optimizer.discard();
      run.optimizer.discard();
      EXPECT_THROW(run.optimizer.step(), ArgumentError);
      for (PartedTraining* training : {&run, &undisturbed}) {
        training->accumulate({20, 21});
        training->optimizer.step();
      }
      expect_same_bits(run.batch, undisturbed.batch);
      EXPECT_EQ(run.optimizer.report().step, 1);
    }
  }
}

TEST(loop, a_failed_step_of_parts_is_over_and_leaves_no_trace) {
  for (Form form : forms) {
    const Parted setup{{.damping = damping, .form = form}, Source::rows};
    PartedTraining run(setup);
    PartedTraining undisturbed(setup);
    run.draw();
    undisturbed.draw();
    run.coefficients(30) = nan;
    run.accumulate({20, 21});
    run.optimizer.step();
    EXPECT_EQ(run.optimizer.report().outcome, Outcome::not_finite);
    expect_same_bits(run.batch, undisturbed.batch);
    EXPECT_THROW(run.optimizer.step(), ArgumentError);
    run.coefficients(30) = undisturbed.coefficients(30);
    for (PartedTraining* training : {&run, &undisturbed}) {
      training->accumulate({20, 21});
      training->optimizer.step();
    }
    expect_same_bits(run.batch, undisturbed.batch);
  }
}

TEST(loop, what_does_not_belong_to_the_batch_is_refused_and_nothing_is_added) {
  for (Form form : forms) {
    SCOPED_TRACE(to_string(form));
    const Parted setup{{.damping = damping, .form = form}};
    PartedTraining run(setup);
    PartedTraining undisturbed(setup);
    run.draw();
    undisturbed.draw();
    NaturalGradient& optimizer = run.optimizer;
    expect_refused("nothing was accumulated", [&] { optimizer.step(); });
    run.accumulate({30});
    expect_refused("30 of 41 samples are accumulated", [&] { optimizer.step(); });
    expect_refused("30 rows are accumulated; step() takes them, discard() drops them",
                   [&] { optimizer.step(run.part(0, 41)); });
    expect_refused("30 rows and 12 more are beyond the batch's 41",
                   [&] { optimizer.accumulate(run.part(0, 12)); });
    expect_refused(".batch_samples differs", [&] {
      optimizer.accumulate(
          run.batch.scores({.samples = 3,
                            .batch_samples = 40,
                            .coefficients = run.coefficients.view().row_range(0, 3)},
                           {FisherKind::exact}));
    });
    expect_refused("the kind of the rows differs", [&] {
      optimizer.accumulate(run.batch.scores({.samples = 3, .batch_samples = 41}));
    });
    expect_refused(".centering differs", [&] {
      optimizer.accumulate(
          run.batch.scores({.samples = 3,
                            .batch_samples = 41,
                            .coefficients = run.coefficients.view().row_range(0, 3),
                            .centering = Centering::rows},
                           {FisherKind::exact}));
    });
    expect_refused("the source of the gradient differs", [&] {
      optimizer.accumulate(
          {.fisher = run.part(0, 3).fisher, .gradient = Gradient{run.numbers.view()}});
    });
    const std::string path = testing::TempDir() + "natgrad_loop_test.ckpt";
    expect_refused("save: 30 rows are accumulated", [&] { save(path, optimizer); });
    const MemoryPlan plan =
        optimizer.plan(ScoresShape{.samples = 100, .batch_samples = 200, .layers = {{4, 3}}});
    expect_refused("reserve: 30 rows are accumulated", [&] { optimizer.reserve(plan); });
    // One that needs no other memory than scratch may be reserved.
    optimizer.reserve(optimizer.plan(ScoresShape{.samples = 100}));

    optimizer.accumulate(run.part(30, 11));
    optimizer.step();
    undisturbed.accumulate({30, 11});
    undisturbed.optimizer.step();
    expect_same_bits(run.batch, undisturbed.batch);
  }
}

/// Other rows count for themselves: those of .fisher may be whole while they are not.
TEST(loop, the_rows_of_a_gradient_must_be_whole_too) {
  for (Form form : forms) {
    const LayeredBatch<double> batch({.layers = {{.inputs = 3, .outputs = 2}}, .samples = 6});
    const auto before = batch.theta_memory();
    NaturalGradient optimizer(batch.parameters, {.damping = damping, .form = form});
    const LayerScores fisher = batch.scores({.samples = 3, .batch_samples = 6});
    optimizer.accumulate(
        {.fisher = fisher, .gradient = batch.scores({.samples = 1, .batch_samples = 6})});
    expect_refused("the gradient's .batch_samples differs", [&] {
      optimizer.accumulate(
          {.fisher = fisher, .gradient = batch.scores({.samples = 1, .batch_samples = 2})});
    });
    optimizer.accumulate(
        {.fisher = fisher, .gradient = batch.scores({.samples = 1, .batch_samples = 6})});
    expect_refused("the rows of .gradient that are accumulated are 2 of 6",
                   [&] { optimizer.step(); });
    optimizer.set_damping({.absolute = 0});
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_TRUE(same_bits(before[i], batch.theta_memory()[i]));
    }
  }
}

}  // namespace

}  // namespace natgrad::tests
