#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>

namespace natgrad::trainer {

namespace {

std::string in_words(const std::vector<NamedValue>& values) {
  std::string text;
  for (const auto& [name, value] : values) text += fmt::format(" {} {}", name, value);
  return text;
}

}  // namespace

std::string help_footer() {
  std::string text = "Defaults:\n";
  for (const TaskRow& task : task_table()) {
    text += fmt::format("  {:<8}{}\n", task.name, in_words(task.defaults));
  }
  for (const OptimizerDefaults& row : optimizer_defaults()) {
    const std::string condition = row.condition.empty() ? "" : ' ' + row.condition + ':';
    text += fmt::format("  {:<8}{}{}\n", row.optimizer, condition, in_words(row.values));
  }
  return text + R"(
--fisher sampled makes the Fisher matrix of targets drawn from the model, a fresh --fisher-draws for
every sample and step, and takes the gradient from the data. --fisher exact takes the expectation
itself: a row for each output of a sample. --step-rule kl shortens a step whose predicted KL
divergence (predicted_kl, not of empirical rows) would be more than --kl-radius. With --trials,
--step-rule backtracking and --damping lm a step measures the loss of its batch before and after
(loss_before, loss_after), and is taken back where it grew. --damping X:FACTOR:FLOOR begins at X and
is multiplied by FACTOR with every accepted step, down to FLOOR; lm begins at 0.03. A rate that falls
is 0 behind the last step of --epochs or --steps; a run that is resumed with more of them
falls over these.
csv reads a line of names and lines of numbers. Columns are standardized by the training set, its
first four fifths in the order of --split, unless --raw; of targets only those of gaussian and
gaussian-scale. --target and --likelihood have no default. The last weights begin at 0 and
the last bias at the link of the targets' mean.
--plan prints the memory that the optimizer, the model and the data take, and ends. It goes with the
natural optimizer and without --quiet.
An epoch is cut into the fewest batches that are no larger than --batch and differ by at most one
sample. --steps without --epochs takes as many epochs as it needs.
--metrics writes one JSON object a line, for every step (loss and figure are the batch's, before the
step) and for every evaluation (over the whole test set). Beside the loss stands the accuracy, or
the root mean square error of a target in its own unit (rmse). seconds counts from the start of the program
without the time spent in evaluations; evaluation_seconds counts that. A number that is not finite is
null, as error_bound of a refined step is at damping 0, where it is not known. On a GPU nothing waits for a step: the
figures of some are fetched together, and share their seconds.
--checkpoint replaces FILE at every evaluation and at the end: a run that is killed leaves the last one.
--resume goes on bitwise as if the run had not stopped, on the same machine with as many threads. Its
FILE must be there, and the options must be those of that run, but for --epochs, --steps,
--evaluate-every, --device, --threads and files. More epochs or steps train on; a run that is at its
end prints its final figures. --metrics is cut back to what it held at the checkpoint and goes on
there; a file that is missing or empty begins there, and a shorter one is an error. --resume alone
writes no checkpoint: give --checkpoint, too, usually the same FILE.
Exit codes: 0; 2 for an error in options or files; 3 for a run that diverged: ten steps in a row
failed, or the loss is not finite. A run whose last steps failed, fewer than ten, ends with 0 and a
warning on standard error.)";
}

}  // namespace natgrad::trainer
