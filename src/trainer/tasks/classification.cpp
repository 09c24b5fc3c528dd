#include "trainer/tasks/classification.hpp"

#include "natgrad/error.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "natgrad/scores.hpp"
#include "trainer/batches.hpp"
#include "trainer/json_blob.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace natgrad::trainer {

namespace {

/// Samples of the test set that are evaluated at once: a large set needs no large memory.
constexpr std::int64_t evaluation_part = 1000;

const std::string state_blob = "natgrad-train classification";

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

FullyConnected::Options net_options(const Settings& settings, const Dataset& data) {
  auto sizes = settings.get<std::vector<std::int64_t>>("--hidden");
  sizes.insert(sizes.begin(), data.inputs);
  sizes.push_back(data.classes);
  return {.sizes = sizes,
          .activation = settings.get_or("--activation", Activation::tanh),
          .type = settings.get<ElementType>("--precision"),
          .seed = settings.get<std::uint64_t>("--seed"),
          .allow_tf32 = settings.is_on("--allow-tf32")};
}

/// Labels drawn for each sample; 0: the Fisher's rows are the data's.
std::int64_t draws_of(const Settings& settings) {
  return settings.get_or<std::int64_t>("--fisher-draws", 0);
}

/// The images of a run on its device, and the batches cut out of them.
struct StagedData {
  StagedData(const Settings& settings, const Context& context, const Dataset& data)
      : train(context, data.train, data.inputs, settings.get<ElementType>("--precision")),
        test(context, data.test, data.inputs, settings.get<ElementType>("--precision")),
        batches(context, train, settings.get<std::int64_t>("--batch"),
                settings.get<std::uint64_t>("--seed")) {}

  std::int64_t bytes() const { return train.bytes() + test.bytes() + batches.bytes(); }

  StagedExamples train;
  StagedExamples test;
  Batches batches;
};

class Classification : public Task {
 public:
  Classification(const Settings& settings, const Context& context, const Dataset& data)
      : name_(data.name),
        draws_(draws_of(settings)),
        data_(settings, context, data),
        net_(context, net_options(settings, data)),
        data_rows_(net_.parameters()),
        sampled_rows_(net_.parameters(), {.kind = FisherKind::sampled}) {}

  const Parameters& parameters() const override { return net_.parameters(); }
  std::string headline() const override;
  std::int64_t steps_per_epoch() const override { return data_.batches.per_epoch(); }

  std::int64_t numbers() const override { return 2; }
  BatchPosition next(const View& numbers) override;
  Figures figures(std::span<const double> numbers, const BatchPosition& batch) const override;
  natgrad::Batch batch() override;
  void gradient(const View& gradient) override { net_.gradient(gradient); }

  Figures evaluate() override;
  std::string in_words(const Figures& evaluation) const override;
  std::string summary(const Figures& evaluation) const override;

  Blobs save() const override;
  void restore(const Blobs& blobs, const std::string& file) override;

