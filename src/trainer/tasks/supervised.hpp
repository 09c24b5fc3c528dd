#pragma once

#include "trainer/data/dataset.hpp"
#include "trainer/tasks/task.hpp"

#include <functional>

namespace natgrad::trainer {

/// The row of a task that trains a fully connected net, or without hidden layers a generalized
/// linear model, to predict targets from inputs. `load` reads both. The caller adds name, help,
/// further options and defaults.
TaskRow supervised_task(const std::function<Dataset(const Settings&)>& load);

}  // namespace natgrad::trainer
