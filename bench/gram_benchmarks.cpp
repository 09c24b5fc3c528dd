// The two ways to the Gram matrix of a layer with T terms a row, in turn: products of pairs of
// terms, and rows materialized some columns at a time. The library's choice against the cheaper
// one.

#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace natgrad::bench {

namespace {

struct LayerCase {
  const char* name;
  std::int64_t rows, terms, inputs, outputs;
};

class Grams {
 public:
  explicit Grams(const LayerCase& which)
      : context_(bench_context()),
        parameters_(context_),
        weight_(context_.array({which.outputs, which.inputs}, ElementType::float32)),
        bias_(context_.array({which.outputs, 1}, ElementType::float32)),
        input_(upload(normal_numbers(which.rows * which.terms * which.inputs, 1),
                      {which.rows * which.terms, which.inputs})),
        output_score_(upload(normal_numbers(which.rows * which.terms * which.outputs, 2),
                             {which.rows * which.terms, which.outputs})),
        gram_(context_.array({which.rows, which.rows}, ElementType::float32)) {
    const Segment weight = parameters_.add(weight_);
    const Segment bias = parameters_.add(bias_);
    LayerScores scores(parameters_);
    scores.begin({.samples = which.rows});
    scores.add({.weight = weight,
                .bias = bias,
                .input = input_,
                .output_score = output_score_,
                .terms = which.terms});
    const RowBatch rows = scores.rows().blocks();
    block_ = rows.blocks.front();
    chosen_ = block_.materialized;
    scale_ = context_.array({which.rows, 1}, ElementType::float64);
    Backend& backend = context_.state().backend();
    backend.fill(1, scale_);
    scratch_.bytes =
        backend.rows_scratch({&block_, 1}, which.rows, ElementType::float32, ElementType::float32);
    memory_ = context_.array({scratch_.bytes / 8 + 1, 1}, ElementType::float64);
    scratch_.data = memory_.view().data();
  }

  bool may_be_pairwise() const { return block_.terms <= most_pairwise_terms; }
  bool materializes() const { return chosen_; }
  double time(bool materialized) {
    block_.materialized = materialized;
    return seconds([&] {
      context_.state().backend().gram({{&block_, 1}, scale_, bench_mode()}, gram_, scratch_);
    });
  }

