#include "core/message.hpp"
#include "io/entry_names.hpp"
#include "io/entry_shapes.hpp"
#include "io/optimizer_entries.hpp"
#include "natgrad/error.hpp"
#include "natgrad/version.hpp"

#include <algorithm>
#include <cstring>
#include <set>

// What a file holds of an optimizer, found by name and checked against the optimizer itself.

namespace natgrad::io {

namespace {

using detail::message;
using detail::SavedCounter;
using detail::SavedField;
using detail::SavedRecords;
using detail::SavedState;
using detail::SavedTensors;

/// "F32, 3 x 4"
std::string in_words(DataType type, std::span<const std::int64_t> shape) {
  return message(to_string(type), ", ", shape_in_words(shape));
}

/// Reads the entries of one file for one optimizer.
class Reader {
 public:
  Reader(const CheckpointFile& file, const SavedState& state)
      : file_(file), state_(state), tensors_(tensor_entries(state.parameters)) {}

  LoadedState read();

 private:
  void require_same_optimizer() const;
  void require_same_parameters() const;
  void require_nothing_unknown() const;
  const Entry* find(const std::string& name, DataType type, std::span<const std::int64_t> shape,
                    bool required);
  std::vector<double> read(const SavedRecords& records);
  std::vector<LoadedState::Numbers> read(const SavedTensors& tensors);
  std::int64_t read(const SavedCounter& counter);
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(message(file_.path(), ": ", what));
  }
  [[noreturn]] void fail_damaged(const std::string& name, double value) const {
    fail(message("entry \"", name, "\" is damaged: it holds ", value));
  }
  std::string writer() const {
    return message("the file was written by natgrad ", file_.text("version"), ", this is ",
                   version());
  }

  const CheckpointFile& file_;
  const SavedState& state_;
  std::vector<std::string> tensors_;  // names of the parameters' entries
  std::set<std::string> known_;       // entries of the optimizer
};

void Reader::require_same_optimizer() const {
  const std::string& optimizer = file_.text("optimizer");
  if (optimizer == state_.optimizer) return;
  fail(message("the file is of ", optimizer, ", the optimizer is ", state_.optimizer));
}

/// "a" (2 x 3), "b" (2) and 4 more
std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t most = 3;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < most; ++i) {
    text += message(i == 0 ? "" : ", ", names[i]);
  }
  if (names.size() > most) text += message(" and ", names.size() - most, " more");
  return names.empty() ? "none" : text;
}

void Reader::require_same_parameters() const {
  const Parameters& parameters = state_.parameters;
  const auto named = [](const std::string& name, std::span<const std::int64_t> shape) {
    return message('"', name, "\" (", shape_in_words(shape), ')');
  };
  std::vector<std::string> of_optimizer, of_file;  // alone
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const View& tensor = parameters.tensor({static_cast<int>(i)});
    const Entry* entry = file_.find(tensors_[i]);
    if (entry == nullptr) {
      of_optimizer.push_back(named(tensors_[i], shape_of(tensor)));
      continue;
    }
    if (entry->type != data_type(parameters.type())) {
      fail(message("the parameters in the file are ", to_string(entry->type), ", those of the ",
                   "optimizer ", to_string(data_type(parameters.type()))));
    }
    if (entry->shape != shape_of(tensor)) {
      fail(message("another model: parameter \"", tensors_[i], "\" is ",
                   shape_in_words(entry->shape), " in the file, ", shape_in_words(shape_of(tensor)),
                   " in the optimizer"));
    }
  }
  const std::set<std::string> own(tensors_.begin(), tensors_.end());
  for (const auto& [name, entry] : file_.entries()) {
    if (is_parameter(name) && !own.contains(name)) of_file.push_back(named(name, entry.shape));
  }
  if (of_optimizer.empty() && of_file.empty()) return;
  fail(message(
      "another model: parameters of the file that the optimizer has not: ", list_of(of_file),
      "; of the optimizer that the file has not: ", list_of(of_optimizer)));
}

