// Memory, known before anything runs: the functions that take memory are run to count.

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/planned_uses.hpp"
#include "optimizer/settings.hpp"
#include "scores/score_checks.hpp"

#include <algorithm>
#include <utility>

namespace natgrad {

template <>
constexpr ScoresShape::Source detail::last_enumerator() {
  return ScoresShape::Source::other_rows;
}

using detail::message;
using detail::Phase;
using detail::readable;

namespace {

std::int64_t rows_per_input(const ScoresShape& shape) {
  std::int64_t most = 1;
  for (const ScoresShape::Layer& layer : shape.layers) most = std::max(most, layer.rows_per_input);
  return most;
}

/// The largest arrays of a layer: what no address can count is refused before anything is added up.
void check_countable(const ScoresShape& shape, const ScoresShape::Layer& layer) {
  constexpr double most = 0x1p62;
  const auto rows = static_cast<double>(std::max(shape.samples, shape.batch_samples));
  const auto width =
      static_cast<double>(layer.lookup ? 1 : layer.inputs) + static_cast<double>(layer.outputs);
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
  detail::require_enumerator("plan", ".gradient", shape.gradient);
  detail::require_enumerator("plan", ".centering", shape.centering);
  require(shape.samples > 0, ".samples", shape.samples, "> 0");
  require(shape.parts == 1 || shape.parts == 2, ".parts", shape.parts, "1 or 2");
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
    require(layer.rows >= 0 && layer.rows <= shape.samples * shape.parts, "a layer's .rows",
            layer.rows, "0 to .samples");
    const std::int64_t rows = layer.rows == 0 ? shape.samples * shape.parts : layer.rows;
    require(layer.rows_per_input > 0 && rows % layer.rows_per_input == 0,
            "a layer's .rows_per_input", layer.rows_per_input, "> 0 and divide its rows");
    require(!layer.lookup || layer.inputs > 0, "a lookup's .inputs", layer.inputs, "> 0");
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

/// A shape as the uses of its batch.
struct NaturalGradient::State::PlannedBatch {
  std::vector<LayerUse> uses;
  std::vector<LayerUse> gradient_uses;
  detail::StepShape shape;

  PlannedBatch(const ScoresShape& given, const State& s) {
    check_shape(given);
    const std::int64_t all = std::max(given.samples, given.batch_samples);
    const bool parts = all > given.samples;
    if (parts) detail::require_takes_parts("plan", s.contract());
    uses = detail::planned_uses(given, given.samples, s.active.size(), false);
    // The full matrix costs the same whichever parameters they are, damped in one unit.
    const bool one_unit =
        s.options.damping.scaling == DampingScaling::identity && !detail::l2_by_tensor(s.options);
    if (s.options.structure != Structure::full || !one_unit) {
      detail::name_parameters(uses, s.parameters, s.active);
    }
    shape = s.shapes.of_loop(parts ? Phase::part : Phase::whole, true);
    shape.batch.uses = uses;
    shape.batch.rows = given.samples;
    shape.batch.batch_rows = all;
    shape.batch.centering = given.centering;
    shape.batch.gradient_given = given.gradient != ScoresShape::Source::rows;
    shape.gradient_numbers = given.gradient == ScoresShape::Source::numbers;
    if (given.gradient != ScoresShape::Source::other_rows) return;
    shape.gradient_rows = given.samples / rows_per_input(given);
    gradient_uses = detail::planned_uses(given, shape.gradient_rows, s.active.size(), true);
    shape.gradient_uses = gradient_uses;
  }
  // The batch views the uses.
  PlannedBatch(const PlannedBatch&) = delete;
  PlannedBatch(PlannedBatch&&) = delete;
  PlannedBatch& operator=(const PlannedBatch&) = delete;
  PlannedBatch& operator=(PlannedBatch&&) = delete;
  ~PlannedBatch() = default;
};

namespace {

std::int64_t sum_of(const std::vector<detail::CarvedItem>& items) {
  std::int64_t bytes = 0;
  for (const detail::CarvedItem& item : items) bytes += item.bytes;
  return bytes;
}

/// The solve of a batch whose first part has this shape, which sees the rows of all parts.
struct FinishingShape {
  std::vector<LayerUse> uses;
  detail::StepShape shape;

  FinishingShape(const detail::StepShape& part, const detail::ActiveParameters& active)
      : uses(part.batch.uses.begin(), part.batch.uses.end()), shape(part) {
    for (LayerUse& use : uses) {
      if (use.rows == part.batch.rows) use.rows = part.batch.batch_rows;
    }
    shape.batch.phase = Phase::finish;
    shape.batch.uses = uses;
    shape.batch.rows = part.batch.batch_rows;
    shape.gradient_uses = {};
    shape.gradient_rows = 0;
    shape.scaled = active.scaled() ? active.size() : 0;
  }
};

}  // namespace

MemoryPlan NaturalGradient::State::plan_of(const detail::StepShape& shape, Form form) const {
  MemoryPlan plan;
  const auto add = [&](const char* name, std::int64_t bytes) {
    if (bytes == 0) return;
    plan.items.push_back({name, bytes});
    if (__builtin_add_overflow(plan.bytes, bytes, &plan.bytes)) {
      throw MemoryError("plan: more bytes than an address can count");
    }
  };
  detail::CurvatureOptions wanted = detail::curvature_options(options, parameters, active);
  wanted.form = form;
  const auto curvature = detail::make_curvature(parameters.context(), wanted);
  const bool in_parts = shape.batch.phase == Phase::part;
  auto items = memory.scratch_items(*curvature, shape);
  plan.form = curvature->form();
  plan.structure = options.structure;
  if (in_parts) {
    const FinishingShape finishing(shape, active);
    // Adding a part and the step use one scratch.
    const auto of_step = memory.scratch_items(*curvature, finishing.shape);
    if (sum_of(of_step) > sum_of(items)) items = of_step;
  }
  for (const detail::CarvedItem& item : items) {
    add(item.name, item.bytes);
    plan.scratch_bytes += item.bytes;
  }
  if (in_parts) {
    add("F or its diagonal and gradient, accumulated", memory.kept_bytes(*curvature, shape));
    add("rows kept until the batch is whole", curvature->reserved_bytes(shape.batch));
  }
  add("momentum", remembers() ? active.size() * size_of(parameters.type()) : 0);
  detail::Carver count;
  const detail::LoopScalars counted(count);
  const auto counted_rule = detail::make_step_rule(options.step);
  counted_rule->layout(count);
  detail::make_damping(options.damping, options.l2)->layout(count);
  detail::make_momentum(options.momentum)->layout(count);
  const bool ring_is_elsewhere = backend.visible_memory() != nullptr;
  const auto ring_bytes = static_cast<std::int64_t>(detail::ReportRing::slots * sizeof(StepRecord));
  add("scalars and reports", count.bytes() + (ring_is_elsewhere ? 0 : ring_bytes));
  add("the scores' weights and coefficients",
      2 * (shape.batch.rows + shape.gradient_rows) * size_of(ElementType::float64));
  plan.shape = {.samples = shape.batch.rows,
                .batch_samples = shape.batch.batch_rows,
                .centering = shape.batch.centering};
  return plan;
}

void NaturalGradient::State::require_budget(const detail::StepShape& shape) {
  if (!options.memory_budget || within_budget.is(shape)) return;
  const MemoryPlan plan = plan_of(shape, options.form);
  if (plan.bytes <= *options.memory_budget) {
    within_budget.keep(shape);
    return;
  }
  const Form other = plan.form == Form::dual ? Form::primal : Form::dual;
  std::string text = message("optimizer: .memory_budget = ", *options.memory_budget, " (",
                             readable(*options.memory_budget), ") is less than the ", plan.text());
  if (options.structure == Structure::full) {
    text += message("Form::", to_string(other), " would take ",
                    readable(plan_of(shape, other).bytes), "; ");
  }
  std::int64_t shared = 1;
  for (const LayerUse& use : shape.batch.uses) shared = std::max(shared, use.rows_per_input);
  if (shared > 1) {
    text +=
        message("rows of FisherKind::sampled, one draw a sample, are 1/", shared, " of these; ");
  }
  throw MemoryError(text + "smaller sets of rows take less");
}

namespace {

/// A shape of samples with several parts, as one of single rows.
ScoresShape as_rows(ScoresShape shape) {
  if (shape.parts == 1) return shape;
  check_shape(shape);
  shape.samples *= shape.parts;
  shape.batch_samples *= shape.parts;
  shape.centering = Centering::none;
  shape.parts = 1;
  return shape;
}

/// What scores keep of parts that are centred.
void add_centred_copy(MemoryPlan& plan, std::int64_t rows, const Parameters& parameters) {
  const std::int64_t bytes = rows * parameters.size() * size_of(parameters.type());
  const std::string name = "the scores' centred rows";
  plan.items.push_back({name, bytes});
  plan.bytes += bytes;
}

}  // namespace

MemoryPlan NaturalGradient::plan(const ScoresShape& shape) const {
  return detail::with_memory_errors([&] {
    State& s = *state_;
    s.follow_parameters();
    const State::PlannedBatch planned(as_rows(shape), s);
    for (const LayerUse& use : planned.uses) {
      if (use.outputs <= s.parameters.size() / std::max<std::int64_t>(1, use.inputs)) continue;
      throw ShapeError(message("plan: a layer of ", use.inputs, " inputs and ", use.outputs,
                               " outputs is more than the optimizer's ", s.parameters.size(),
                               " parameters"));
    }
    MemoryPlan plan = s.plan_of(planned.shape, s.options.form);
    plan.shape = shape;
    if (shape.parts > 1 && shape.centering == Centering::rows) {
      add_centred_copy(plan, shape.samples * shape.parts, s.parameters);
    }
    return plan;
  });
}

MemoryPlan NaturalGradient::plan(const Batch& batch) const {
  return detail::with_memory_errors([&] {
    State& s = *state_;
    s.follow_parameters();
    detail::check_batch("plan", batch, s.contract());
    const detail::ScoreSet& rows = batch.fisher.rows();
    const Phase phase = rows.size() == rows.batch_samples() ? Phase::whole : Phase::part;
    const detail::StepShape shape = s.shapes.of(batch, phase, true);
    MemoryPlan plan = s.plan_of(shape, s.options.form);
    plan.shape.gradient = !shape.batch.gradient_given ? ScoresShape::Source::rows
                          : shape.gradient_rows > 0   ? ScoresShape::Source::other_rows
                                                      : ScoresShape::Source::numbers;
    plan.shape.parts = rows.parts();
    plan.shape.samples /= rows.parts();
    plan.shape.batch_samples /= rows.parts();
    if (rows.centred_parts()) {
      plan.shape.centering = Centering::rows;
      add_centred_copy(plan, rows.size(), s.parameters);
    }
    if (rows.dense()) return plan;  // a shape without layers is one of dense rows
    for (const LayerUse& use : shape.batch.uses) {
      plan.shape.layers.push_back({.inputs = use.inputs,
                                   .outputs = use.outputs,
                                   .terms = use.terms,
                                   .rows = use.rows == shape.batch.rows ? 0 : use.rows,
                                   .rows_per_input = use.rows_per_input,
                                   .lookup = use.lookup});
    }
    return plan;
  });
}

void NaturalGradient::reserve(const MemoryPlan& plan) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.follow_parameters();
    const State::PlannedBatch planned(plan.shape, s);
    s.require_budget(planned.shape);
    if (plan.scratch_bytes < 0) {
      throw OptionError(
          message("reserve: .scratch_bytes = ", plan.scratch_bytes, ", must be >= 0"));
    }
    const bool in_parts = planned.shape.batch.phase == Phase::part;
    if (in_parts && !s.partial.empty()) {
      throw ArgumentError(message("reserve: ", s.partial.rows(),
                                  " rows are accumulated in the memory of another batch; step() "
                                  "takes them, discard() drops them"));
    }
    s.prepare();
    if (in_parts) {
      s.memory.reserve(*s.parts, planned.shape);
      s.parts->reserve(planned.shape.batch);
    }
    s.parameters.context().state().arena().carve(plan.scratch_bytes);
  });
}

}  // namespace natgrad