 private:
  std::string name_;
  std::int64_t draws_;
  StagedData data_;
  FullyConnected net_;
  LayerScores data_rows_;
  LayerScores sampled_rows_;
  std::int64_t samples_ = 0;  // of the last batch
};

std::string Classification::headline() const {
  const FullyConnected::Options& net = net_.options();
  const bool is_deep = net.sizes.size() > 2;
  return fmt::format("{}: {} images to train on, {} to test; net {}{}, {} parameters, {} on {}",
                     name_, data_.train.count(), data_.test.count(), fmt::join(net.sizes, "-"),
                     is_deep ? fmt::format(" {}", to_string(net.activation)) : "",
                     net_.parameters().size(), to_string(net.type),
                     to_string(net_.parameters().context().device().kind));
}

BatchPosition Classification::next(const View& numbers) {
  const LabelledBatch batch = data_.batches.next();
  net_.forward(batch.images);
  net_.evaluate_to(batch.labels, numbers);
  net_.backward(batch.labels);
  samples_ = batch.images.rows();
  return {.samples = samples_, .epoch = batch.epoch, .ends_epoch = batch.ends_epoch};
}

Figures Classification::figures(std::span<const double> numbers, const BatchPosition& batch) const {
  const auto n = static_cast<double>(batch.samples);
  return {{"loss", -numbers[0] / n}, {"accuracy", numbers[1] / n}};
}

natgrad::Batch Classification::batch() {
  net_.add_to(data_rows_, {.samples = samples_});
  if (draws_ == 0) return {.fisher = data_rows_};
  net_.sample(draws_);
  net_.add_sampled_to(sampled_rows_, {.samples = samples_ * draws_});
  // Rows, not numbers: as cheap, and without an array of P.
  return {.fisher = sampled_rows_, .gradient = data_rows_};
}

Figures Classification::evaluate() {
  const std::int64_t count = data_.test.count();
  FullyConnected::Evaluation mean;
  for (std::int64_t first = 0; first < count; first += evaluation_part) {
    const std::int64_t samples = std::min(evaluation_part, count - first);
    net_.forward(data_.test.images.view().row_range(first, samples));
    const auto result = net_.evaluate(data_.test.labels.view().row_range(first, samples));
    const double share = static_cast<double>(samples) / static_cast<double>(count);
    mean.loss += share * result.loss;
    mean.accuracy += share * result.accuracy;
  }
  return {{"test_loss", mean.loss}, {"test_accuracy", mean.accuracy}};
}

std::string Classification::in_words(const Figures& evaluation) const {
  return fmt::format("test loss {:.4f}, accuracy {}", value_of(evaluation, "test_loss").value_or(0),
                     percent(value_of(evaluation, "test_accuracy").value_or(0)));
}

std::string Classification::summary(const Figures& evaluation) const {
  return "test accuracy " + percent(value_of(evaluation, "test_accuracy").value_or(0));
}

Blobs Classification::save() const {
  return {{state_blob, to_blob({{"batches", data_.batches.taken()},
                                {"draws", net_.draw_counter()},
                                {"train_samples", data_.train.count()},
                                {"test_samples", data_.test.count()}})}};
}

void Classification::restore(const Blobs& blobs, const std::string& file) {
  const BlobReader state(blobs, state_blob, file);
  const auto train = state.get<std::int64_t>("train_samples");
  const auto test = state.get<std::int64_t>("test_samples");
  if (train != data_.train.count() || test != data_.test.count()) {
    throw FileError(
        fmt::format("{}: the run has {} images to train on and {} to test, here are {} "
                    "and {}",
                    file, train, test, data_.train.count(), data_.test.count()));
  }
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
                     std::int64_t draws) {
  const std::int64_t rows_per_input = std::max<std::int64_t>(draws, 1);
  ScoresShape shape = {.samples = samples * rows_per_input};
  if (draws > 0) shape.gradient = ScoresShape::Source::other_rows;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    shape.layers.push_back(
        {.inputs = sizes[i], .outputs = sizes[i + 1], .rows_per_input = rows_per_input});
  }
  return shape;
}

TaskMemory memory_of(const Settings& settings, const Context& context, const Dataset& data) {
  const FullyConnected::Options net = net_options(settings, data);
  const StagedData staged(settings, context, data);
  const std::int64_t largest = staged.batches.largest();
  const std::int64_t evaluated = std::min(evaluation_part, staged.test.count());
  const std::int64_t draws = draws_of(settings);
  const std::int64_t net_bytes =
      FullyConnected::bytes(net, std::max(largest, evaluated)) +
      (FullyConnected::bytes(net, largest, draws) - FullyConnected::bytes(net, largest));
  TaskMemory memory = {.batch = shape_of(net.sizes, largest, draws),
                       .tensors = {},
                       .items = {{"net", net_bytes}, {"data", staged.bytes()}}};
  for (std::size_t i = 0; i + 1 < net.sizes.size(); ++i) {
    memory.tensors.push_back({net.sizes[i + 1], net.sizes[i]});
    memory.tensors.push_back({net.sizes[i + 1], 1});
  }
  return memory;
}

}  // namespace

TaskRow classification_task(const std::function<Dataset(const Settings&)>& load) {
  TaskRow row;
  row.takes = {"--batch", "--epochs", "--hidden", "--activation"};
  row.make = [load](const Settings& settings, const Context& context) {
    return std::make_unique<Classification>(settings, context, load(settings));
  };
  row.memory = [load](const Settings& settings, const Context& context) {
    return memory_of(settings, context, load(settings));
  };
  return row;
}

}  // namespace natgrad::trainer
