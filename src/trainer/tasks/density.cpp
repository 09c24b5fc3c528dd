#include "natgrad/error.hpp"
#include "natgrad/gather.hpp"
#include "natgrad/models/densities.hpp"
#include "natgrad/scores.hpp"
#include "trainer/data/shuffle.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"
#include "trainer/run_data.hpp"
#include "trainer/tasks/density_problem.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace natgrad::trainer {

TaskRow density_task();

namespace {

const std::string state_blob = "natgrad-train density";

std::int64_t bytes_of(const Array& array) {
  return array.view().size() * size_of(array.view().type());
}

Array staged(const Context& context, const std::vector<double>& numbers, std::int64_t columns,
             ElementType type) {
  Array array = context.array({static_cast<std::int64_t>(numbers.size()) / columns, columns}, type);
  if (type == ElementType::float64) {
    context.write(numbers.data(), array);
  } else {
    const std::vector<float> narrow(numbers.begin(), numbers.end());
    context.write(narrow.data(), array);
  }
  return array;
}

/// The samples on the device, handed out in batches in a fresh order every epoch, or all of them.
class SampleBatches {
 public:
  SampleBatches(const Context& context, const DensityProblem& problem, std::int64_t largest,
                std::uint64_t seed)
      : context_(context),
        seed_(seed),
        samples_(staged(context, problem.train, problem.dimensions, problem.options.type)),
        order_(context.array({problem.train_count(), 1}, ElementType::int32)),
        per_epoch_((problem.train_count() - 1) / largest + 1),
        batch_(context.array({this->largest(), problem.dimensions}, problem.options.type)) {}

  std::int64_t count() const { return samples_.view().rows(); }
  std::int64_t per_epoch() const { return per_epoch_; }
  std::int64_t largest() const { return (count() - 1) / per_epoch_ + 1; }
  std::int64_t taken() const { return taken_; }
  std::int64_t bytes() const { return bytes_of(samples_) + bytes_of(order_) + bytes_of(batch_); }

  /// Does not wait, but at the first batch of an epoch of several.
  ConstView next() {
    const std::int64_t batch = taken_ % per_epoch_;
    if (batch == 0) shuffle();
    ++taken_;
    if (per_epoch_ == 1) return samples_;
    const std::int64_t first = batch * count() / per_epoch_;
    const std::int64_t rows = (batch + 1) * count() / per_epoch_ - first;
    const View to = batch_.view().row_range(0, rows);
    gather_rows(context_, samples_, order_.view().row_range(first, rows), to);
    return to;
  }
  void skip_to(std::int64_t taken) {
    taken_ = taken;
    if (taken_ % per_epoch_ != 0) shuffle();
  }

 private:
  void shuffle() {
    if (per_epoch_ == 1) return;
    const auto epoch = static_cast<std::uint32_t>(taken_ / per_epoch_);
    const std::vector<std::int32_t> order = shuffled(seed_, RandomStream::shuffle, epoch, count());
    context_.write(order.data(), order_);
  }

  Context context_;
  std::uint64_t seed_;
  Array samples_;  // (N, D)
  Array order_;    // (N) int32
  std::int64_t per_epoch_;
  Array batch_;  // (samples of the largest batch, D)
  std::int64_t taken_ = 0;
};

/// The parameters of before a step, for a KL divergence to speak of.
class KeptTheta {
 public:
  /// Of P numbers.
  KeptTheta(const Context& context, const View& theta)
      : context_(context),
        kept_(context.array(theta.shape(), theta.type())),
        first_(context.array({1, 1}, ElementType::int32)) {
    const std::int32_t zero = 0;
    context.write(&zero, first_);
  }

  /// Does not wait.
  void keep(const View& theta) { gather_rows(context_, as_row(theta), first_, as_row(kept_)); }
  ConstView view() const { return kept_; }

  static std::int64_t bytes(std::int64_t parameters, ElementType type) {
    return parameters * size_of(type) + size_of(ElementType::int32);
  }

 private:
  static View as_row(const View& theta) {
    return {theta.data(), theta.type(), {1, theta.size()}, {.device = theta.device()}};
  }

  Context context_;
  Array kept_;   // (P)
  Array first_;  // (1) int32: the number of the only row
};

/// Rows of the Fisher matrix that a natural step takes.
FisherKind fisher_of(const Settings& settings) {
  return settings.get_or("--fisher", FisherKind::empirical);
}

class DensityTask : public Task {
 public:
  DensityTask(const Settings& settings, const Context& context, const DensityProblem& problem)
      : samples_name_(problem.samples_name),
        checksum_(problem.checksum),
        fisher_(fisher_of(settings)),
        draws_(settings.get_or<std::int64_t>("--fisher-draws", 1)),
        density_(context, problem.options),
        batches_(context, problem, settings.get<std::int64_t>("--batch"),
                 settings.get<std::uint64_t>("--seed")),
        test_(staged(context, problem.test, problem.dimensions, problem.options.type)),
        gradient_(context.array({density_.parameters().size(), 1}, problem.options.type)),
        figures_(context.array({1, 1}, ElementType::float64)),
        data_rows_(density_.parameters()),
        fisher_rows_(density_.parameters(), {.kind = fisher_}) {
    if (fisher_ == FisherKind::exact && !density_.has_exact()) {
      throw OptionError(
          "--fisher exact: a mixture of several dimensions has neither closed form nor quadrature, "
          "needs --fisher sampled");
    }
    density_.write(problem.start);
    if (compares_kl(settings)) before_.emplace(context, density_.values());
    if (!problem.truth.empty()) {
      truth_ = staged(context, problem.truth, 1, problem.options.type);
    }
  }

