#include "trainer/tasks/supervised.hpp"

#include "natgrad/error.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "natgrad/scores.hpp"
#include "trainer/batches.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/likelihoods.hpp"
#include "trainer/options.hpp"
#include "trainer/run_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace natgrad::trainer {

namespace {

/// Samples of the test set that are evaluated at once: a large set needs no large memory.
constexpr std::int64_t evaluation_part = 1000;

const std::string state_blob = "natgrad-train supervised";

FullyConnected::Options net_options(const Settings& settings, const Dataset& data) {
  auto sizes = settings.get<std::vector<std::int64_t>>("--hidden");
  sizes.insert(sizes.begin(), data.inputs);
  sizes.push_back(data.outputs);
  return {.sizes = sizes,
          .likelihood = data.likelihood,
          .sigma = data.sigma,
          .activation = settings.get_or("--activation", Activation::tanh),
          .type = settings.get<ElementType>("--precision"),
          .seed = settings.get<std::uint64_t>("--seed"),
          .allow_tf32 = settings.is_on("--allow-tf32")};
}

/// The rows of the matrix of a natural step.
struct FisherRows {
  FisherKind kind;
  std::int64_t per_sample;

  std::int64_t draws() const { return kind == FisherKind::sampled ? per_sample : 0; }
};

FisherRows fisher_rows(const Settings& settings, const Dataset& data) {
  const auto kind = settings.get_or("--fisher", FisherKind::empirical);
  if (kind == FisherKind::sampled) return {kind, settings.get<std::int64_t>("--fisher-draws")};
  return {kind, kind == FisherKind::exact ? data.outputs : 1};
}

/// The samples of a run on its device, and the batches cut out of them.
struct StagedData {
  StagedData(const Settings& settings, const Context& context, const Dataset& data)
      : train(context, data.train, settings.get<ElementType>("--precision")),
        test(context, data.test, settings.get<ElementType>("--precision")),
        batches(context, train, settings.get<std::int64_t>("--batch"),
                settings.get<std::uint64_t>("--seed")) {}

  std::int64_t bytes() const { return train.bytes() + test.bytes() + batches.bytes(); }

  StagedExamples train;
  StagedExamples test;
  Batches batches;
};

void write_numbers(const std::vector<double>& numbers, const Parameters& parameters, int index) {
  const View& tensor = parameters.tensor({index});
  if (tensor.type() == ElementType::float64) {
    return parameters.context().write(numbers.data(), tensor);
  }
  const std::vector<float> converted(numbers.begin(), numbers.end());
  parameters.context().write(converted.data(), tensor);
}

/// Puts the model where its outputs are `first`, whatever the inputs: the last weights are 0, and
/// those of hidden layers, which differ, keep the outputs' rows apart from the first step on.
void begin_at(const std::vector<double>& first, const Parameters& parameters) {
  if (first.empty()) return;
  const int bias = parameters.segments() - 1;
  const auto weights = static_cast<std::size_t>(parameters.tensor({bias - 1}).size());
  write_numbers(std::vector<double>(weights), parameters, bias - 1);
  write_numbers(first, parameters, bias);
}

/// What the library sums up beside log p, as the user reads it.
class FigureOfMerit {
 public:
  explicit FigureOfMerit(const Dataset& data)
      : row_(&row_of(data.likelihood)), unit_(data.error_unit) {}

  const std::string& name() const { return row_->figure; }
  /// From its mean over the samples.
  double value(double mean) const {
    return row_->figure_is_a_square ? unit_ * std::sqrt(mean) : mean;
  }
  double value(const FullyConnected::Evaluation& evaluation) const {
    return value(row_->figure_is_a_square ? evaluation.squared_error : evaluation.accuracy);
  }
  /// "accuracy 97.00 %"
  std::string in_words(double value) const {
    return row_->figure_is_a_square ? fmt::format("{} {:.4g}", name(), value)
                                    : fmt::format("{} {:.2f} %", name(), 100 * value);
  }

 private:
  const TrainedLikelihood* row_;
  double unit_;
};

class Supervised : public Task {
 public:
  Supervised(const Settings& settings, const Context& context, const Dataset& data)
      : name_(data.name),
        samples_name_(data.samples),
        checksum_(data.checksum),
        warnings_(data.warnings),
        figure_(data),
        fisher_(fisher_rows(settings, data)),
        keeps_outputs_(compares_kl(settings)),
        data_(settings, context, data),
        net_(context, net_options(settings, data)),
        data_rows_(net_.parameters()),
        fisher_scores_(net_.parameters(), {.kind = fisher_.kind}) {
    begin_at(data.first_outputs, net_.parameters());
  }

