#include "trainer/tasks/supervised.hpp"

namespace natgrad::trainer {

TaskRow digits_task();

TaskRow digits_task() {
  TaskRow row = supervised_task(
      [](const Settings& s) { return load_digits(s.get<std::uint64_t>("--split")); });
  row.name = "digits";
  row.help = "1,797 images of 8 x 8 pixels, built in";
  row.takes.emplace_back("--split");
  // Few images: without decay the test loss doubles after the fifth epoch.
  row.defaults = {
      {"--hidden", "128"}, {"--batch", "479"}, {"--epochs", "30"}, {"--weight-decay", "0.1"}};
  return row;
}

}  // namespace natgrad::trainer
