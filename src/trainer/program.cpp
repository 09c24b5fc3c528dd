#include "trainer/program.hpp"

#include "backend/cpu/blas_environment.hpp"
#include "natgrad/checkpoint.hpp"
#include "natgrad/error.hpp"
#include "trainer/command_line.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/options.hpp"
#include "trainer/plan.hpp"
#include "trainer/progress.hpp"
#include "trainer/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>

namespace natgrad::trainer {

namespace {

constexpr int exit_ok = 0;
constexpr int exit_error = 2;
constexpr int exit_diverged = 3;

/// One line, whatever an argument that it quotes may hold.
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

Context make_context(const Options& options) {
  Context::Options context;
  if (!options.quiet) {
    context.on_warning = [](std::string_view text) { print_error(std::string(text)); };
  }
  if (!options.device) return Context::best(context);
  return *options.device == DeviceKind::cpu ? Context::cpu(context) : Context::cuda(context);
}

void train_or_plan(const Options& options, Stopwatch& stopwatch) {
  if (options.threads) set_threads(static_cast<int>(*options.threads));
  const Context context = make_context(options);
  const io::Dataset data = options.task == Task::digits ? io::load_digits(options.split)
                                                        : io::load_mnist(options.directory);
  if (options.plan) return print(plan(options, data, context));
  std::optional<SavedRun> saved;
  if (!options.resume_file.empty()) saved.emplace(options);
  MetricsFile metrics(options.metrics_file, saved ? saved->state().metrics : 0);
  // The first checkpoint may be hours away: try now whether it can be written.
  if (!options.checkpoint_file.empty()) require_writable(options.checkpoint_file);
  Progress progress(progress_style(options.quiet));
  train(options, data, context, {metrics, progress, stopwatch}, saved ? &*saved : nullptr);
}

}  // namespace

int run(int argc, const char* const* argv) {
  Stopwatch stopwatch(Stopwatch::Clock::now());
  try {
    CommandLine line;
    if (const auto text = parse_command_line(argc, argv, help_footer(), line)) {
      print(*text);
      return exit_ok;
    }
    train_or_plan(resolve(line), stopwatch);
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