  const Parameters& parameters() const override { return net_.parameters(); }
  std::string headline() const override;
  std::vector<std::string> warnings() const override { return warnings_; }
  std::int64_t steps_per_epoch() const override { return data_.batches.per_epoch(); }

  std::int64_t numbers() const override { return 2; }
  BatchPosition next(const View& numbers) override;
  Figures figures(std::span<const double> numbers, const BatchPosition& batch) const override;
  natgrad::Batch batch() override;
  void gradient(const View& gradient) override;

  Figures evaluate() override;
  std::string in_words(const Figures& evaluation) const override;
  std::string summary(const Figures& evaluation) const override;

  Blobs save() const override;
  void restore(const Blobs& blobs, const std::string& file) override;

 private:
  natgrad::Batch rows_of_batch();
  RunData run_data() const {
    return {samples_name_, data_.train.count(), data_.test.count(), checksum_};
  }

  std::string name_;
  std::string samples_name_;
  std::string checksum_;
  std::vector<std::string> warnings_;
  FigureOfMerit figure_;
  FisherRows fisher_;
  bool keeps_outputs_;  // to compare later ones with
  StagedData data_;
  FullyConnected net_;
  LayerScores data_rows_;      // at the data's targets
  LayerScores fisher_scores_;  // of the matrix, where it is not theirs
  SampleBatch batch_;          // the last one
};

std::string Supervised::headline() const {
  const FullyConnected::Options& net = net_.options();
  const bool is_deep = net.sizes.size() > 2;
  const bool is_default = net.likelihood == Likelihood::categorical;
  return fmt::format("{}: {} {} to train on, {} to test; {}net {}{}, {} parameters, {} on {}",
                     name_, data_.train.count(), samples_name_, data_.test.count(),
                     is_default ? "" : row_of(net.likelihood).name + ' ', fmt::join(net.sizes, "-"),
                     is_deep ? fmt::format(" {}", to_string(net.activation)) : "",
                     net_.parameters().size(), to_string(net.type),
                     to_string(net_.parameters().context().device().kind));
}

BatchPosition Supervised::next(const View& numbers) {
  batch_ = data_.batches.next();
  net_.forward(batch_.inputs);
  net_.evaluate_to(batch_.targets, numbers);
  return {.samples = batch_.inputs.rows(), .epoch = batch_.epoch, .ends_epoch = batch_.ends_epoch};
}

Figures Supervised::figures(std::span<const double> numbers, const BatchPosition& batch) const {
  const auto n = static_cast<double>(batch.samples);
  return {{"loss", -numbers[0] / n}, {figure_.name(), figure_.value(numbers[1] / n)}};
}

/// The batch with what rules measure of a step, at the parameters as they then stand.
natgrad::Batch Supervised::batch() {
  if (keeps_outputs_) net_.keep_outputs();
  natgrad::Batch batch = rows_of_batch();
  batch.loss = [this](const View& loss) {
    net_.forward(batch_.inputs);
    net_.loss_to(batch_.targets, loss);
  };
  if (!keeps_outputs_) return batch;
  batch.kl = [this](const View& kl) {
    net_.forward(batch_.inputs);
    net_.kl_to(kl);
  };
  return batch;
}

natgrad::Batch Supervised::rows_of_batch() {
  const std::int64_t samples = batch_.inputs.rows();
  if (fisher_.kind == FisherKind::exact) {
    net_.compute_exact(batch_.targets);
    net_.add_exact_to(fisher_scores_, {.samples = samples});
    return {.fisher = fisher_scores_};
  }
  net_.backward(batch_.targets);
  net_.add_to(data_rows_, {.samples = samples});
  if (fisher_.kind == FisherKind::empirical) return {.fisher = data_rows_};
  net_.sample(fisher_.per_sample);
  net_.add_sampled_to(fisher_scores_, {.samples = samples * fisher_.per_sample});
  // Rows, not numbers: as cheap, and without an array of P.
  return {.fisher = fisher_scores_, .gradient = data_rows_};
}

void Supervised::gradient(const View& gradient) {
  net_.backward(batch_.targets);
  net_.gradient(gradient);
}

Figures Supervised::evaluate() {
  const std::int64_t count = data_.test.count();
  FullyConnected::Evaluation mean;
  for (std::int64_t first = 0; first < count; first += evaluation_part) {
    const std::int64_t samples = std::min(evaluation_part, count - first);
    net_.forward(data_.test.inputs.view().row_range(first, samples));
    const auto result = net_.evaluate(data_.test.targets.view().row_range(first, samples));
    const double share = static_cast<double>(samples) / static_cast<double>(count);
    mean.loss += share * result.loss;
    mean.accuracy += share * result.accuracy;
    mean.squared_error += share * result.squared_error;
  }
  return {{"test_loss", mean.loss}, {"test_" + figure_.name(), figure_.value(mean)}};
}

std::string Supervised::in_words(const Figures& evaluation) const {
  return fmt::format("test loss {:.4f}, {}", value_of(evaluation, "test_loss").value_or(0),
                     figure_.in_words(value_of(evaluation, "test_" + figure_.name()).value_or(0)));
}

std::string Supervised::summary(const Figures& evaluation) const {
  return "test " + figure_.in_words(value_of(evaluation, "test_" + figure_.name()).value_or(0));
}

Blobs Supervised::save() const {
  Json state = {{"batches", data_.batches.taken()}, {"draws", net_.draw_counter()}};
  run_data().save(state);
  return {{state_blob, to_blob(state)}};
}

void Supervised::restore(const Blobs& blobs, const std::string& file) {
  const BlobReader state(blobs, state_blob, file);
  run_data().require_same(state, file);
  const auto batches = state.get<std::int64_t>("batches");
  const auto draws = state.get<std::int64_t>("draws");
  if (batches < 1 || draws < 0) {
    throw FileError(fmt::format("{}: the run in it has not begun", file));
  }
  net_.set_draw_counter(draws);
  data_.batches.skip_to(batches);
}

/// The rows that a step of so many samples takes.
ScoresShape shape_of(const std::vector<std::int64_t>& sizes, std::int64_t samples,
                     const FisherRows& fisher) {
  ScoresShape shape = {.samples = samples * fisher.per_sample};
  if (fisher.kind == FisherKind::sampled) shape.gradient = ScoresShape::Source::other_rows;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    shape.layers.push_back(
        {.inputs = sizes[i], .outputs = sizes[i + 1], .rows_per_input = fisher.per_sample});
  }
  return shape;
}

