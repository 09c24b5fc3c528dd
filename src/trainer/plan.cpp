#include "trainer/plan.hpp"

#include "trainer/batches.hpp"
#include "trainer/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace natgrad::trainer {

namespace {

/// The rows that a step of so many samples takes.
ScoresShape shape_of(const NaturalMethod& method, const std::vector<std::int64_t>& sizes,
                     std::int64_t samples) {
  const bool sampled = method.fisher == Kind::sampled;
  const std::int64_t draws = sampled ? method.draws : 1;
  ScoresShape shape = {.samples = samples * draws};
  if (sampled) shape.gradient = ScoresShape::Source::other_rows;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    shape.layers.push_back({.inputs = sizes[i], .outputs = sizes[i + 1], .rows_per_input = draws});
  }
  return shape;
}

}  // namespace

std::string plan(const Options& options, const io::Dataset& data, const Context& context) {
  const StagedExamples train(context, data.train, data.inputs, options.precision);
  const StagedExamples test(context, data.test, data.inputs, options.precision);
  const Batches batches(context, train, options.batch, options.seed);
  const FullyConnected net(context, net_options(options, data));
  const auto& method = std::get<NaturalMethod>(options.method);
  const NaturalGradient optimizer(net.parameters(), method.optimizer);

  const std::int64_t draws = method.fisher == Kind::sampled ? method.draws : 0;
  const std::int64_t evaluated = std::min(evaluation_part, test.count());
  const std::int64_t net_bytes =
      net.bytes(std::max(batches.largest(), evaluated)) +
      (net.bytes(batches.largest(), draws) - net.bytes(batches.largest()));
  return optimizer.plan(shape_of(method, net.options().sizes, batches.largest())).text() +
         fmt::format("net: {} bytes\n", net_bytes) +
         fmt::format("data: {} bytes\n", train.bytes() + test.bytes() + batches.bytes());
}

}  // namespace natgrad::trainer
