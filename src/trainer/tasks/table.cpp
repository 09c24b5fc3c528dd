#include "trainer/tasks/task.hpp"

namespace natgrad::trainer {

// Each in the file of its name.
TaskRow cartpole_task();
TaskRow density_task();
TaskRow digits_task();
TaskRow ising_task();
TaskRow mnist_task();
TaskRow csv_task();
TaskRow poisson_task();

const std::vector<TaskRow>& task_table() {
  static const std::vector<TaskRow> table = {digits_task(),   mnist_task(),   csv_task(),
                                             cartpole_task(), density_task(), poisson_task(),
                                             ising_task()};
  return table;
}

}  // namespace natgrad::trainer