TaskMemory memory_of(const Settings& settings, const Context& context, const Dataset& data) {
  const FullyConnected::Options net = net_options(settings, data);
  const StagedData staged(settings, context, data);
  const std::int64_t largest = staged.batches.largest();
  const std::int64_t evaluated = std::min(evaluation_part, staged.test.count());
  const FisherRows fisher = fisher_rows(settings, data);
  // An evaluation needs outputs of its samples, and no rows.
  const FullyConnected::Uses step = {.samples = largest,
                                     .draws = fisher.draws(),
                                     .exact = fisher.kind == FisherKind::exact,
                                     .keeps_outputs = compares_kl(settings)};
  const std::int64_t net_bytes =
      FullyConnected::bytes(net, std::max(largest, evaluated)) +
      (FullyConnected::bytes(net, step) - FullyConnected::bytes(net, largest));
  TaskMemory memory = {.batch = shape_of(net.sizes, largest, fisher),
                       .tensors = {},
                       .items = {{"net", net_bytes}, {"data", staged.bytes()}}};
  for (std::size_t i = 0; i + 1 < net.sizes.size(); ++i) {
    memory.tensors.push_back({net.sizes[i + 1], net.sizes[i]});
    memory.tensors.push_back({net.sizes[i + 1], 1});
  }
  return memory;
}

}  // namespace

TaskRow supervised_task(const std::function<Dataset(const Settings&)>& load) {
  TaskRow row;
  row.takes = {"--batch", "--epochs", "--hidden", "--activation"};
  row.make = [load](const Settings& settings, const Context& context) {
    return std::make_unique<Supervised>(settings, context, load(settings));
  };
  row.memory = [load](const Settings& settings, const Context& context) {
    return memory_of(settings, context, load(settings));
  };
  return row;
}

}  // namespace natgrad::trainer
