#pragma once

#include "natgrad/array.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// What a checkpoint holds of an optimizer beside the parameters: a list of named values and where
// they lie. The checkpoint writes each as an entry of its own, "optimizer.NAME", and finds it again
// by that name. A value that a later version adds says what it is in files that lack it, so that
// they can still be read.

namespace natgrad::detail {

/// Whether a double can be a counter: a whole number from 0 to 2^53, up to which doubles are exact.
inline bool is_count(double value) {
  return value >= 0 && value <= 0x1p53 && value == std::floor(value);
}

/// One double of a record, by name.
struct SavedField {
  std::string name;
  std::int64_t index = 0;  // among the doubles of the record
  /// The value where a file has no such entry because it was written before the field was added.
  /// None: such a file is refused.
  std::optional<double> missing = {};
  /// Whether the optimizer can work with a value; null: with any.
  bool (*valid)(double value) = nullptr;
};

/// Records of doubles on the device. Each field is an entry "optimizer.FIELD": a scalar where there
/// is one record, else a vector with one number a record. Fields that are not named here are not
/// saved, and are 0 after a checkpoint was loaded.
struct SavedRecords {
  std::vector<SavedField> fields;
  std::int64_t width = 0;  // doubles of one record
  /// None: one record, whose fields are scalars.
  std::optional<std::int64_t> count = {};
  /// (count, width) or (width) float64, contiguous; empty before the optimizer has allocated it.
  View device = {};
  /// Throws `OptionError` when records of a file do not go with the optimizer's options. It is
  /// called with the whole records, before anything changes; null: there is nothing to check.
  std::function<void(std::span<const double> records)> check = {};
};

/// A field of the struct `Record`, for a table.
template <class Record>
struct RecordField {
  const char* name = nullptr;
  double Record::*member = nullptr;
  std::optional<double> missing = {};
  bool (*valid)(double value) = nullptr;
};

/// Whether a table names as many fields as the record has.
template <class Record, std::size_t N>
constexpr bool names_every_field(const std::array<RecordField<Record>, N>&) {
  return sizeof(Record) == N * sizeof(double);
}

/// The entries of a struct of doubles. `prefix` stands before each field's name in the table, as in
/// "settings." and "rate"; the order of the table is of no consequence.
template <class Record, std::size_t N>
SavedRecords saved_records(const std::string& prefix,
                           const std::array<RecordField<Record>, N>& table, const View& device,
                           std::optional<std::int64_t> count = {}) {
  static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) % sizeof(double) == 0);
  SavedRecords records;
  records.width = sizeof(Record) / sizeof(double);
  records.count = count;
  records.device = device;
  const Record probe{};
  const auto* first = reinterpret_cast<const double*>(&probe);
  for (const RecordField<Record>& field : table) {
    records.fields.push_back(
        {prefix + field.name, &(probe.*field.member) - first, field.missing, field.valid});
  }
  return records;
}

/// An array with numbers for some tensors of the parameters, in the order of these tensors and of
/// the parameters' type. Each tensor's part is an entry "optimizer.NAME.TENSOR" in the tensor's
/// shape.
struct SavedTensors {
  std::string name;
  std::vector<Segment> segments;
  View numbers = {};  // contiguous; empty before the optimizer has allocated it
  /// Every number of a tensor that has no entry in the file; none: the file is refused.
  std::optional<double> missing = {};
};

/// A counter in host memory: an int64 entry "optimizer.NAME", from 0 to 2^53.
struct SavedCounter {
  std::string name;
  std::int64_t* value = nullptr;
  std::optional<std::int64_t> missing = {};
};

struct SavedState {
  Parameters parameters;
  std::string optimizer;  // which one, in words; states of two do not fit each other
  std::vector<SavedRecords> records = {};
  std::vector<SavedTensors> tensors = {};
  std::vector<SavedCounter> counters = {};
};

/// What a checkpoint needs of `NaturalGradient` beyond its public interface.
struct OptimizerAccess {
  /// Before the optimizer has allocated, views are empty and everything else is as after it. Throws
  /// `ArgumentError` when the parameters have grown since the first step.
  static SavedState saved_state(const NaturalGradient& optimizer);
  /// Allocates what the first step does. Throws `MemoryError`, or `ArgumentError` when the
  /// parameters have grown since.
  static void allocate(const NaturalGradient& optimizer);
  /// Throws `ArgumentError` while a part of a batch is accumulated.
  static void require_between_steps(const NaturalGradient& optimizer);
  /// Called after the content of the saved state was replaced: takes the rate and damping in force
  /// into the options, and drops what was accumulated. Does not throw but for a driver that fails.
  static void adopt_saved_state(NaturalGradient& optimizer);
};

}  // namespace natgrad::detail
