#include "trainer/progress.hpp"

#include "natgrad/error.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace natgrad::trainer {

namespace {

std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(seconds);
  return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

/// Returns the columns of the terminal, less the one behind the cursor.
std::size_t line_width() {
  winsize size{};
  constexpr std::size_t usual = 80;
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : usual) - 1;
}

bool can_rewrite_lines() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

void print(std::string_view text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) throw FileError("standard output: cannot be written");
}

Progress::Style progress_style(bool quiet) {
  if (quiet) return Progress::Style::silent;
  return can_rewrite_lines() ? Progress::Style::terminal : Progress::Style::lines;
}

Progress::~Progress() {
  // An error message may follow; it must not stand on the open line.
  if (line_is_open_) std::fputs("\n", stdout);
}

void Progress::begin(const std::string& headline, std::int64_t total_steps, const Record& start,
                     const std::string& evaluation) {
  total_steps_ = total_steps;
  begin_step_ = start.step;
  begin_seconds_ = start.seconds;
  evaluation_ = evaluation;
  if (style_ != Style::silent) print(headline + '\n');
}

void Progress::step(const Record& record) {
  if (style_ != Style::terminal) return;
  constexpr std::chrono::milliseconds readable{50};
  const Clock::time_point now = Clock::now();
  if (line_is_open_ && now - shown_ < readable) return;
  shown_ = now;
  line_is_open_ = true;
  const double step_seconds =
      (record.seconds - begin_seconds_) / static_cast<double>(record.step - begin_step_);
  std::string line = fmt::format("step {}/{}", record.step, total_steps_);
  if (!record.batch.empty()) {
    const Figure& first = record.batch.front();
    line += fmt::format("  {} {:.4f}", in_words(first.name), first.value);
  }
  if (!evaluation_.empty()) line += "  " + evaluation_;
  line += fmt::format("  {:.0f} ms a step  {} left", 1000 * step_seconds,
                      duration(step_seconds * static_cast<double>(total_steps_ - record.step)));
  // A longer one would wrap, and the next could not take its place.
  print(fmt::format("\r{}\x1b[K", line.substr(0, line_width())));
}

void Progress::evaluation(const Record& record, const std::string& words) {
  evaluation_ = words;
  if (style_ != Style::lines) return;
  const std::string epoch = record.epoch > 0 ? fmt::format("epoch {}  ", record.epoch) : "";
  print(fmt::format("{}step {}  {}  {}\n", epoch, record.step, words, duration(record.seconds)));
}

void Progress::finish(const Record& record, const std::string& summary) {
  if (style_ == Style::silent) return;
  end_line();
  print(fmt::format("{} after {} steps in {} (and {} of evaluations)\n", summary, record.step,
                    duration(record.seconds), duration(record.evaluation_seconds)));
}

void Progress::end_line() {
  if (line_is_open_) print("\r\x1b[K");
  line_is_open_ = false;
}

}  // namespace natgrad::trainer
