#include "trainer/metrics.hpp"

#include "core/message.hpp"
#include "io/bytes.hpp"
#include "natgrad/error.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace natgrad::trainer {

namespace {

[[noreturn]] void throw_unwritable(const std::string& path) {
  throw FileError(detail::message(path, ": cannot write metrics: ", std::strerror(errno)));
}

nlohmann::ordered_json to_json(const Record& record) {
  nlohmann::ordered_json line;
  line["step"] = record.step;
  line["epoch"] = record.epoch;
  line["seconds"] = record.seconds;
  line["evaluation_seconds"] = record.evaluation_seconds;
  visit_figures(record, [&](const char* name, const std::optional<double>& value) {
    if (value) line[name] = *value;
  });
  if (record.outcome) line["outcome"] = to_string(*record.outcome);
  if (record.is_final) line["final"] = true;
  return line;
}

}  // namespace

MetricsFile::MetricsFile(const std::string& path, Kept kept) : path_(path) {
  if (path_.empty()) return;
  file_ = io::Descriptor(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  struct stat status {};
  if (!file_ || fstat(*file_, &status) != 0) throw_unwritable(path_);
  can_be_cut_ = S_ISREG(status.st_mode);
  if (!can_be_cut_ || status.st_size == 0) return;
  length_ = kept.value_or(status.st_size);
  if (status.st_size < length_) {
    throw FileError(detail::message(path_, ": has ", status.st_size,
                                    " bytes, at the checkpoint "
                                    "it had ",
                                    length_, ": are these the metrics of another run?"));
  }
}

void MetricsFile::begin() {
  if (can_be_cut_ && ftruncate(*file_, length_) != 0) throw_unwritable(path_);
}

void MetricsFile::write(const Record& record) {
  if (!file_) return;
  const std::string line = to_json(record).dump() + '\n';
  if (!file_.write(io::bytes_of(line))) throw_unwritable(path_);
  length_ += static_cast<std::int64_t>(line.size());
}

MetricsFile::Kept MetricsFile::synchronize() const {
  if (!file_) return std::nullopt;
  if (can_be_cut_ && fsync(*file_) != 0) throw_unwritable(path_);
  return length_;
}

}  // namespace natgrad::trainer
