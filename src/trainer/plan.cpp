#include "trainer/plan.hpp"

#include "trainer/optimizers.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>

namespace natgrad::trainer {

namespace {

/// "3.25 MiB"
std::string readable(std::int64_t bytes) {
  constexpr double kilo = 1024;
  constexpr std::array units = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= kilo && unit + 1 < units.size(); ++unit) value /= kilo;
  return fmt::format("{} {}", std::round(100 * value) / 100, units[unit]);
}

/// Parameters of these shapes that nobody may read or write. A plan reads shapes alone, and a model
/// that does not fit is what it is asked about: on the CPU they have no memory. A device is asked
/// what lies at an address, so there they have.
class Outline {
 public:
  Outline(const Context& context, const std::vector<Shape>& tensors, ElementType type)
      : parameters_(context) {
    std::int64_t bytes = 0;
    for (const Shape shape : tensors) bytes += shape.size() * size_of(type);
    std::uintptr_t address = 64;
    if (context.device().kind != DeviceKind::cpu) {
      memory_ = context.array({bytes / 8 + 1, 1}, ElementType::float64);
      address = reinterpret_cast<std::uintptr_t>(memory_.view().data());
    }
    for (const Shape shape : tensors) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr)
      void* const data = reinterpret_cast<void*>(address);
      parameters_.add(View(data, type, shape, {.device = context.device()}));
      address += static_cast<std::uintptr_t>(shape.size() * size_of(type));
    }
  }
  const Parameters& parameters() const { return parameters_; }

 private:
  Array memory_;
  Parameters parameters_;
};

}  // namespace

std::string plan(const Settings& settings, const Context& context) {
  const TaskMemory task = settings.task().memory(settings, context);
  const Outline outline(context, task.tensors, settings.get<ElementType>("--precision"));
  // A schedule's length takes no memory.
  const NaturalGradient optimizer(outline.parameters(), natural_options(settings, 1));
  const MemoryPlan planned = optimizer.plan(task.batch);

  std::string text = planned.text();
  std::int64_t bytes = planned.bytes;
  const auto add_line = [&](const std::string& what, std::int64_t count) {
    text += fmt::format("{}: {} bytes, {}\n", what, count, readable(count));
  };
  for (const MemoryPlan::Item& item : task.items) {
    add_line(item.name, item.bytes);
    bytes += item.bytes;
  }
  add_line("in all", bytes);
  return text;
}

}  // namespace natgrad::trainer
