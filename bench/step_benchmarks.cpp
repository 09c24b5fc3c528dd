// One exact step against one plain gradient step, on the same net, arrays and BLAS, in turn.

#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "factorization.hpp"
#include "natgrad/natgrad.hpp"

#include <algorithm>
#include <memory>
#include <string>

namespace natgrad::bench {

namespace {

struct StepCase {
  const char* name;
  std::vector<std::int64_t> sizes;
  Activation activation;
  Momentum momentum;
  std::int64_t draws = 0;  // labels of the Fisher for each sample; 0: those of the data
};

/// Operations that a plain step needs: forward, weight gradients, and the backward pass down to the
/// second layer, for nobody computes the gradient of the input.
double gradient_step_operations(const std::vector<std::int64_t>& sizes, std::int64_t rows) {
  double weights = 0;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    weights += static_cast<double>(sizes[i] * sizes[i + 1]);
  }
  const auto n = static_cast<double>(rows);
  return 6 * n * weights - 2 * n * static_cast<double>(sizes[0] * sizes[1]);
}

/// A net, a batch and the two ways to take a step on them.
class Steps {
 public:
  Steps(const StepCase& which, std::int64_t rows)
      : context_(bench_context()),
        net_(context_, {.sizes = which.sizes,
                        .activation = which.activation,
                        .seed = 1,
                        .allow_tf32 = allows_tf32()}),
        rows_(rows),
        inputs_(upload(normal_numbers(rows * which.sizes.front(), 2), {rows, which.sizes.front()})),
        labels_(context_.array({rows, 1}, ElementType::int32)),
        gradient_(context_.array({net_.parameters().size(), 1}, ElementType::float32)),
        scores_(net_.parameters()),
        draws_(which.draws),
        sampled_(net_.parameters(), {.kind = FisherKind::sampled}),
        natural_(net_.parameters(),
                 // A small rate: the net stays what it is while its steps are timed.
                 {.damping = {.absolute = 0.03},
                  .step = FixedRate{1e-3},
                  .momentum = which.momentum,
                  .form = Form::dual,
                  .allow_tf32 = allows_tf32()}),
        plain_(net_.parameters(), {.rule = Sgd{.momentum = 0}, .rate = 1e-4}) {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
    const std::int64_t classes = which.sizes.back();
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % classes);
    }
    context_.write(labels.data(), labels_);
  }

  void exact() {
    net_.forward(inputs_);
    net_.backward(labels_);
    net_.add_to(scores_, {.samples = rows_});
    if (draws_ == 0) {
      natural_.step(scores_);
    } else {
      net_.sample(draws_);
      net_.add_sampled_to(sampled_, {.samples = draws_ * rows_});
      natural_.step({.fisher = sampled_, .gradient = scores_});
    }
  }

  void plain() {
    net_.forward(inputs_);
    net_.backward(labels_);
    net_.gradient(gradient_);
    plain_.step(gradient_);
  }

  /// Of the last exact step. Waits.
  Outcome outcome() { return natural_.report().outcome; }

 private:
  Context context_;
  FullyConnected net_;
  std::int64_t rows_;
  Array inputs_;
  Array labels_;
  Array gradient_;
  LayerScores scores_;
  std::int64_t draws_;
  LayerScores sampled_;
  NaturalGradient natural_;
  FirstOrder plain_;
};

void step(benchmark::State& state, const StepCase& which, std::int64_t rows) {
  Steps steps(which, rows);
  const Factorization factorization(Triangle::upper, rows * std::max<std::int64_t>(1, which.draws),
                                    ElementType::float32);
  steps.exact();
  steps.plain();
  factorization.time_with_solve();
  const double peak = gemm_peak(ElementType::float32, bench_mode());
  double exact = 0;
  double plain = 0;
  double factorized = 0;
  for (auto _ : state) {
    const double time = seconds([&] { steps.exact(); });
    state.SetIterationTime(time);
    exact += time;
    plain += seconds([&] { steps.plain(); });
    factorized += factorization.time_with_solve();
  }
  if (steps.outcome() != Outcome::accepted) state.SkipWithError("a step was not accepted");
  const double operations =
      gradient_step_operations(which.sizes, rows) * static_cast<double>(state.iterations());
  state.counters["ratio_to_gradient_step"] = exact / plain;
  state.counters["ratio_without_factorization"] = (exact - factorized) / plain;
  state.counters["gradient_step_share_of_peak"] = operations / plain / peak;
  state.counters["gradient_step_ms"] = 1e3 * plain / static_cast<double>(state.iterations());
}

}  // namespace

void register_steps() {
  const std::vector<std::int64_t> classifier = {784, 1024, 1024, 10};
  const std::vector<std::int64_t> deep(9, 1024);
  const std::vector<StepCase> cases = {
      {"mlp:784-1024-1024-10", classifier, Activation::relu, NoMomentum{}},
      {"mlp-tanh:784-1024-1024-10", classifier, Activation::tanh, NoMomentum{}},
      {"mlp-spring:784-1024-1024-10", classifier, Activation::relu, Spring{0.9}},
      {"mlp-sampled:784-1024-1024-10", classifier, Activation::relu, NoMomentum{}, 1},
      {"mlp:8x1024", deep, Activation::relu, NoMomentum{}},
      {"mlp-tanh:8x1024", deep, Activation::tanh, NoMomentum{}},
      {"mlp-spring:8x1024", deep, Activation::relu, Spring{0.9}},
  };
  const auto add = [](const StepCase& which, const std::vector<std::int64_t>& batches) {
    for (const std::int64_t rows : batches) {
      const std::string name = std::string("step/") + which.name + "/batch:" + std::to_string(rows);
      configure(benchmark::RegisterBenchmark(
          name.c_str(), [which, rows](benchmark::State& state) { step(state, which, rows); }));
    }
  };
  for (const StepCase& which : cases) add(which, {256, 1024, 4096});
  // Minutes a step on a CPU.
  if (!on_cuda()) return;
  add({"mlp:8x4096", std::vector<std::int64_t>(9, 4096), Activation::relu, NoMomentum{}},
      {1024, 4096});
}

}  // namespace natgrad::bench
