// What stands beside the products of a step, each operation alone: elementwise work on as many
// numbers as a net has parameters, the rows of a likelihood, and S^T y of a layer.

#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "kernels/formulas/likelihoods/table.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace natgrad::bench {

namespace {

constexpr ElementType float32 = ElementType::float32;
constexpr ElementType float64 = ElementType::float64;

/// Times `work`, after a first run of it, which may load a kernel.
template <class Work>
double total_seconds(benchmark::State& state, const Work& work) {
  work();
  double total = 0;
  for (auto _ : state) {
    const double time = seconds(work);
    state.SetIterationTime(time);
    total += time;
  }
  return total;
}

struct Vectors {
  Backend& backend;
  View x;
  View y;
  View one;  // float64
  UpdatedTensor tensor() const { return {y, x}; }
};

struct VectorOperation {
  const char* name;
  int passes;  // over vectors
  void (*call)(const Vectors& on);
};

constexpr VectorOperation vector_operations[] = {
    {"fill", 1, [](const Vectors& on) { on.backend.fill(0, on.y); }},
    {"copy", 2, [](const Vectors& on) { on.backend.copy(on.x, on.y); }},
    {"commit", 2, [](const Vectors& on) { on.backend.commit(on.one, on.x, on.y); }},
    {"axpby", 3, [](const Vectors& on) { on.backend.axpby(1.0, on.x, 0.5, on.y); }},
    {"check_update", 2,
     [](const Vectors& on) {
       const UpdatedTensor tensor = on.tensor();
       on.backend.check_update({&tensor, 1}, 1e-3, 0.0, on.one);
     }},
    {"update", 3,
     [](const Vectors& on) {
       const UpdatedTensor tensor = on.tensor();
       on.backend.update(1.0, {&tensor, 1}, 1e-3, 0.0);
     }},
};

void vector_operation(benchmark::State& state, const VectorOperation& operation,
                      std::int64_t numbers) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array x = context.array({numbers, 1}, float32);
  const Array y = context.array({numbers, 1}, float32);
  const Array one = context.array({1, 1}, float64);
  backend.fill(0, x);
  backend.fill(0, y);
  backend.fill(1, one);
  const Vectors on = {backend, x, y, one};
  const double total = total_seconds(state, [&] { operation.call(on); });
  state.counters["bytes_per_second"] = 4.0 * operation.passes * static_cast<double>(numbers) *
                                       static_cast<double>(state.iterations()) / total;
}

/// Rows of outputs with labels that all are classes.
struct Outputs {
  Backend& backend;
  View z;
  View labels;
  View score;
  View log_p;
  View sums;
  View counter;
};

struct LikelihoodOperation {
  const char* name;
  void (*call)(const Outputs& on);
};

constexpr OutputDistribution categorical;
constexpr LikelihoodOperation likelihood_operations[] = {
    {"score",
     [](const Outputs& on) {
       on.backend.likelihood_score(categorical, on.z, on.labels, on.score);
     }},
    {"log_likelihood",
     [](const Outputs& on) { on.backend.log_likelihood(categorical, on.z, on.labels, on.log_p); }},
    {"evaluate",
     [](const Outputs& on) {
       on.backend.likelihood_evaluate(categorical, on.z, on.labels, on.sums);
     }},
    {"sample",
     [](const Outputs& on) {
       on.backend.likelihood_sample(categorical, on.z, 1, 1, on.counter, on.labels);
     }},
};

void likelihood(benchmark::State& state, const LikelihoodOperation& operation, Shape shape) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array z = normal_matrix(shape, float32, 1);
  const Array labels = context.array({shape.rows, 1}, ElementType::int32);
  const Array score = context.array(shape, float32);
  const Array log_p = context.array({shape.rows, 1}, float64);
  const Array sums = context.array({2, 1}, float64);
  const Array counter = context.array({1, 1}, float64);
  backend.fill(0, labels);
  backend.fill(0, counter);
  const Outputs on = {backend, z, labels, score, log_p, sums, counter};
  total_seconds(state, [&] { operation.call(on); });
}

/// g = S^T y of one layer.
void adjoint(benchmark::State& state, std::int64_t rows, std::int64_t inputs,
             std::int64_t outputs) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array A = normal_matrix({rows, std::max<std::int64_t>(inputs, 1)}, float32, 1);
  const Array D = normal_matrix({rows, outputs}, float32, 2);
  const Array scale = context.array({rows, 1}, float64);
  const Array y = context.array({rows, 1}, float32);
  const Array g = context.array({outputs * inputs + outputs, 1}, float32);
  backend.fill(1, scale);
  backend.fill(1, y);
  LayerUse use = {.rows = rows, .outputs = outputs, .bias_offset = outputs * inputs};
  use.output_score = D;
  if (inputs > 0) {
    use.inputs = inputs;
    use.weight_offset = 0;
    use.input = A;
  }
  const std::int64_t bytes = backend.rows_scratch({&use, 1}, rows, float32, float32);
  const Array memory = context.array({bytes / 8 + 1, 1}, float64);
  const RowBatch batch = {{&use, 1}, scale, bench_mode()};
  total_seconds(state, [&] { backend.adjoint(batch, y, 0, g, {memory.view().data(), bytes}); });
}

std::string numbers_of(Shape shape) {
  return std::to_string(shape.rows) + "x" + std::to_string(shape.columns);
}

}  // namespace

void register_operations() {
  const auto add = [](const std::string& name, const auto& run) {
    configure(benchmark::RegisterBenchmark(name.c_str(), run));
  };
  // The parameters of 784-1024-256-10, and more than a cache holds.
  for (const std::int64_t numbers : {std::int64_t{1068810}, std::int64_t{1} << 26}) {
    for (const VectorOperation& operation : vector_operations) {
      add(std::string("vector/") + operation.name + "/n:" + std::to_string(numbers),
          [&operation, numbers](benchmark::State& state) {
            vector_operation(state, operation, numbers);
          });
    }
  }
  for (const Shape shape : {Shape{718, 10}, Shape{1024, 200}, Shape{1024, 4096}}) {
    for (const LikelihoodOperation& operation : likelihood_operations) {
      add(std::string("likelihood/") + operation.name + "/" + numbers_of(shape),
          [&operation, shape](benchmark::State& state) { likelihood(state, operation, shape); });
    }
  }
  struct Layer {
    std::int64_t rows, inputs, outputs;
  };
  for (const Layer layer :
       {Layer{718, 0, 10}, Layer{718, 0, 1024}, Layer{718, 1024, 10}, Layer{718, 1024, 1024}}) {
    add("adjoint/n:" + std::to_string(layer.rows) + "/layer:" + std::to_string(layer.inputs) + "-" +
            std::to_string(layer.outputs),
        [layer](benchmark::State& state) {
          adjoint(state, layer.rows, layer.inputs, layer.outputs);
        });
  }
}

}  // namespace natgrad::bench
