#include "trainer/tasks/supervised.hpp"

namespace natgrad::trainer {

TaskRow mnist_task();

TaskRow mnist_task() {
  TaskRow row = supervised_task([](const Settings& s) { return load_mnist(s.operand()); });
  row.name = "mnist";
  row.help = "images in the form of MNIST";
  row.operand = "DIR";
  row.operand_help = "directory of its four IDX files, plain or gzip";
  row.defaults = {
      {"--hidden", "512,512"}, {"--batch", "4000"}, {"--epochs", "5"}, {"--weight-decay", "0"}};
  return row;
}

}  // namespace natgrad::trainer
