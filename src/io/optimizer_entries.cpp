#include "io/optimizer_entries.hpp"

#include "core/context_state.hpp"
#include "io/entry_names.hpp"
#include "io/entry_shapes.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace natgrad::io {

namespace {

using detail::SavedCounter;
using detail::SavedField;
using detail::SavedRecords;
using detail::SavedState;
using detail::SavedTensors;

template <class T>
std::vector<std::byte> bytes_of_numbers(std::span<const T> numbers) {
  const auto bytes = std::as_bytes(numbers);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> downloaded(const Context& context, const ConstView& array) {
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(array.size() * natgrad::size_of(array.type())));
  context.state().backend().download(array, bytes.data());
  return bytes;
}

/// Views of each tensor's part of the numbers.
std::vector<View> parts_of(const SavedTensors& tensors, const Parameters& parameters) {
  std::vector<View> parts;
  auto* start = static_cast<std::byte*>(tensors.numbers.data());
  for (const Segment segment : tensors.segments) {
    const View& tensor = parameters.tensor(segment);
    parts.emplace_back(start, parameters.type(), tensor.shape(),
                       Placement{.device = tensor.device()});
    start += tensor.size() * natgrad::size_of(parameters.type());
  }
  return parts;
}

/// A contiguous array for all parameters, on their device.
Array staging(const Parameters& parameters) {
  return parameters.context().array({parameters.size(), 1}, parameters.type());
}

void add_parameters(const Parameters& parameters, const std::vector<std::string>& names,
                    EntryList& entries) {
  const Array theta = staging(parameters);
  parameters.gather(theta);
  for (int i = 0; i < parameters.segments(); ++i) {
    entries.add(names[static_cast<std::size_t>(i)], data_type(parameters.type()),
                shape_of(parameters.tensor({i})),
                downloaded(parameters.context(), parameters.part({i}, theta.view())));
  }
}

void add_records(const Context& context, const SavedRecords& records, EntryList& entries) {
  const std::vector<std::byte> bytes = downloaded(context, records.device);
  const auto width = static_cast<std::size_t>(records.width);
  std::vector<double> values(count_of(records));
  for (const SavedField& field : records.fields) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t at = i * width + static_cast<std::size_t>(field.index);
      std::memcpy(&values[i], bytes.data() + at * sizeof(double), sizeof(double));
    }
    entries.add(optimizer_entry(field.name), DataType::f64, shape_of(records),
                bytes_of_numbers(std::span<const double>(values)));
  }
}

}  // namespace

void EntryList::add(std::string name, DataType type, std::vector<std::int64_t> shape,
                    std::vector<std::byte> bytes) {
  memory_.push_back(std::move(bytes));
  entries_.push_back({std::move(name), type, std::move(shape), memory_.back()});
}

std::span<const Entry> EntryList::in_order() {
  std::ranges::stable_sort(entries_, std::greater<>{},
                           [](const Entry& entry) { return io::size_of(entry.type); });
  return entries_;
}

void add_optimizer(const SavedState& state, bool with_parameters, EntryList& entries) {
  const Parameters& parameters = state.parameters;
  const Context& context = parameters.context();
  const std::vector<std::string> names = tensor_entries(parameters);
  // Queued steps still write counters and arrays.
  context.synchronize();
  if (with_parameters) add_parameters(parameters, names, entries);
  for (const SavedRecords& records : state.records) add_records(context, records, entries);
  for (const SavedTensors& tensors : state.tensors) {
    const std::vector<View> parts = parts_of(tensors, parameters);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto segment = static_cast<std::size_t>(tensors.segments[i].index);
      entries.add(optimizer_entry(tensors.name + '.' + names[segment]),
                  data_type(parameters.type()), shape_of(parts[i]), downloaded(context, parts[i]));
    }
  }
  for (const SavedCounter& counter : state.counters) {
    entries.add(optimizer_entry(counter.name), DataType::i64, {},
                bytes_of_numbers(std::span<const std::int64_t>(counter.value, 1)));
  }
}

void put_optimizer(const LoadedState& loaded, const SavedState& state) {
  const Parameters& parameters = state.parameters;
  const Context& context = parameters.context();
  Backend& backend = context.state().backend();
  const bool has_parameters = !loaded.parameters.empty();
  const Array theta = has_parameters ? staging(parameters) : Array();
  std::vector<std::vector<View>> parts;
  for (const SavedTensors& tensors : state.tensors) parts.push_back(parts_of(tensors, parameters));
  // Queued steps still write counters and arrays.
  context.synchronize();
  if (has_parameters) {
    for (int i = 0; i < parameters.segments(); ++i) {
      const auto& bytes = loaded.parameters[static_cast<std::size_t>(i)];
      backend.upload(bytes.data(), parameters.part({i}, theta.view()));
    }
    parameters.scatter(theta);
  }
  for (std::size_t i = 0; i < state.records.size(); ++i) {
    backend.upload(loaded.records[i].data(), state.records[i].device);
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (std::size_t j = 0; j < parts[i].size(); ++j) {
      const LoadedState::Numbers& numbers = loaded.tensors[i][j];
      if (numbers.bytes.empty()) {
        backend.fill(numbers.fill, parts[i][j]);
      } else {
        backend.upload(numbers.bytes.data(), parts[i][j]);
      }
    }
  }
  for (std::size_t i = 0; i < state.counters.size(); ++i) {
    *state.counters[i].value = loaded.counters[i];
  }
  context.synchronize();
}

}  // namespace natgrad::io
