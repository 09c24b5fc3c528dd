#include "trainer/plan.hpp"

#include "core/message.hpp"
#include "trainer/batches.hpp"
#include "trainer/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <variant>

namespace natgrad::trainer {

namespace {

/// The rows that a step of so many samples takes.
ScoresShape shape_of(const NaturalMethod& method, const std::vector<std::int64_t>& sizes,
                     std::int64_t samples) {
  const bool sampled = method.fisher == FisherKind::sampled;
  const std::int64_t draws = sampled ? method.draws : 1;
  ScoresShape shape = {.samples = samples * draws};
  if (sampled) shape.gradient = ScoresShape::Source::other_rows;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    shape.layers.push_back({.inputs = sizes[i], .outputs = sizes[i + 1], .rows_per_input = draws});
  }
  return shape;
}

/// Where the parameters of an outline begin. A plan reads shapes alone, and a net that does not fit
/// is what it is asked about: on the CPU they have no memory. A device is asked what lies at an
/// address, so there they have.
class Place {
 public:
  Place(const Context& context, const FullyConnected::Options& net) {
    const std::int64_t bytes = FullyConnected::bytes(net, 0);  // refuses what no address can count
    if (context.device().kind == DeviceKind::cpu) return;
    memory_ = context.array({bytes / 8 + 1, 1}, ElementType::float64);
    address_ = reinterpret_cast<std::uintptr_t>(memory_.view().data());
  }
  std::uintptr_t address() const { return address_; }

 private:
  Array memory_;
  std::uintptr_t address_ = 64;
};

/// The net's parameters, by their shapes alone.
Parameters outline(const Context& context, const FullyConnected::Options& net,
                   std::uintptr_t address) {
  Parameters parameters(context);
  const auto add = [&](Shape shape) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    void* const data = reinterpret_cast<void*>(address);
    parameters.add(View(data, net.type, shape, {.device = context.device()}));
    address += static_cast<std::uintptr_t>(shape.size() * size_of(net.type));
  };
  for (std::size_t i = 0; i + 1 < net.sizes.size(); ++i) {
    add({net.sizes[i + 1], net.sizes[i]});
    add({net.sizes[i + 1], 1});
  }
  return parameters;
}

}  // namespace

std::string plan(const Options& options, const io::Dataset& data, const Context& context) {
  const StagedExamples train(context, data.train, data.inputs, options.precision);
  const StagedExamples test(context, data.test, data.inputs, options.precision);
  const Batches batches(context, train, options.batch, options.seed);
  const FullyConnected::Options net = net_options(options, data);
  const auto& method = std::get<NaturalMethod>(options.method);
  const Place place(context, net);
  const NaturalGradient optimizer(outline(context, net, place.address()), method.optimizer);

  const std::int64_t draws = method.fisher == FisherKind::sampled ? method.draws : 0;
  const std::int64_t evaluated = std::min(evaluation_part, test.count());
  const std::int64_t net_bytes =
      FullyConnected::bytes(net, std::max(batches.largest(), evaluated)) +
      (FullyConnected::bytes(net, batches.largest(), draws) -
       FullyConnected::bytes(net, batches.largest()));
  const MemoryPlan planned = optimizer.plan(shape_of(method, net.sizes, batches.largest()));
  const std::int64_t data_bytes = train.bytes() + test.bytes() + batches.bytes();
  const auto line = [](const char* what, std::int64_t bytes) {
    return fmt::format("{}: {} bytes, {}\n", what, bytes, detail::readable(bytes));
  };
  return planned.text() + line("net", net_bytes) + line("data", data_bytes) +
         line("in all", planned.bytes + net_bytes + data_bytes);
}

}  // namespace natgrad::trainer
