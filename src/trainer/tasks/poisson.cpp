#include "natgrad/error.hpp"
#include "natgrad/models/laplacian_net.hpp"
#include "natgrad/models/poisson_problem.hpp"
#include "natgrad/scores.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <utility>

namespace natgrad::trainer {

TaskRow poisson_task();

namespace {

const std::string poisson_blob = "natgrad-train poisson";

constexpr std::int64_t evaluation_points = 10'000;
/// Numbered so, their drawing is none of a run's.
constexpr std::int64_t evaluation_drawing = std::int64_t{1} << 31;

LaplacianNet::Options field_options(const Settings& settings) {
  return {.dimension = settings.get<std::int64_t>("--dim"),
          .hidden = settings.get<std::vector<std::int64_t>>("--hidden"),
          .type = settings.get<ElementType>("--precision"),
          .seed = settings.get<std::uint64_t>("--seed")};
}

PoissonProblem::Options problem_options(const Settings& settings) {
  return {.dimension = settings.get<std::int64_t>("--dim"),
          .solution = settings.get<PoissonSolution>("--solution"),
          .interior = settings.get<std::int64_t>("--interior"),
          .boundary = settings.get<std::int64_t>("--boundary"),
          .boundary_weight = settings.get<double>("--boundary-weight"),
          .type = settings.get<ElementType>("--precision"),
          .key = settings.get<std::uint64_t>("--seed")};
}

PoissonProblem::Options evaluation_options(const Settings& settings) {
  PoissonProblem::Options options = problem_options(settings);
  options.interior = evaluation_points;
  options.boundary = 0;
  options.drawing = evaluation_drawing;
  return options;
}

/// Poisson's equation in the unit cube as least squares over a tanh net: the Laplacian at interior
/// points, the values on the faces. Judged by the distance from the exact solution.
class PoissonTask : public Task {
 public:
  PoissonTask(const Settings& settings, const Context& context)
      : resamples_(settings.is_on("--resample")),
        problem_(context, problem_options(settings)),
        evaluation_(context, evaluation_options(settings)),
        net_(context, field_options(settings)),
        rows_(net_.parameters(), {.kind = FisherKind::residual}),
        residuals_(context.array({problem_.samples(), 1}, ElementType::float64)),
        values_(context.array({evaluation_points, 1}, ElementType::float64)),
        exact_(evaluation_points) {
    evaluation_.solution_at(evaluation_.interior(), values_);
    context.read(values_, exact_.data());
  }

  const Parameters& parameters() const override { return net_.parameters(); }
  std::string headline() const override {
    const PoissonProblem::Options& p = problem_.options();
    return fmt::format(
        "poisson: {} dimensions, solution {}, {} interior and {} boundary points{}; net {}-{}-1 "
        "tanh, {} parameters, {} on {}",
        p.dimension, to_string(p.solution), p.interior, p.boundary,
        resamples_ ? ", drawn anew every step" : "", p.dimension,
        fmt::join(net_.options().hidden, "-"), parameters().size(), to_string(p.type),
        to_string(parameters().context().device().kind));
  }
  std::int64_t steps_per_epoch() const override { return 0; }

  std::int64_t numbers() const override { return 1; }
  BatchPosition next(const View& numbers) override {
    if (resamples_ && taken_ > 0) problem_.resample();
    ++taken_;
    net_.linearize({.interior = problem_.interior(),
                    .laplacian = problem_.laplacian(),
                    .boundary = problem_.boundary(),
                    .values = problem_.values()});
    net_.loss_of(net_.coefficients(), numbers, problem_.weights());
    return {.samples = problem_.samples()};
  }
  Figures figures(std::span<const double> numbers, const BatchPosition&) const override {
    return {{"loss", numbers[0]}};
  }

  natgrad::Batch batch() override {
    net_.add_to(rows_, problem_.weights());
    natgrad::Batch batch{.fisher = rows_};
    batch.loss = [this](const View& loss) {
      net_.residuals_to(residuals_);
      net_.loss_of(residuals_, loss, problem_.weights());
    };
    batch.residuals = [this](const View& residuals) { net_.residuals_to(residuals); };
    return batch;
  }
  void gradient(const View& gradient) override {
    net_.add_to(rows_, problem_.weights());
    rows_.gradient(gradient);
  }

