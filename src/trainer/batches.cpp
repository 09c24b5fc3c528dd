#include "trainer/batches.hpp"

#include "natgrad/gather.hpp"
#include "trainer/data/shuffle.hpp"

#include <concepts>
#include <variant>
#include <vector>

namespace natgrad::trainer {

namespace {

std::int64_t bytes_of(const Array& array) {
  return array.view().size() * size_of(array.view().type());
}

template <class To, class From>
void write_as(const Context& context, const std::vector<From>& numbers, const View& to) {
  if constexpr (std::same_as<To, From>) {
    context.write(numbers.data(), to);
  } else {
    const std::vector<To> converted(numbers.begin(), numbers.end());
    context.write(converted.data(), to);
  }
}

/// So many rows of numbers on the device: whole ones as they are, others as `type`.
template <class... Numbers>
Array staged(const Context& context, const std::variant<Numbers...>& rows, std::int64_t count,
             ElementType type) {
  return std::visit(
      [&]<class From>(const std::vector<From>& numbers) {
        const auto columns = static_cast<std::int64_t>(numbers.size()) / count;
        Array array =
            context.array({count, columns}, std::integral<From> ? ElementType::int32 : type);
        if constexpr (std::integral<From>) {
          context.write(numbers.data(), array);
        } else if (type == ElementType::float32) {
          write_as<float>(context, numbers, array);
        } else {
          write_as<double>(context, numbers, array);
        }
        return array;
      },
      rows);
}

}  // namespace

StagedExamples::StagedExamples(const Context& context, const Examples& examples, ElementType type)
    : inputs(staged(context, examples.inputs, examples.count, type)),
      targets(staged(context, examples.targets, examples.count, type)) {}

std::int64_t StagedExamples::bytes() const { return bytes_of(inputs) + bytes_of(targets); }

Batches::Batches(const Context& context, const StagedExamples& examples, std::int64_t largest,
                 std::uint64_t seed)
    : context_(context),
      examples_(examples),
      seed_(seed),
      per_epoch_((examples.count() - 1) / largest + 1),
      order_(context.array({examples.count(), 1}, ElementType::int32)) {
  const std::int64_t samples = (examples.count() - 1) / per_epoch_ + 1;
  const View inputs = examples.inputs.view();
  const View targets = examples.targets.view();
  inputs_ = context.array({samples, inputs.columns()}, inputs.type());
  targets_ = context.array({samples, targets.columns()}, targets.type());
}

std::int64_t Batches::bytes() const {
  return bytes_of(order_) + bytes_of(inputs_) + bytes_of(targets_);
}

SampleBatch Batches::next() {
  const std::int64_t epoch = taken_ / per_epoch_;
  const std::int64_t batch = taken_ % per_epoch_;
  if (batch == 0) shuffle();
  ++taken_;
  const std::int64_t first = first_of(batch);
  const std::int64_t samples = first_of(batch + 1) - first;
  const ConstView rows = order_.view().row_range(first, samples);
  const View inputs = inputs_.view().row_range(0, samples);
  const View targets = targets_.view().row_range(0, samples);
  gather_rows(context_, examples_.inputs, rows, inputs);
  gather_rows(context_, examples_.targets, rows, targets);
  return {inputs, targets, epoch + 1, batch + 1 == per_epoch_};
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
