#include "trainer/metrics.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>

namespace natgrad::trainer {

namespace {

[[noreturn]] void throw_unwritable(const std::string& path) {
  throw FileError(detail::message(path, ": cannot write metrics: ", std::strerror(errno)));
}

nlohmann::ordered_json to_json(const Record& record) {
  nlohmann::ordered_json line;
  const auto put = [&](const char* name, const std::optional<double>& value) {
    if (value) line[name] = *value;
  };
  line["step"] = record.step;
  line["epoch"] = record.epoch;
  line["seconds"] = record.seconds;
  line["evaluation_seconds"] = record.evaluation_seconds;
  put("loss", record.loss);
  put("accuracy", record.accuracy);
  put("test_loss", record.test_loss);
  put("test_accuracy", record.test_accuracy);
  put("damping", record.damping);
  put("rate", record.rate);
  put("quadratic_form", record.quadratic_form);
  put("residual", record.residual);
  put("error_bound", record.error_bound);
  if (record.outcome) line["outcome"] = to_string(*record.outcome);
  if (record.is_final) line["final"] = true;
  return line;
}

}  // namespace

MetricsFile::MetricsFile(const std::string& path) : path_(path) {
  if (path_.empty()) return;
  file_.open(path_, std::ios::trunc);
  if (!file_) throw_unwritable(path_);
}

void MetricsFile::write(const Record& record) {
  if (path_.empty()) return;
  file_ << to_json(record).dump() << std::endl;  // NOLINT(performance-avoid-endl): see the header
  if (!file_) throw_unwritable(path_);
}

}  // namespace natgrad::trainer