  const Parameters& parameters() const override { return density_.parameters(); }
  std::string headline() const override {
    const Density::Options& options = density_.options();
    return fmt::format(
        "density: {} samples of {} to train on, {} to test; {}, {} dimensions, {} components, {} "
        "parameters, {} on {}",
        batches_.count(), samples_name_, test_.view().rows(), to_string(options.family),
        options.dimensions, options.components, parameters().size(), to_string(options.type),
        to_string(parameters().context().device().kind));
  }
  std::int64_t steps_per_epoch() const override { return batches_.per_epoch(); }

  std::int64_t numbers() const override { return 1; }
  BatchPosition next(const View& numbers) override {
    const std::int64_t before = batches_.taken();
    samples_ = batches_.next();
    density_.loss(samples_, numbers);
    return {.samples = samples_.rows(),
            .epoch = before / batches_.per_epoch() + 1,
            .ends_epoch = batches_.taken() % batches_.per_epoch() == 0};
  }
  Figures figures(std::span<const double> numbers, const BatchPosition&) const override {
    return {{"loss", numbers[0]}};
  }

  /// The batch with what rules measure of a step, at the parameters as they then stand.
  natgrad::Batch batch() override {
    natgrad::Batch batch = rows_of_batch();
    batch.loss = [this](const View& loss) { density_.loss(samples_, loss); };
    if (!before_) return batch;
    before_->keep(density_.values());
    batch.kl = [this](const View& kl) { density_.kl(before_->view(), density_.values(), kl); };
    return batch;
  }
  void gradient(const View& gradient) override {
    density_.compute(samples_);
    density_.gradient(gradient);
  }

  Figures evaluate() override {
    Figures figures = {{"test_loss", number([&] { density_.loss(test_, figures_); })}};
    if (!truth_.empty()) {
      figures.push_back({"kl", number([&] { density_.kl(truth_, density_.values(), figures_); })});
    }
    return figures;
  }
  std::string in_words(const Figures& evaluation) const override {
    const std::optional<double> kl = value_of(evaluation, "kl");
    return fmt::format("test loss {:.4f}{}", value_of(evaluation, "test_loss").value_or(0),
                       kl ? fmt::format(", KL from the truth {:.3g}", *kl) : "");
  }
  std::string summary(const Figures& evaluation) const override { return in_words(evaluation); }

  Blobs save() const override {
    Json state = {{"batches", batches_.taken()}, {"draws", density_.draw_counter()}};
    run_data().save(state);
    return {{state_blob, to_blob(state)}};
  }
  void restore(const Blobs& blobs, const std::string& file) override {
    const BlobReader state(blobs, state_blob, file);
    run_data().require_same(state, file);
    const auto batches = state.get<std::int64_t>("batches");
    const auto draws = state.get<std::int64_t>("draws");
    if (batches < 1 || draws < 0) {
      throw FileError(fmt::format("{}: the run in it has not begun", file));
    }
    density_.set_draw_counter(draws);
    batches_.skip_to(batches);
  }

 private:
  RunData run_data() const { return {"samples", batches_.count(), test_.view().rows(), checksum_}; }

  natgrad::Batch rows_of_batch() {
    density_.compute(samples_);
    if (fisher_ == FisherKind::empirical) {
      density_.add_to(data_rows_);
      return {.fisher = data_rows_};
    }
    density_.gradient(gradient_);
    if (fisher_ == FisherKind::exact) {
      density_.compute_exact();
      density_.add_exact_to(fisher_rows_);
    } else {
      density_.compute_sampled(draws_ * samples_.rows());
      density_.add_sampled_to(fisher_rows_);
    }
    return {.fisher = fisher_rows_, .gradient = Gradient{.view = gradient_}};
  }

  /// The number that work leaves in `figures_`.
  template <class Work>
  double number(const Work& work) const {
    work();
    double value = 0;
    parameters().context().read(figures_, &value);
    return value;
  }

