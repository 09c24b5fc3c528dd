#include "trainer/saved_run.hpp"

#include "natgrad/error.hpp"
#include "trainer/json_blob.hpp"

#include <fmt/format.h>

#include <limits>

namespace natgrad::trainer {

namespace {

const std::string settings_blob = "natgrad-train settings";
const std::string state_blob = "natgrad-train state";

Json to_json(const Figures& figures) {
  Json object = Json::object();
  for (const Figure& figure : figures) object[figure.name] = figure.value;
  return object;
}

/// A number that is not finite was written as null; which one it was is not told anywhere.
Figures read_figures(const BlobReader& state, const std::string& key) {
  const auto object = state.get<Json>(key);
  Figures figures;
  for (const auto& [name, value] : object.items()) {
    const bool is_number = value.is_number();
    figures.push_back({name, is_number ? value.template get<double>()
                                       : std::numeric_limits<double>::quiet_NaN()});
  }
  return figures;
}

RunState read_state(const BlobReader& state) {
  RunState run;
  Record& last = run.last;
  last.step = state.get<std::int64_t>("step");
  last.epoch = state.get<std::int64_t>("epoch");
  last.seconds = state.get<double>("seconds");
  last.evaluation_seconds = state.get<double>("evaluation_seconds");
  last.batch = read_figures(state, "batch");
  last.evaluation = read_figures(state, "evaluation");
  last.method = read_figures(state, "method");
  last.outcome = state.get<std::string>("outcome");
  last.failures_in_a_row = state.get<std::int64_t>("failures_in_a_row");
  if (state.object().contains("metrics")) run.metrics = state.get<std::int64_t>("metrics");
  return run;
}

std::vector<NamedValue> read_settings(const BlobReader& settings) {
  std::vector<NamedValue> values;
  for (const auto& [name, value] : settings.object().items()) {
    values.emplace_back(name, settings.get<std::string>(name));
  }
  return values;
}

}  // namespace

Blobs to_blobs(const Settings& settings, const RunState& state) {
  Json values = Json::object();
  for (const auto& [name, value] : settings.saved()) values[name] = value;
  const Record& last = state.last;
  Json run = {{"step", last.step},
              {"epoch", last.epoch},
              {"seconds", last.seconds},
              {"evaluation_seconds", last.evaluation_seconds},
              {"batch", to_json(last.batch)},
              {"evaluation", to_json(last.evaluation)},
              {"method", to_json(last.method)},
              {"outcome", last.outcome},
              {"failures_in_a_row", last.failures_in_a_row}};
  if (state.metrics) run["metrics"] = *state.metrics;
  return {{settings_blob, to_blob(values)}, {state_blob, to_blob(run)}};
}

SavedRun::SavedRun(const std::string& path, const Settings& settings) : checkpoint_(path) {
  const Blobs& blobs = checkpoint_.blobs();
  require_same_run(path, read_settings({blobs, settings_blob, path}), settings.saved());
  state_ = read_state({blobs, state_blob, path});
  if (state_.last.step < 1) throw FileError(path + ": the run in it has not begun");
}

void SavedRun::require_before(std::int64_t total_steps) const {
  if (state_.last.step <= total_steps) return;
  throw OptionError(
      fmt::format("--epochs or --steps: the run in {} is at step {} already, this one would end at "
                  "step {}",
                  checkpoint_.path(), state_.last.step, total_steps));
}

}  // namespace natgrad::trainer
