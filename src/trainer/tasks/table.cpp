#include "trainer/tasks/task.hpp"

namespace natgrad::trainer {

// Each in the file of its name.
TaskRow digits_task();
TaskRow mnist_task();
TaskRow csv_task();

const std::vector<TaskRow>& task_table() {
  static const std::vector<TaskRow> table = {digits_task(), mnist_task(), csv_task()};
  return table;
}

}  // namespace natgrad::trainer
