#include "trainer/data/csv_dataset.hpp"

#include "natgrad/error.hpp"
#include "trainer/data/csv.hpp"
#include "trainer/data/moments.hpp"
#include "trainer/likelihoods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace natgrad::trainer {

namespace {

using Columns = std::vector<std::int64_t>;
using Rows = std::span<const std::int32_t>;

/// All columns that are not among `targets`.
Columns inputs_beside(const CsvTable& table, const Columns& targets) {
  Columns inputs;
  for (std::int64_t column = 0; column < table.columns(); ++column) {
    if (std::ranges::find(targets, column) == targets.end()) inputs.push_back(column);
  }
  if (inputs.empty()) {
    throw FileError(table.file + ": has no column beside the targets, to predict them from");
  }
  return inputs;
}

void require_support(const CsvTable& table, const Columns& targets, const TrainedLikelihood& row) {
  for (std::int64_t n = 0; n < table.rows(); ++n) {
    for (const std::int64_t column : targets) {
      if (row.supports(table.at(n, column))) continue;
      throw FileError(fmt::format("{}: {} is no target of --likelihood {}: expected {}",
                                  table.place(n, column), table.at(n, column), row.name,
                                  row.support));
    }
  }
}

/// Labels must be 0 to C - 1, each in the file: another numbering would train outputs that mean
/// nothing.
void require_classes(const CsvTable& table, std::int64_t column) {
  std::vector<double> labels;
  for (std::int64_t n = 0; n < table.rows(); ++n) labels.push_back(table.at(n, column));
  std::ranges::sort(labels);
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  for (std::size_t c = 0; c < labels.size(); ++c) {
    if (labels[c] == static_cast<double>(c)) continue;
    throw FileError(
        fmt::format("{}: classes are numbered from 0, and no row has class {} where "
                    "{} has one",
                    table.place(0, column), c, labels.back()));
  }
  if (labels.size() < 2) throw FileError(table.place(0, column) + ": every row has class 0");
}

/// How the numbers of one column are written.
struct Scale {
  double mean = 0;
  double deviation = 1;  // 0: all become 0

  double operator()(double x) const { return deviation == 0 ? 0 : (x - mean) / deviation; }
};

Scale scale_of(const CsvTable& table, std::int64_t column, Rows rows) {
  const Moments moments = moments_of(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i) {
    return table.at(rows[static_cast<std::size_t>(i)], column);
  });
  return {.mean = moments.mean, .deviation = moments.deviation};
}

/// Columns of the table and their scales.
struct Selection {
  Columns columns;
  std::vector<Scale> scales;

  std::vector<double> rows_of(const CsvTable& table, Rows rows, ElementType precision) const;
};

std::vector<double> Selection::rows_of(const CsvTable& table, Rows rows,
                                       ElementType precision) const {
  const double most = precision == ElementType::float32
                          ? static_cast<double>(std::numeric_limits<float>::max())
                          : std::numeric_limits<double>::max();
  std::vector<double> numbers;
  numbers.reserve(rows.size() * columns.size());
  for (const std::int32_t row : rows) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const double number = scales[i](table.at(row, columns[i]));
      if (!(std::abs(number) <= most)) {
        throw FileError(fmt::format("{}: {} is too large here", table.place(row, columns[i]),
                                    table.at(row, columns[i])));
      }
      numbers.push_back(number);
    }
  }
  return numbers;
}

Selection select_inputs(const CsvTable& table, const Columns& columns, Rows train, bool raw,
                        std::vector<std::string>& warnings) {
  Selection inputs = {.columns = columns, .scales = std::vector<Scale>(columns.size())};
  if (raw) return inputs;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    inputs.scales[i] = scale_of(table, columns[i], train);
    if (inputs.scales[i].deviation > 0) continue;
    warnings.push_back(
        fmt::format("{}: column {} (\"{}\") is constant in the training set, {}: it "
                    "becomes zeros",
                    table.file, columns[i] + 1, table.names[static_cast<std::size_t>(columns[i])],
                    inputs.scales[i].mean));
  }
  return inputs;
}

Selection select_targets(const CsvTable& table, const Columns& columns, Rows train, bool raw,
                         const TrainedLikelihood& likelihood) {
  Selection targets = {.columns = columns, .scales = std::vector<Scale>(columns.size())};
  if (!likelihood.targets_have_a_unit) return targets;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Scale scale = scale_of(table, columns[i], train);
    if (scale.deviation == 0) {
      throw FileError(fmt::format("{}: is {} in the whole training set: there is nothing to learn",
                                  table.place(0, columns[i]), scale.mean));
    }
    if (!raw) targets.scales[i] = scale;
  }
  return targets;
}

Examples examples_of(std::vector<double> inputs, std::vector<double> targets, std::size_t count,
                     bool integer_targets) {
  Examples examples = {
      .inputs = std::move(inputs), .targets = {}, .count = static_cast<std::int64_t>(count)};
  if (integer_targets) {
    examples.targets = std::vector<std::int32_t>(targets.begin(), targets.end());
  } else {
    examples.targets = std::move(targets);
  }
  return examples;
}

}  // namespace

Dataset load_csv(const std::string& path, const CsvOptions& options) {
  const TrainedLikelihood& likelihood = row_of(options.likelihood);
  const CsvTable table = read_csv(path);
  const Columns target_columns = table.find(options.targets);
  const auto columns = static_cast<std::int64_t>(target_columns.size());
  if (likelihood.has_one_target && columns > 1) {
    throw OptionError(fmt::format("--target {}: --likelihood {} has one target", options.targets,
                                  likelihood.name));
  }
  if (table.rows() < 2 || table.rows() > std::numeric_limits<std::int32_t>::max()) {
    throw FileError(fmt::format("{}: {} rows, expected from 2 to 2^31 - 1", path, table.rows()));
  }
  require_support(table, target_columns, likelihood);
  if (likelihood.has_one_target) require_classes(table, target_columns.front());

  Dataset data;
  data.name = "csv " + path;
  data.samples = "rows";
  data.checksum = table.checksum();
  data.likelihood = options.likelihood;
  data.sigma = options.sigma;
  const Split split = divide(table.rows(), options.split);
  const Selection inputs = select_inputs(table, inputs_beside(table, target_columns), split.train,
                                         options.raw, data.warnings);
  const Selection targets =
      select_targets(table, target_columns, split.train, options.raw, likelihood);
  const auto train = targets.rows_of(table, split.train, options.precision);
  const auto test = targets.rows_of(table, split.test, options.precision);
  std::vector<double> all = train;
  all.insert(all.end(), test.begin(), test.end());

  data.inputs = static_cast<std::int64_t>(inputs.columns.size());
  data.targets = columns;
  data.outputs = likelihood.outputs({all, columns});
  // Errors of several targets have no unit in common: theirs is the deviation of each.
  if (columns == 1) data.error_unit = targets.scales.front().deviation;
  data.first_outputs = likelihood.link_of_mean({train, columns}, data.outputs);
  data.train = examples_of(inputs.rows_of(table, split.train, options.precision), train,
                           split.train.size(), likelihood.has_one_target);
  data.test = examples_of(inputs.rows_of(table, split.test, options.precision), test,
                          split.test.size(), likelihood.has_one_target);
  return data;
}

}  // namespace natgrad::trainer
