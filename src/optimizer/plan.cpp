// Memory, known before anything runs: the functions that hand out buffers are run to count.

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

using detail::message;
using detail::readable;

namespace {

template <class Buffers, class... Arguments>
std::vector<detail::CarvedItem> items_of(const Arguments&... arguments) {
  std::vector<detail::CarvedItem> items;
  detail::Carver count(items);
  const Buffers counted(count, arguments...);
  return items;
}

std::int64_t sum_of(const std::vector<detail::CarvedItem>& items) {
  std::int64_t bytes = 0;
  for (const detail::CarvedItem& item : items) bytes += item.bytes;
  return bytes;
}

/// The layers' blocks, without views.
std::vector<LayerUse> blocks_of(const ScoresShape& shape, std::int64_t rows,
                                std::int64_t parameters, bool one_row_an_input) {
  if (shape.layers.empty()) return {{.rows = rows, .outputs = parameters, .bias_offset = 0}};
  std::vector<LayerUse> blocks;
  for (const ScoresShape::Layer& layer : shape.layers) {
    const std::int64_t per_input = one_row_an_input ? 1 : layer.rows_per_input;
    blocks.push_back({.rows = layer.rows == 0 ? rows : layer.rows,
                      .inputs = layer.inputs,
                      .outputs = layer.outputs,
                      .terms = layer.terms,
                      .rows_per_input = per_input});
    if (one_row_an_input && layer.rows != 0) {
      blocks.back().rows = layer.rows / layer.rows_per_input;
    }
  }
  return blocks;
}

std::int64_t rows_per_input(const ScoresShape& shape) {
  std::int64_t most = 1;
  for (const ScoresShape::Layer& layer : shape.layers) most = std::max(most, layer.rows_per_input);
  return most;
}

/// The largest arrays of a layer: what no address can count is refused before anything is added up.
void check_countable(const ScoresShape& shape, const ScoresShape::Layer& layer) {
  constexpr double most = 0x1p62;
  const auto rows = static_cast<double>(std::max(shape.samples, shape.batch_samples));
  const auto width = static_cast<double>(layer.inputs) + static_cast<double>(layer.outputs);
  const double weight = static_cast<double>(layer.inputs) * static_cast<double>(layer.outputs);
  const auto terms = static_cast<double>(layer.terms);
  if (8 * rows * terms * width < most && 8 * weight < most) return;
  throw MemoryError(message("plan: a layer of ", rows, " rows, ", layer.terms, " terms, ",
                            layer.inputs, " inputs and ", layer.outputs,
                            " outputs is more bytes than an address can count"));
}

void check_shape(const ScoresShape& shape) {
  const auto require = [](bool holds, const char* name, std::int64_t value, const char* expected) {
    if (holds) return;
    throw OptionError(message("plan: ", name, " = ", value, ", must be ", expected));
  };
  require(shape.samples > 0, ".samples", shape.samples, "> 0");
  require(shape.batch_samples == 0 || shape.batch_samples >= shape.samples, ".batch_samples",
          shape.batch_samples, "0 or at least .samples");
  constexpr std::int64_t most_rows = std::int64_t{1} << 38;
  if (std::max(shape.samples, shape.batch_samples) > most_rows) {
    throw MemoryError(message("plan: ", std::max(shape.samples, shape.batch_samples),
                              " rows are more bytes than an address can count"));
  }
  for (const ScoresShape::Layer& layer : shape.layers) {
    require(layer.inputs >= 0, "a layer's .inputs", layer.inputs, ">= 0");
    require(layer.outputs > 0, "a layer's .outputs", layer.outputs, "> 0");
    require(layer.terms > 0, "a layer's .terms", layer.terms, "> 0");
    require(layer.rows >= 0 && layer.rows <= shape.samples, "a layer's .rows", layer.rows,
            "0 to .samples");
    const std::int64_t rows = layer.rows == 0 ? shape.samples : layer.rows;
    require(layer.rows_per_input > 0 && rows % layer.rows_per_input == 0,
            "a layer's .rows_per_input", layer.rows_per_input, "> 0 and divide its rows");
    check_countable(shape, layer);
  }
}

}  // namespace

