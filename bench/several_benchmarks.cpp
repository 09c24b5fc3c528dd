// (F + lambda I)^-1 g for several gradients g in one call of a Fisher matrix in parameter space,
// against a call for each of them.

#include "benchmarks.hpp"
#include "natgrad/natgrad.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace natgrad::bench {

namespace {

class SeveralGradients {
 public:
  SeveralGradients(std::int64_t parameters, std::int64_t gradients)
      : context_(bench_context()),
        theta_(context_.array({parameters, 1}, ElementType::float32)),
        rows_(normal_matrix({2 * parameters, parameters}, ElementType::float32, 1)),
        gradients_(normal_matrix({gradients, parameters}, ElementType::float32, 2)),
        directions_(context_.array({gradients, parameters}, ElementType::float32)),
        parameters_(context_) {
    parameters_.add(theta_, "theta");
    fisher_.emplace(parameters_, FisherMatrix::Options{.form = Form::primal});
    DenseScores scores(parameters_, {.kind = FisherKind::exact});
    scores.begin(rows_);
    fisher_->accumulate(scores);
    together();  // factorizes
  }

  void together() { fisher_->solve(Gradient{gradients_}, directions_); }
  void one_by_one() {
    for (std::int64_t i = 0; i < gradients_.view().rows(); ++i) {
      fisher_->solve(Gradient{row(gradients_, i)}, row(directions_, i));
    }
  }
  Outcome outcome() const { return fisher_->report().outcome; }

 private:
  static View row(const View& matrix, std::int64_t i) {
    return {matrix.row_range(i, 1).data(),
            matrix.type(),
            {matrix.columns(), 1},
            {.device = matrix.device()}};
  }

  Context context_;
  Array theta_;
  Array rows_;
  Array gradients_;   // (R, P)
  Array directions_;  // (R, P)
  Parameters parameters_;
  std::optional<FisherMatrix> fisher_;
};

void solve_several(benchmark::State& state, std::int64_t parameters, std::int64_t gradients) {
  SeveralGradients problem(parameters, gradients);
  double together = 0;
  double one_by_one = 0;
  for (auto _ : state) {
    const double time = seconds([&] { problem.together(); });
    state.SetIterationTime(time);
    together += time;
    one_by_one += seconds([&] { problem.one_by_one(); });
  }
  if (problem.outcome() != Outcome::accepted) state.SkipWithError("the solve was not accepted");
  state.counters["ratio_to_single_solves"] = together / one_by_one;
}

}  // namespace

void register_several_solves() {
  for (const std::int64_t parameters : {500, 2000}) {
    for (const std::int64_t gradients : {8, 256}) {
      const std::string name = "solve/several/p:" + std::to_string(parameters) +
                               "/gradients:" + std::to_string(gradients);
      configure(benchmark::RegisterBenchmark(name.c_str(),
                                             [parameters, gradients](benchmark::State& state) {
                                               solve_several(state, parameters, gradients);
                                             }));
    }
  }
}

}  // namespace natgrad::bench