 private:
  Context context_;
  Parameters parameters_;
  Array weight_;
  Array bias_;
  Array input_;
  Array output_score_;
  Array gram_;
  Array scale_;
  Array memory_;
  Scratch scratch_;
  LayerUse block_;
  bool chosen_ = false;
};

void gram(benchmark::State& state, const LayerCase& which) {
  Grams grams(which);
  grams.time(true);
  if (grams.may_be_pairwise()) grams.time(false);
  double materialized = 0;
  double pairwise = 0;
  for (auto _ : state) {
    const double first = grams.time(true);
    const double second = grams.may_be_pairwise() ? grams.time(false) : first;
    materialized += first;
    pairwise += second;
    state.SetIterationTime(grams.materializes() ? first : second);
  }
  const double chosen = grams.materializes() ? materialized : pairwise;
  state.counters["pairwise_over_materialized"] = pairwise / materialized;
  state.counters["chosen_over_cheaper"] = chosen / std::min(materialized, pairwise);
}

/// The largest |K_ij - s_i . s_j| / (|s_i| |s_j|) over some entries of the lower triangle: corners,
/// and what lies at the edges of tiles. The sums are taken in double.
double largest_gram_error(const View& K, const View& S) {
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array product = context.array({1, 1}, ElementType::float64);
  const auto row = [&](std::int64_t i) {
    return ConstView(S.row_range(i, 1).as<float>(), {S.columns(), 1}, {.device = S.device()});
  };
  const auto dot = [&](std::int64_t i, std::int64_t j) {
    backend.dot(row(i), row(j), product);
    double result = 0;
    context.read(product, &result);
    return result;
  };
  const std::int64_t last = K.rows() - 1;
  const std::int64_t rows[] = {0, 1, last / 4, last / 2, last / 2 + 1, last - 1, last};
  double largest = 0;
  for (const std::int64_t i : rows) {
    std::vector<float> computed(static_cast<std::size_t>(i + 1));
    context.read(View(K.row_range(i, 1).as<float>(), {i + 1, 1}, {.device = K.device()}),
                 computed.data());
    for (const std::int64_t j : rows) {
      if (j > i) break;
      const double error = std::abs(static_cast<double>(computed[j]) - dot(i, j));
      largest = std::max(largest, error / std::sqrt(dot(i, i) * dot(j, j)));
      if (std::isnan(error)) return error;
    }
  }
  return largest;
}

/// K = S S^T of rows that are given, on N^2 P operations: one triangle. What was computed is
/// checked, for a device that skips work is fast.
void dense_gram(benchmark::State& state, std::int64_t n, std::int64_t p) {
  const double peak = gemm_peak(ElementType::float32, bench_mode());
  const Context context = bench_context();
  Backend& backend = context.state().backend();
  const Array S = normal_matrix({n, p}, ElementType::float32, 1);
  const Array scale = context.array({n, 1}, ElementType::float64);
  backend.fill(1, scale);
  const LayerUse block = {
      .rows = n, .outputs = p, .materialized = true, .bias_offset = 0, .output_score = S};
  const RowBatch rows = {{&block, 1}, scale, bench_mode()};
  const Array gram = context.array({n, n}, ElementType::float32);
  const std::int64_t bytes =
      backend.rows_scratch(rows.blocks, n, ElementType::float32, ElementType::float32);
  const Array memory = context.array({bytes / 8 + 1, 1}, ElementType::float64);
  const auto work = [&] { backend.gram(rows, gram, {memory.view().data(), bytes}); };
  work();
  double total = 0;
  for (auto _ : state) {
    const double time = seconds(work);
    state.SetIterationTime(time);
    total += time;
  }
  const double operations = static_cast<double>(n) * static_cast<double>(n) *
                            static_cast<double>(p) * static_cast<double>(state.iterations());
  state.counters["share_of_peak"] = operations / total / peak;
  const double error = largest_gram_error(gram, S);
  state.counters["largest_error"] = error;
  // A million roundings of a sum in float, or of factors of 11 bits.
  const double bound = bench_mode() == MathMode::strict ? 1e-3 : 4e-3;
  if (!(error < bound)) state.SkipWithError("the Gram matrix is not that of its rows");
}

}  // namespace

void register_grams() {
  static const std::vector<LayerCase> cases = {
      {"dense", 512, 1, 128, 128},       {"dense_small", 1024, 1, 32, 10},
      {"derivatives", 1024, 3, 64, 64},  {"conv_early", 256, 196, 27, 16},
      {"conv_middle", 256, 49, 144, 32}, {"conv_late", 256, 16, 576, 64},
      {"recurrent", 512, 20, 64, 64},    {"attention", 256, 32, 256, 256},
      {"near_small", 512, 4, 32, 32},    {"near_large", 512, 10, 256, 256},
  };
  for (const LayerCase& which : cases) {
    const std::string name =
        std::string("gram/") + which.name + "/n:" + std::to_string(which.rows) +
        "/t:" + std::to_string(which.terms) + "/layer:" + std::to_string(which.inputs) + "-" +
        std::to_string(which.outputs);
    configure(benchmark::RegisterBenchmark(
        name.c_str(), [&which](benchmark::State& state) { gram(state, which); }));
  }
  // 16 GB.
  if (!on_cuda()) return;
  configure(benchmark::RegisterBenchmark(
      "gram/dense/n:4096/p:1000000",
      [](benchmark::State& state) { dense_gram(state, 4096, 1000000); }));
}

}  // namespace natgrad::bench