  /// The root mean square of u less the exact solution.
  Figures evaluate() override {
    std::vector<double> values(exact_.size());
    net_.values_to(evaluation_.interior(), values_);
    parameters().context().read(values_, values.data());
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += (values[i] - exact_[i]) * (values[i] - exact_[i]);
    }
    return {{"l2_error", std::sqrt(sum / static_cast<double>(values.size()))}};
  }
  std::string in_words(const Figures& evaluation) const override {
    return fmt::format("L2 error {:.3g}", value_of(evaluation, "l2_error").value_or(0));
  }
  std::string summary(const Figures& evaluation) const override { return in_words(evaluation); }

  Blobs save() const override { return {{poisson_blob, to_blob({{"batches", taken_}})}}; }
  void restore(const Blobs& blobs, const std::string& file) override {
    const auto taken = BlobReader(blobs, poisson_blob, file).get<std::int64_t>("batches");
    if (taken < 0) throw FileError(fmt::format("{}: \"{}\" is damaged", file, poisson_blob));
    taken_ = taken;
    if (resamples_ && taken_ > 0) problem_.set_drawings(taken_ - 1);
  }

 private:
  bool resamples_;
  PoissonProblem problem_;
  PoissonProblem evaluation_;
  LaplacianNet net_;
  LayerScores rows_;
  Array residuals_;  // (N) of a loss on trial
  Array values_;     // (evaluation points) float64
  std::vector<double> exact_;
  std::int64_t taken_ = 0;
};

TaskMemory memory_of_field(const Settings& settings, const Context&) {
  const LaplacianNet::Options net = field_options(settings);
  const PoissonProblem::Options problem = problem_options(settings);
  const std::int64_t samples = problem.interior + problem.boundary;
  TaskMemory memory;
  memory.batch = {.samples = samples};
  std::int64_t inputs = net.dimension;
  for (std::size_t l = 0; l <= net.hidden.size(); ++l) {
    const bool is_last = l == net.hidden.size();
    const std::int64_t outputs = is_last ? 1 : net.hidden[l];
    memory.batch.layers.push_back({.inputs = inputs,
                                   .outputs = outputs,
                                   .terms = is_last ? 1 : net.dimension + 2,
                                   .rows = problem.interior});
    memory.tensors.push_back({outputs, inputs});
    memory.tensors.push_back({outputs, 1});
    inputs = outputs;
  }
  inputs = net.dimension;
  for (std::size_t l = 0; l <= net.hidden.size(); ++l) {
    const std::int64_t outputs = l == net.hidden.size() ? 1 : net.hidden[l];
    memory.batch.layers.push_back({.inputs = inputs, .outputs = outputs, .rows = problem.boundary});
    inputs = outputs;
  }
  const std::int64_t numbers = 8 * (samples + evaluation_points);
  memory.items = {
      {"net", LaplacianNet::bytes(net, problem.interior, problem.boundary, evaluation_points)},
      {"points", PoissonProblem::bytes(problem) +
                     PoissonProblem::bytes(evaluation_options(settings)) + numbers}};
  return memory;
}

}  // namespace

TaskRow poisson_task() {
  TaskRow row;
  row.name = "poisson";
  row.help = "Poisson's equation in the unit cube, by a physics-informed net";
  row.takes = {"--hidden"};
  const std::string group = "Run";
  const auto points = [&](const char* name, const char* help, const char* otherwise) -> OptionRow {
    return {.name = name,
            .group = group,
            .type = number(counting, "N"),
            .help = help,
            .otherwise = otherwise};
  };
  Choices<PoissonSolution> solutions;
  for (const auto& solution : poisson_solution_table) {
    solutions.emplace_back(solution.name, solution.value);
  }
  row.options = {
      points("--dim", "dimensions of the cube", "2"),
      {.name = "--solution",
       .group = group,
       .type = choice<PoissonSolution>(solutions),
       .help = "exact solution: the product of sin(pi x), the sum of cos(pi x), |x|^2",
       .otherwise = "sin"},
      points("--interior", "points in the cube", "900"),
      points("--boundary", "points on its faces", "120"),
      {.name = "--boundary-weight",
       .group = group,
       .type = number(positive, "X"),
       .help = "of the mean square on the faces beside that in the cube",
       .otherwise = "1"},
      {.name = "--resample", .group = group, .type = flag(), .help = "draw new points every step"}};
  row.defaults = {{"--fisher", "residual"}, {"--step-rule", "geodesic"},
                  {"--hidden", "64"},       {"--precision", "double"},
                  {"--steps", "600"},       {"--evaluate-every", "5"}};
  row.make = [](const Settings& settings, const Context& context) {
    return std::make_unique<PoissonTask>(settings, context);
  };
  row.memory = memory_of_field;
  return row;
}

}  // namespace natgrad::trainer
