#pragma once

#include "natgrad/array.hpp"
#include "natgrad/checkpoint.hpp"
#include "natgrad/context.hpp"
#include "natgrad/memory_plan.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"
#include "trainer/figures.hpp"
#include "trainer/option_row.hpp"
#include "trainer/settings.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace natgrad::trainer {

/// Where a step's batch stands.
struct BatchPosition {
  std::int64_t samples = 0;
  std::int64_t epoch = 0;   ///< from 1; 0 of a task without epochs
  bool ends_epoch = false;  ///< an evaluation is due, unless --evaluate-every says otherwise
  std::int64_t step = 0;    ///< of a task that counts its steps, for what it says of one
};

/// What a run trains: a model, the batches that its steps are taken from, and the figures that say
/// how good it is. The training loop knows tasks only by this interface; whether there are data,
/// labels or epochs is the task's affair.
///
/// A step calls `next`, then `batch` or `gradient`, and moves the parameters. `evaluate` comes
/// between steps and may use the model's buffers.
class Task {
 public:
  virtual ~Task() = default;

  virtual const Parameters& parameters() const = 0;
  /// Says in one line what is trained on what, for the top of the output.
  virtual std::string headline() const = 0;
  /// What the user should know of the data before the run, a line each.
  virtual std::vector<std::string> warnings() const { return {}; }
  /// Steps a pass over the data; 0 of a task without epochs, which does not take --epochs.
  virtual std::int64_t steps_per_epoch() const = 0;

  /// How many numbers `next` leaves of a step.
  virtual std::int64_t numbers() const = 0;
  /// Takes the next batch through the model, and writes the numbers that its figures follow from,
  /// at the parameters before the step, to `numbers`: float64 (numbers()) on the device. A task
  /// whose work is on the device enqueues all of it and does not wait.
  virtual BatchPosition next(const View& numbers) = 0;
  /// The figures of a step from the numbers that `next` left of it. The run has diverged where one
  /// is not finite. The first one stands on the progress line.
  virtual Figures figures(std::span<const double> numbers, const BatchPosition& batch) const = 0;

  /// The batch of `next` as a natural step takes it. What it refers to is the task's, and valid
  /// until the next `next`.
  virtual natgrad::Batch batch() = 0;
  /// The gradient of the batch of `next`, uphill, as a first-order step takes it: P contiguous
  /// numbers of the parameters' type. Does not wait.
  virtual void gradient(const View& gradient) = 0;

  /// Measures how good the parameters are. Waits. The run has diverged where a figure is not
  /// finite.
  virtual Figures evaluate() = 0;
  /// An evaluation for the progress line: "test loss 0.1234, accuracy 97.00 %".
  virtual std::string in_words(const Figures& evaluation) const = 0;
  /// The figure that counts, for the last line: "test accuracy 97.00 %".
  virtual std::string summary(const Figures& evaluation) const = 0;

  /// What the next step depends on beside parameters and optimizer (place in the data, random
  /// numbers, environments), and what tells other data apart, by name. Waits.
  virtual Blobs save() const = 0;
  /// Goes on where `save` stood. `file` begins error texts. Throws `FileError` for other data and
  /// for blobs that `save` did not write.
  virtual void restore(const Blobs& blobs, const std::string& file) = 0;
};

/// What --plan needs to know of a run that it does not begin.
struct TaskMemory {
  ScoresShape batch;                    ///< the largest that a step takes
  std::vector<Shape> tensors;           ///< of the parameters, in their order
  std::vector<MemoryPlan::Item> items;  ///< what the task holds on the device
};

/// One task of natgrad-train: a row of the table.
struct TaskRow {
  std::string name;
  std::string help;
  std::string operand = {};        ///< what follows TASK, "DIR"; empty: nothing does
  std::string operand_help = {};   ///< "directory of ..."
  std::vector<std::string> takes;  ///< options of the program's table with `of_tasks` that it has
  std::vector<OptionRow> options;  ///< options that no other task has
  /// Options, also of the program, and their values as the command line takes them. A task without
  /// epochs needs --steps and --evaluate-every here.
  std::vector<NamedValue> defaults;
  /// Reads data, builds the model and stages both. Throws `FileError` and `OptionError`.
  std::function<std::unique_ptr<Task>(const Settings&, const Context&)> make;
  /// Throws as `make`, and `MemoryError` for more bytes than an address can count.
  std::function<TaskMemory(const Settings&, const Context&)> memory;

  /// "mnist DIR"
  std::string usage() const { return operand.empty() ? name : name + ' ' + operand; }
};

const std::vector<TaskRow>& task_table();

}  // namespace natgrad::trainer