  std::string samples_name_;
  std::string checksum_;
  FisherKind fisher_;
  std::int64_t draws_;
  Density density_;
  SampleBatches batches_;
  Array test_;   // (M, D)
  Array truth_;  // (P), none for samples of a file
  std::optional<KeptTheta> before_;
  Array gradient_;  // (P)
  Array figures_;   // (1)
  DenseScores data_rows_;
  DenseScores fisher_rows_;
  ConstView samples_;  // of the last batch
};

TaskMemory memory_of(const Settings& settings, const Context& context) {
  const DensityProblem problem = density_problem(settings, context);
  const Density density(context, problem.options);
  const SampleBatches batches(context, problem, settings.get<std::int64_t>("--batch"), 0);
  const std::int64_t parameters = density.parameters().size();
  const FisherKind fisher = fisher_of(settings);
  const std::int64_t draws = fisher == FisherKind::sampled
                                 ? settings.get<std::int64_t>("--fisher-draws") * batches.largest()
                                 : 0;
  TaskMemory memory;
  memory.batch.samples = batches.largest();
  if (fisher == FisherKind::exact) memory.batch.samples = parameters;
  if (fisher == FisherKind::sampled) memory.batch.samples = draws;
  if (fisher != FisherKind::empirical) memory.batch.gradient = ScoresShape::Source::numbers;
  for (int i = 0; i < density.parameters().segments(); ++i) {
    memory.tensors.push_back(density.parameters().tensor({i}).shape());
  }
  const std::int64_t evaluated = std::max(batches.largest(), problem.test_count());
  std::int64_t density_bytes =
      Density::bytes(problem.options,
                     {.samples = evaluated, .draws = draws, .exact = fisher == FisherKind::exact});
  if (compares_kl(settings)) density_bytes += KeptTheta::bytes(parameters, problem.options.type);
  memory.items = {{"density", density_bytes},
                  {"data", batches.bytes() + problem.test_count() * problem.dimensions *
                                                 size_of(problem.options.type)}};
  return memory;
}

std::string with(const Settings& s, const char* option) {
  return fmt::format("with {} {}", option, s.in_words(option));
}
std::string only(const Settings& s, DensityName name) {
  return s.get<DensityName>("--density") == name ? "" : with(s, "--density");
}
std::string without_data(const Settings& s) { return s.has("--data") ? "with --data" : ""; }

std::vector<OptionRow> density_rows() {
  const std::string group = "Density";
  ValueType names = file_name();
  names.argument = "LIST";
  return {
      {.name = "--density",
       .group = group,
       .type = choice<DensityName>({{"gaussian", DensityName::gaussian},
                                    {"mixture", DensityName::mixture},
                                    {"exponential", DensityName::exponential}}),
       .help = "family: a Gaussian, a mixture of Gaussians, an exponential family on an interval",
       .otherwise = "gaussian"},
      {.name = "--parameterization",
       .group = group,
       .type = choice<GaussianParameters>({{"auto", GaussianParameters::automatic},
                                           {"scale", GaussianParameters::scale},
                                           {"log-scale", GaussianParameters::log_scale},
                                           {"natural", GaussianParameters::natural},
                                           {"cholesky", GaussianParameters::cholesky}}),
       .help = "of the Gaussian; auto: log-scale in one dimension, else cholesky",
       .otherwise = "auto",
       .no_meaning = [](const Settings& s) { return only(s, DensityName::gaussian); }},
      {.name = "--components",
       .group = group,
       .type = number(counting, "N"),
       .help = "of the mixture",
       .otherwise = "3",
       .no_meaning = [](const Settings& s) { return only(s, DensityName::mixture); }},
      {.name = "--statistics",
       .group = group,
       .type = number(counting, "N"),
       .help = "of the exponential family: so many Legendre polynomials",
       .otherwise = "4",
       .no_meaning = [](const Settings& s) { return only(s, DensityName::exponential); }},
      {.name = "--data",
       .group = group,
       .type = file_name(),
       .help = "samples of a CSV file, in place of drawn ones",
       .saved = false},
      {.name = "--columns",
       .group = group,
       .type = names,
       .help = "its columns, as a,b (default: all)",
       .no_meaning =
           [](const Settings& s) { return std::string(s.has("--data") ? "" : "without --data"); }},
      {.name = "--dimensions",
       .group = group,
       .type = number(counting, "N"),
       .help = "of the samples that are drawn",
       .otherwise = "1",
       .no_meaning =
           [](const Settings& s) {
             return s.get<DensityName>("--density") == DensityName::exponential
                        ? with(s, "--density")
                        : without_data(s);
           }},
      {.name = "--samples",
       .group = group,
       .type = number(counting, "N"),
       .help = "that are drawn, a fifth of them to test; at least 5",
       .otherwise = "2000",
       .no_meaning = without_data,
       .require =
           [](const Settings& s) {
             if (s.get_or<std::int64_t>("--samples", 5) < 5) {
               throw OptionError("--samples: at least 5 are needed to train and to test");
             }
           }},
  };
}

}  // namespace

TaskRow density_task() {
  TaskRow row;
  row.name = "density";
  row.help = "a density without inputs, fitted to samples drawn or of a file";
  row.takes = {"--batch", "--epochs"};
  row.options = density_rows();
  row.defaults = {{"--batch", "10000"},  {"--epochs", "60"},    {"--precision", "double"},
                  {"--fisher", "exact"}, {"--step-rule", "kl"}, {"--kl-radius", "0.1"}};
  row.make = [](const Settings& settings, const Context& context) {
    return std::make_unique<DensityTask>(settings, context, density_problem(settings, context));
  };
  row.memory = memory_of;
  return row;
}

}  // namespace natgrad::trainer
