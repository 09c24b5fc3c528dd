#include "trainer/metrics.hpp"

#include "natgrad/error.hpp"
#include "trainer/json_blob.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace natgrad::trainer {

namespace {

[[noreturn]] void throw_unwritable(const std::string& path) {
  throw FileError(fmt::format("{}: cannot write metrics: {}", path, std::strerror(errno)));
}

Json to_json(const Record& record) {
  Json line;
  line["step"] = record.step;
  if (record.epoch > 0) line["epoch"] = record.epoch;
  line["seconds"] = record.seconds;
  line["evaluation_seconds"] = record.evaluation_seconds;
  for (const Figures* figures : {&record.batch, &record.evaluation, &record.method}) {
    for (const Figure& figure : *figures) line[figure.name] = figure.value;
  }
  if (!record.outcome.empty()) line["outcome"] = record.outcome;
  if (record.is_final) line["final"] = true;
  return line;
}

}  // namespace

MetricsFile::MetricsFile(const std::string& path, Kept kept) : path_(path) {
  if (path_.empty()) return;
  // "e": closed in a program that this one may become.
  file_.reset(std::fopen(path_.c_str(), "ae"));
  struct stat status {};
  if (!file_ || fstat(fileno(file_.get()), &status) != 0) throw_unwritable(path_);
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);
  can_be_cut_ = S_ISREG(status.st_mode);
  if (!can_be_cut_ || status.st_size == 0) return;
  length_ = kept.value_or(status.st_size);
  if (status.st_size < length_) {
    throw FileError(fmt::format(
        "{}: has {} bytes, at the checkpoint it had {}: are these the metrics of another run?",
        path_, status.st_size, length_));
  }
}

void MetricsFile::begin() {
  if (can_be_cut_ && ftruncate(fileno(file_.get()), length_) != 0) throw_unwritable(path_);
}

void MetricsFile::write(const Record& record) {
  if (!file_) return;
  const std::string line = to_json(record).dump() + '\n';
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size()) throw_unwritable(path_);
  length_ += static_cast<std::int64_t>(line.size());
}

MetricsFile::Kept MetricsFile::synchronize() const {
  if (!file_) return std::nullopt;
  if (can_be_cut_ && fsync(fileno(file_.get())) != 0) throw_unwritable(path_);
  return length_;
}

}  // namespace natgrad::trainer