std::string MemoryPlan::text() const {
  std::string text =
      message("plan of a batch of ", std::max(shape.samples, shape.batch_samples), " rows, ",
              to_string(form), " form: ", readable(bytes), " (", bytes, " bytes)\n");
  for (const Item& item : items) {
    text += message("  ", readable(item.bytes), "  ", item.name, '\n');
  }
  return text;
}

/// A shape as the blocks of its batch.
struct NaturalGradient::State::PlannedBatch {
  std::vector<LayerUse> blocks;
  std::vector<LayerUse> gradient_blocks;
  detail::BatchShape batch;

  PlannedBatch(const ScoresShape& shape, std::int64_t parameters) {
    check_shape(shape);
    const std::int64_t all = std::max(shape.samples, shape.batch_samples);
    blocks = blocks_of(shape, shape.samples, parameters, false);
    batch = {.blocks = blocks,
             .rows = shape.samples,
             .batch_rows = all,
             .centering = shape.centering,
             .general = shape.gradient != ScoresShape::Source::rows,
             .accumulated = all > shape.samples};
    if (shape.gradient != ScoresShape::Source::other_rows) return;
    batch.gradient_rows = shape.samples / rows_per_input(shape);
    gradient_blocks = blocks_of(shape, batch.gradient_rows, parameters, true);
    batch.gradient_blocks = gradient_blocks;
  }
  // The batch views the blocks.
  PlannedBatch(const PlannedBatch&) = delete;
  PlannedBatch(PlannedBatch&&) = delete;
  PlannedBatch& operator=(const PlannedBatch&) = delete;
  PlannedBatch& operator=(PlannedBatch&&) = delete;
  ~PlannedBatch() = default;
};

/// What the scratch of a batch is for; of one that is accumulated, that of its parts and that of
/// the step are one memory.
std::vector<detail::CarvedItem> NaturalGradient::State::scratch_of(
    const detail::BatchShape& batch) const {
  if (!batch.accumulated) {
    return items_of<detail::StepBuffers>(step_shape(batch, true), detail::SystemBuffers());
  }
  auto gathering = items_of<detail::GatherBuffers>(gather_shape(batch));
  // The step itself sees the rows of all parts.
  std::vector<LayerUse> blocks(batch.blocks.begin(), batch.blocks.end());
  for (LayerUse& block : blocks) {
    if (block.rows == batch.rows) block.rows = batch.batch_rows;
  }
  detail::BatchShape whole = batch;
  whole.blocks = blocks;
  whole.form = form_of(batch);
  auto stepping = items_of<detail::StepBuffers>(step_shape(whole, true), detail::SystemBuffers());
  return sum_of(gathering) > sum_of(stepping) ? gathering : stepping;
}

MemoryPlan NaturalGradient::State::plan_of(const detail::BatchShape& batch) const {
  MemoryPlan plan;
  const auto add = [&](const char* name, std::int64_t bytes) {
    if (bytes == 0) return;
    plan.items.push_back({name, bytes});
    if (__builtin_add_overflow(plan.bytes, bytes, &plan.bytes)) {
      throw MemoryError("plan: more bytes than an address can count");
    }
  };
  const detail::SolveShape solve_shape = step_shape(batch, true).solve;
  plan.form = solve_shape.form;
  plan.shape = {
      .samples = batch.rows, .batch_samples = batch.batch_rows, .centering = batch.centering};
  for (const detail::CarvedItem& item : scratch_of(batch)) {
    add(item.name, item.bytes);
    plan.scratch_bytes += item.bytes;
  }
  if (batch.accumulated) {
    for (const auto& item : items_of<detail::GatheredBuffers>(solve_shape)) {
      add(item.name, item.bytes);
    }
    if (plan.form == Form::dual) {
      detail::Carver count;
      const detail::StoreBuffers kept(count, batch.blocks, batch.batch_rows, parameters.type());
      add("rows kept until the batch is whole", count.bytes());
    }
  }
  const std::int64_t width = step_scalars_count * size_of(ElementType::float64);
  if (!std::holds_alternative<NoMomentum>(options.momentum)) {
    add("momentum", active.size() * size_of(parameters.type()));
  }
  const bool ring_is_apart = backend.visible_memory() != nullptr;
  add("scalars and reports", ((ring_is_apart ? 0 : ring_slots) + 2) * width);
  add("the scores' weights and coefficients",
      2 * (batch.rows + batch.gradient_rows) * size_of(ElementType::float64));
  return plan;
}