/// Null where there is no such entry and none is required.
const Entry* Reader::find(const std::string& name, DataType type,
                          std::span<const std::int64_t> shape, bool required) {
  known_.insert(name);
  const Entry* entry = file_.find(name);
  if (entry == nullptr) {
    if (!required) return nullptr;
    fail(message("the checkpoint has no entry \"", name, "\" (", in_words(type, shape), "); ",
                 writer()));
  }
  if (entry->type != type || !std::ranges::equal(entry->shape, shape)) {
    fail(message("entry \"", name, "\" is ", in_words(entry->type, entry->shape), " in the file, ",
                 in_words(type, shape), " in the optimizer; ", writer()));
  }
  return entry;
}

std::vector<double> Reader::read(const SavedRecords& records) {
  const std::size_t count = count_of(records);
  const auto width = static_cast<std::size_t>(records.width);
  std::vector<double> loaded(count * width);
  for (const SavedField& field : records.fields) {
    const std::string name = optimizer_entry(field.name);
    const Entry* entry = find(name, DataType::f64, shape_of(records), !field.missing);
    for (std::size_t i = 0; i < count; ++i) {
      double value = field.missing.value_or(0);
      if (entry != nullptr) {
        std::memcpy(&value, entry->bytes.data() + i * sizeof value, sizeof value);
        if (field.valid != nullptr && !field.valid(value)) fail_damaged(name, value);
      }
      loaded[i * width + static_cast<std::size_t>(field.index)] = value;
    }
  }
  if (records.check == nullptr) return loaded;
  try {
    records.check(loaded);
  } catch (const OptionError& error) {
    fail(message("the rate or damping in the file does not go with the options: ", error.what()));
  }
  return loaded;
}

std::vector<LoadedState::Numbers> Reader::read(const SavedTensors& tensors) {
  std::vector<LoadedState::Numbers> loaded;
  const DataType type = data_type(state_.parameters.type());
  for (const Segment segment : tensors.segments) {
    const std::string& tensor = tensors_[static_cast<std::size_t>(segment.index)];
    const Entry* entry = find(optimizer_entry(tensors.name + '.' + tensor), type,
                              shape_of(state_.parameters.tensor(segment)), !tensors.missing);
    loaded.push_back({.fill = tensors.missing.value_or(0)});
    if (entry != nullptr) loaded.back().bytes = entry->bytes;
  }
  return loaded;
}

std::int64_t Reader::read(const SavedCounter& counter) {
  const std::string name = optimizer_entry(counter.name);
  const Entry* entry = find(name, DataType::i64, {}, !counter.missing);
  if (entry == nullptr) return *counter.missing;
  std::int64_t value = 0;
  std::memcpy(&value, entry->bytes.data(), sizeof value);
  const auto as_double = static_cast<double>(value);
  if (!detail::is_count(as_double)) fail_damaged(name, as_double);
  return value;
}

void Reader::require_nothing_unknown() const {
  for (const auto& [name, entry] : file_.entries()) {
    if (!name.starts_with(optimizer_prefix) || known_.contains(name)) continue;
    fail(message("this version does not know the entry \"", name, "\" (",
                 in_words(entry.type, entry.shape), "); ", writer()));
  }
}

LoadedState Reader::read() {
  require_same_optimizer();
  LoadedState loaded;
  const std::string* saved = file_.find_text(parameters_key);
  if (saved == nullptr || *saved != no_parameters) {
    require_same_parameters();
    for (const std::string& name : tensors_) loaded.parameters.push_back(file_.find(name)->bytes);
  }
  for (const SavedRecords& records : state_.records) loaded.records.push_back(read(records));
  for (const SavedTensors& tensors : state_.tensors) loaded.tensors.push_back(read(tensors));
  for (const SavedCounter& counter : state_.counters) loaded.counters.push_back(read(counter));
  require_nothing_unknown();
  return loaded;
}

}  // namespace

LoadedState read_optimizer(const CheckpointFile& file, const SavedState& state) {
  return Reader(file, state).read();
}

}  // namespace natgrad::io
