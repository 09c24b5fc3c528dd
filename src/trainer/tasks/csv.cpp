#include "natgrad/error.hpp"
#include "trainer/data/csv_dataset.hpp"
#include "trainer/likelihoods.hpp"
#include "trainer/option_types.hpp"
#include "trainer/tasks/supervised.hpp"

namespace natgrad::trainer {

TaskRow csv_task();

namespace {

Choices<Likelihood> likelihoods() {
  Choices<Likelihood> choices;
  for (const TrainedLikelihood& row : trained_likelihoods())
    choices.emplace_back(row.name, row.likelihood);
  return choices;
}

std::string gaussian_only(const Settings& s) {
  const bool is_gaussian =
      s.has("--likelihood") && s.get<Likelihood>("--likelihood") == Likelihood::gaussian;
  return is_gaussian ? "" : "without --likelihood gaussian";
}

Dataset load(const Settings& settings) {
  for (const char* name : {"--target", "--likelihood"}) {
    if (!settings.has(name)) {
      throw OptionError(
          fmt::format("{} needs --target COLUMN, which to predict, and --likelihood, "
                      "its distribution",
                      settings.task().name));
    }
  }
  return load_csv(settings.operand(), {.targets = settings.get<std::string>("--target"),
                                       .likelihood = settings.get<Likelihood>("--likelihood"),
                                       .sigma = settings.get_or("--sigma", 1.0),
                                       .raw = settings.is_on("--raw"),
                                       .split = settings.get<std::uint64_t>("--split"),
                                       .precision = settings.get<ElementType>("--precision")});
}

}  // namespace

TaskRow csv_task() {
  const std::string group = "Data";
  TaskRow row = supervised_task(load);
  row.name = "csv";
  row.help = "a table of numbers";
  row.operand = "FILE";
  row.operand_help = "file of comma-separated values, plain or gzip";
  row.takes.emplace_back("--split");
  row.options = {{.name = "--target",
                  .group = group,
                  .type = column_names(),
                  .help = "name of the column to predict, or names with commas between them; all "
                          "others are inputs"},
                 {.name = "--likelihood",
                  .group = group,
                  .type = choice(likelihoods()),
                  .help = "distribution of the target"},
                 {.name = "--sigma",
                  .group = group,
                  .type = number(positive, "X"),
                  .help = "standard deviation of gaussian, in deviations of the target; with --raw "
                          "in its unit",
                  .otherwise = "1",
                  .no_meaning = gaussian_only},
                 {.name = "--raw",
                  .group = group,
                  .type = flag(),
                  .help = "leave the columns as they are (default: less their mean, in units of "
                          "their deviation)"}};
  // Outputs are few, so that exact rows are cheap; with those of the data a deviation or a rate
  // that is learned runs away, with drawn ones too.
  row.defaults = {{"--fisher", "exact"},
                  {"--hidden", "32"},
                  {"--batch", "500"},
                  {"--epochs", "15"},
                  {"--weight-decay", "0"}};
  return row;
}

}  // namespace natgrad::trainer
