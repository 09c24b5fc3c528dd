#include "trainer/batches.hpp"

#include "natgrad/gather.hpp"
#include "trainer/data/shuffle.hpp"

#include <vector>

namespace natgrad::trainer {

namespace {

std::int64_t bytes_of(const Array& array) {
  return array.view().size() * size_of(array.view().type());
}

}  // namespace

StagedExamples::StagedExamples(const Context& context, const Examples& examples,
                               std::int64_t inputs, ElementType type)
    : images(context.array({examples.count(), inputs}, type)),
      labels(context.array({examples.count(), 1}, ElementType::int32)) {
  context.write(examples.labels.data(), labels);
  if (type == ElementType::float32) {
    context.write(examples.images.data(), images);
  } else {
    const std::vector<double> converted(examples.images.begin(), examples.images.end());
    context.write(converted.data(), images);
  }
}

std::int64_t StagedExamples::bytes() const { return bytes_of(images) + bytes_of(labels); }

Batches::Batches(const Context& context, const StagedExamples& examples, std::int64_t largest,
                 std::uint64_t seed)
    : context_(context),
      examples_(examples),
      seed_(seed),
      per_epoch_((examples.count() - 1) / largest + 1),
      order_(context.array({examples.count(), 1}, ElementType::int32)) {
  const std::int64_t samples = (examples.count() - 1) / per_epoch_ + 1;
  const View images = examples.images.view();
  images_ = context.array({samples, images.columns()}, images.type());
  labels_ = context.array({samples, 1}, ElementType::int32);
}

std::int64_t Batches::bytes() const {
  return bytes_of(order_) + bytes_of(images_) + bytes_of(labels_);
}

LabelledBatch Batches::next() {
  const std::int64_t epoch = taken_ / per_epoch_;
  const std::int64_t batch = taken_ % per_epoch_;
  if (batch == 0) shuffle();
  ++taken_;
  const std::int64_t first = first_of(batch);
  const std::int64_t samples = first_of(batch + 1) - first;
  const ConstView rows = order_.view().row_range(first, samples);
  const View images = images_.view().row_range(0, samples);
  const View labels = labels_.view().row_range(0, samples);
  gather_rows(context_, examples_.images, rows, images);
  gather_rows(context_, examples_.labels, rows, labels);
  return {images, labels, epoch + 1, batch + 1 == per_epoch_};
}

void Batches::skip_to(std::int64_t taken) {
  taken_ = taken;
  if (taken_ % per_epoch_ != 0) shuffle();
}

/// Puts the order of the epoch that the next batch is of on the device.
void Batches::shuffle() {
  const auto epoch = static_cast<std::uint32_t>(taken_ / per_epoch_);
  const std::vector<std::int32_t> order =
      shuffled(seed_, RandomStream::shuffle, epoch, examples_.count());
  context_.write(order.data(), order_);
}

}  // namespace natgrad::trainer