MemoryPlan NaturalGradient::State::plan_of(const ScoresShape& shape) const {
  const PlannedBatch planned(shape, active.size());
  for (const LayerUse& block : planned.blocks) {
    if (block.outputs <= parameters.size() / std::max<std::int64_t>(1, block.inputs)) continue;
    throw ShapeError(message("plan: a layer of ", block.inputs, " inputs and ", block.outputs,
                             " outputs is more than the optimizer's ", parameters.size(),
                             " parameters"));
  }
  MemoryPlan plan = plan_of(planned.batch);
  plan.shape = shape;
  return plan;
}

void NaturalGradient::State::reserve(const MemoryPlan& plan) {
  follow_parameters();
  const PlannedBatch planned(plan.shape, active.size());
  require_budget(planned.batch);
  if (plan.scratch_bytes < 0) {
    throw OptionError(message("reserve: .scratch_bytes = ", plan.scratch_bytes, ", must be >= 0"));
  }
  if (gathered.rows > 0 && planned.batch.accumulated) {
    throw ArgumentError(message("reserve: ", gathered.rows,
                                " rows are accumulated in the memory of another batch; step() "
                                "takes them, discard() drops them"));
  }
  prepare();
  if (planned.batch.accumulated) {
    reserve_gathered(gather_shape(planned.batch));
    if (plan.form == Form::dual) {
      gathered.kept.reserve(parameters.context(), planned.blocks, planned.batch.batch_rows,
                            parameters.type());
    }
  }
  parameters.context().state().arena().carve(plan.scratch_bytes);
}

void NaturalGradient::State::require_budget(const detail::BatchShape& batch) const {
  if (!options.memory_budget) return;
  const MemoryPlan plan = plan_of(batch);
  if (plan.bytes <= *options.memory_budget) return;
  detail::BatchShape other = batch;
  other.form = plan.form == Form::dual ? Form::primal : Form::dual;
  throw MemoryError(message("optimizer: .memory_budget = ", *options.memory_budget, " (",
                            readable(*options.memory_budget), ") is less than the ", plan.text(),
                            "Form::", to_string(other.form), " would take ",
                            readable(plan_of(other).bytes), "; smaller sets of rows take less"));
}

MemoryPlan NaturalGradient::plan(const ScoresShape& shape) const {
  state_->follow_parameters();
  return state_->plan_of(shape);
}

MemoryPlan NaturalGradient::plan(const Batch& batch) const {
  State& s = *state_;
  s.check("plan", batch);
  detail::BatchShape shape = s.batch_shape(batch);
  shape.accumulated = shape.rows != shape.batch_rows;
  MemoryPlan plan = s.plan_of(shape);
  plan.shape.gradient = !shape.general            ? ScoresShape::Source::rows
                        : shape.gradient_rows > 0 ? ScoresShape::Source::other_rows
                                                  : ScoresShape::Source::numbers;
  for (const LayerUse& block : shape.blocks) {
    plan.shape.layers.push_back({.inputs = block.inputs,
                                 .outputs = block.outputs,
                                 .terms = block.terms,
                                 .rows = block.rows == shape.rows ? 0 : block.rows,
                                 .rows_per_input = block.rows_per_input});
  }
  return plan;
}

void NaturalGradient::reserve(const MemoryPlan& plan) { state_->reserve(plan); }

}  // namespace natgrad
