#include "trainer/program.hpp"

#include "natgrad/checkpoint.hpp"
#include "natgrad/error.hpp"
#include "natgrad/process.hpp"
#include "trainer/command_line.hpp"
#include "trainer/plan.hpp"
#include "trainer/progress.hpp"
#include "trainer/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace natgrad::trainer {

namespace {

constexpr int exit_ok = 0;
constexpr int exit_error = 2;
constexpr int exit_diverged = 3;

/// Prints one line, whatever an argument that it quotes may hold.
void print_error(std::string text) {
  std::fflush(stdout);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  fmt::print(stderr, "natgrad-train: {}\n", text);
}

int fail(std::string_view text, int code) noexcept {
  try {
    print_error(std::string(text));
  } catch (...) {
    // Nobody is left to tell.
  }
  return code;
}

/// Prints warnings, or drops them when the run is quiet.
std::function<void(std::string_view)> warner(const Settings& settings) {
  if (settings.is_on("--quiet")) return [](std::string_view) {};
  return [](std::string_view text) { print_error(std::string(text)); };
}

Context make_context(const Settings& settings) {
  const Context::Options options = {.allocator = {}, .on_warning = warner(settings)};
  const auto device = settings.get<std::optional<DeviceKind>>("--device");
  if (!device) return Context::best(options);
  return *device == DeviceKind::cpu ? Context::cpu(options) : Context::cuda(options);
}

void train_or_plan(const Settings& settings, Stopwatch& stopwatch) {
  if (settings.has("--threads")) {
    set_threads(static_cast<int>(settings.get<std::int64_t>("--threads")));
  }
  const Context context = make_context(settings);
  if (settings.is_on("--plan")) return print(plan(settings, context));
  const std::unique_ptr<Task> task = settings.task().make(settings, context);
  std::optional<SavedRun> saved;
  if (settings.has("--resume")) saved.emplace(settings.get<std::string>("--resume"), settings);
  MetricsFile metrics(settings.get_or<std::string>("--metrics", {}),
                      saved ? saved->state().metrics : 0);
  // The first checkpoint may be hours away: find out now whether it can be written.
  if (settings.has("--checkpoint")) require_writable(settings.get<std::string>("--checkpoint"));
  Progress progress(progress_style(settings.is_on("--quiet")));
  train(settings, *task, {metrics, progress, stopwatch, warner(settings)},
        saved ? &*saved : nullptr);
}

}  // namespace

int run(int argc, const char* const* argv) {
  Stopwatch stopwatch(Stopwatch::Clock::now());
  try {
    CommandLine line;
    if (const auto text = parse_command_line(argc, argv, line)) {
      print(*text);
      return exit_ok;
    }
    train_or_plan(Settings(line), stopwatch);
    return exit_ok;
  } catch (const StepFailed& error) {
    return fail(error.what(), exit_diverged);
  } catch (const Diverged& error) {
    return fail(error.what(), exit_diverged);
  } catch (const std::bad_alloc&) {
    return fail("not enough memory", exit_error);
  } catch (const std::exception& error) {
    return fail(error.what(), exit_error);
  }
}

}  // namespace natgrad::trainer
