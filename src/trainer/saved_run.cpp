#include "trainer/saved_run.hpp"

#include "core/message.hpp"
#include "io/bytes.hpp"
#include "natgrad/error.hpp"
#include "trainer/run_values.hpp"

#include <optional>
#include <string>
#include <vector>

namespace natgrad::trainer {

namespace {

using detail::message;

const std::string options_blob = "natgrad-train options";
const std::string state_blob = "natgrad-train state";

void write(io::ByteWriter& out, const std::optional<double>& value) {
  out.number(static_cast<std::int8_t>(value.has_value()));
  out.number(value.value_or(0));
}

std::optional<double> read_optional(io::ByteReader& in) {
  const bool given = in.number<std::int8_t>() != 0;
  const auto value = in.number<double>();
  return given ? std::optional(value) : std::nullopt;
}

void write(io::ByteWriter& out, const Record& record) {
  out.number(record.step);
  out.number(record.epoch);
  out.number(record.seconds);
  out.number(record.evaluation_seconds);
  visit_figures(record, [&](const char*, const auto& figure) { write(out, figure); });
  out.number(record.outcome ? static_cast<std::int64_t>(*record.outcome) : -1);
}

Record read_record(io::ByteReader& in) {
  Record record;
  record.step = in.number<std::int64_t>();
  record.epoch = in.number<std::int64_t>();
  record.seconds = in.number<double>();
  record.evaluation_seconds = in.number<double>();
  visit_figures(record, [&](const char*, auto& figure) { figure = read_optional(in); });
  const auto outcome = in.number<std::int64_t>();
  if (outcome >= 0) record.outcome = static_cast<Outcome>(outcome);
  return record;
}

std::vector<std::byte> to_bytes(const RunState& state) {
  io::ByteWriter out;
  write(out, state.last);
  out.number(state.batches);
  out.number(state.draws);
  out.number(state.train_samples);
  out.number(state.test_samples);
  out.number(state.metrics.value_or(-1));
  return out.take();
}

RunState read_state(io::ByteReader in) {
  RunState state;
  state.last = read_record(in);
  state.batches = in.number<std::int64_t>();
  state.draws = in.number<std::int64_t>();
  state.train_samples = in.number<std::int64_t>();
  state.test_samples = in.number<std::int64_t>();
  if (const auto length = in.number<std::int64_t>(); length >= 0) state.metrics = length;
  in.end();
  return state;
}

std::vector<NamedValue> read_options(io::ByteReader in) {
  std::vector<NamedValue> values(in.number<std::uint8_t>());
  for (auto& [name, value] : values) {
    name = in.text();
    value = in.text();
  }
  in.end();
  return values;
}

}  // namespace

Blobs to_blobs(const Options& options, const RunState& state) {
  const std::vector<NamedValue> values = run_values(options);
  io::ByteWriter out;
  out.number(static_cast<std::uint8_t>(values.size()));
  for (const auto& [name, value] : values) {
    out.text(name);
    out.text(value);
  }
  return {{options_blob, out.take()}, {state_blob, to_bytes(state)}};
}

SavedRun::SavedRun(const Options& options) : file_(options.resume_file) {
  const Blobs& blobs = file_.blobs();
  const auto blob = [&](const std::string& name) {
    const auto found = blobs.find(name);
    if (found == blobs.end()) {
      throw FileError(message(file_.path(), ": is no run of natgrad-train"));
    }
    return io::ByteReader(found->second, message(file_.path(), ": \"", name, '"'));
  };
  require_same_run(file_.path(), read_options(blob(options_blob)), run_values(options));
  state_ = read_state(blob(state_blob));
  if (state_.last.step < 1 || state_.batches < 1 || state_.draws < 0) {
    throw FileError(message(file_.path(), ": the run in it has not begun"));
  }
}

void SavedRun::require_fits(std::int64_t train_samples, std::int64_t test_samples,
                            std::int64_t total_steps) const {
  if (state_.train_samples != train_samples || state_.test_samples != test_samples) {
    throw FileError(message(file_.path(), ": the run has ", state_.train_samples,
                            " images to train on and ", state_.test_samples, " to test, here are ",
                            train_samples, " and ", test_samples));
  }
  if (state_.last.step > total_steps) {
    throw OptionError(message("--epochs or --steps: the run in ", file_.path(), " is at step ",
                              state_.last.step, " already, this one would end at step ",
                              total_steps));
  }
}

}  // namespace natgrad::trainer
