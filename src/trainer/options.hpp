#pragma once

#include "natgrad/natural_gradient.hpp"
#include "natgrad/types.hpp"
#include "optimizer/first_order.hpp"
#include "trainer/command_line.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace natgrad::trainer {

enum class Task : std::uint8_t { digits, mnist };

/// The natural gradient, and what its Fisher matrix is made of.
struct NaturalMethod {
  NaturalGradient::Options optimizer = {};
  FisherKind fisher = FisherKind::empirical;  // or sampled
  std::int64_t draws = 1;                     // of a sampled one, for each sample
};

using Method = std::variant<NaturalMethod, FirstOrder::Options>;

/// One run, with every default filled in.
struct Options {
  Task task = Task::digits;
  std::string directory;    // of mnist
  std::uint64_t split = 0;  // of digits

  Method method;
  std::vector<std::int64_t> hidden;
  Activation activation = Activation::tanh;

  std::int64_t batch = 0;
  std::optional<std::int64_t> epochs;
  std::optional<std::int64_t> steps;  // one of both is set
  std::uint64_t seed = 0;

  std::optional<DeviceKind> device;  // none: the best there is
  ElementType precision = ElementType::float32;
  bool allow_tf32 = false;
  std::optional<std::int64_t> threads;

  std::optional<std::int64_t> evaluate_every;  // steps; none: at the end of every epoch
  std::string metrics_file;                    // empty: none, as are the next two
  std::string checkpoint_file;                 // to write
  std::string resume_file;                     // to begin with
  bool quiet = false;
  bool plan = false;  // in place of training
};

/// Fills in the defaults. Throws `OptionError` for options that exclude each other, and for one
/// without a meaning for the chosen task and optimizer.
Options resolve(const CommandLine& line);

/// A rate as --rate takes it.
std::string in_words(const Rate& rate);

/// The defaults and the rules of a run, as --help tells them.
std::string help_footer();

}  // namespace natgrad::trainer
