#pragma once

#include "trainer/data/dataset.hpp"
#include "trainer/tasks/task.hpp"

#include <functional>

namespace natgrad::trainer {

/// The row of a task that trains a fully connected net with softmax outputs on labelled images.
/// `load` reads the images. The caller adds name, help, further options and defaults.
TaskRow classification_task(const std::function<Dataset(const Settings&)>& load);

}  // namespace natgrad::trainer
