#include "trainer/option_types.hpp"
#include "trainer/tasks/classification.hpp"

namespace natgrad::trainer {

TaskRow digits_task();

TaskRow digits_task() {
  TaskRow row = classification_task(
      [](const Settings& s) { return load_digits(s.get<std::uint64_t>("--split")); });
  row.name = "digits";
  row.help = "1,797 images of 8 x 8 pixels, built in";
  row.options = {{.name = "--split",
                  .group = "Run",
                  .type = number(key, "N"),
                  .help = "key of the digits' training and test sets",
                  .otherwise = "0"}};
  // Few images: without decay the test loss doubles after the fifth epoch.
  row.defaults = {
      {"--hidden", "128"}, {"--batch", "479"}, {"--epochs", "30"}, {"--weight-decay", "0.1"}};
  return row;
}

}  // namespace natgrad::trainer
