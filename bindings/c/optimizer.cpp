#include "bindings/c/handles.hpp"
#include "bindings/c/options.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"

#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace natgrad::c {

namespace {

using detail::message;

natgrad_optimizer_options optimizer_defaults() {
  const NaturalGradient::Options options;
  natgrad_optimizer_options defaults = {};
  defaults.size = sizeof defaults;
  defaults.momentum = NATGRAD_MOMENTUM_SPRING;
  defaults.momentum_decay = Spring().decay;
  defaults.max_norm = options.max_norm;
  defaults.gram_type = -1;
  return defaults;
}

natgrad_batch batch_defaults() {
  natgrad_batch defaults = {};
  defaults.size = sizeof defaults;
  defaults.gradient_scale = Gradient().scale;
  return defaults;
}

natgrad_scores_shape shape_defaults() {
  natgrad_scores_shape defaults = {};
  defaults.size = sizeof defaults;
  return defaults;
}

std::vector<SegmentFactor> factors_of(const char* name, const natgrad_segment_factor* factors,
                                      std::int64_t count) {
  if (count < 0) throw OptionError(message(name, ": ", count, " factors"));
  if (count > 0) required(name, factors);
  std::vector<SegmentFactor> result;
  for (std::int64_t i = 0; i < count; ++i) {
    require_reserved(name, factors[i].reserved);
    result.push_back({{factors[i].segment}, factors[i].factor});
  }
  return result;
}

Momentum momentum_of(std::int32_t kind, double decay) {
  switch (kind) {
    case NATGRAD_MOMENTUM_NONE:
      return NoMomentum{};
    case NATGRAD_MOMENTUM_HEAVY_BALL:
      return HeavyBall{.decay = decay};
    case NATGRAD_MOMENTUM_SPRING:
      return Spring{.decay = decay};
    default:
      throw OptionError(message("momentum: ", kind, " is no kind of momentum"));
  }
}

NaturalGradient::Options optimizer_options_of(const Parameters& parameters,
                                              const natgrad_optimizer_options* options) {
  const auto given = read_struct("optimizer options", options, optimizer_defaults());
  require_reserved("optimizer options", given.reserved);
  NaturalGradient::Options result;
  result.damping = damping_of(given.damping);
  result.step = step_rule_of(given.step_rule);
  result.schedule = {.decay = enumerator<RateDecay>("rate_decay", given.rate_decay),
                     .steps = given.rate_decay_steps};
  result.max_norm = given.max_norm;
  result.momentum = momentum_of(given.momentum, given.momentum_decay);
  result.weight_decay = given.weight_decay;
  result.l2 = given.l2;
  result.l2_factors = factors_of("l2_factors", given.l2_factors, given.l2_factor_count);
  result.rate_factors = factors_of("rate_factors", given.rate_factors, given.rate_factor_count);
  result.weight_decay_factors = factors_of("weight_decay_factors", given.weight_decay_factors,
                                           given.weight_decay_factor_count);
  result.structure = enumerator<Structure>("structure", given.structure);
  result.groups = groups_of(parameters, given.groups, given.group_count);
  result.form = enumerator<Form>("form", given.form);
  result.gram_type = gram_type_of(given.gram_type);
  result.refinement = given.refinement;
  result.allow_tf32 = given.allow_tf32 != 0;
  if (given.memory_budget != 0) result.memory_budget = given.memory_budget;
  return result;
}

BatchFunction batch_function(const char* name, natgrad_number_function function, void* user) {
  if (function == nullptr) return {};
  return [name, function, user](const View& result) {
    call_back(name, function, user, result.as<double>());
  };
}

/// Calls `use` with the batch that the caller's struct states.
template <class Use>
decltype(auto) with_batch(const natgrad_batch* batch, Use&& use) {
  required("batch", batch);
  const auto given = read_struct("batch", batch, batch_defaults());
  Batch result = {.fisher = required("batch: fisher", given.fisher).rows(),
                  .loss = batch_function("loss", given.loss, given.loss_user),
                  .kl = batch_function("kl", given.kl, given.kl_user)};
  if (given.gradient_rows != nullptr && given.gradient != nullptr) {
    throw ArgumentError("batch: gradient_rows and gradient are both given");
  }
  if (given.gradient_rows != nullptr) result.gradient = given.gradient_rows->rows();
  if (given.gradient != nullptr) {
    result.gradient = Gradient{view_of("gradient", given.gradient), given.gradient_scale};
  }
  return std::forward<Use>(use)(result);
}

/// A number that may not be there, and its bit.
double number(const std::optional<double>& value, std::int64_t bit, std::int64_t& present) {
  if (!value.has_value()) return std::numeric_limits<double>::quiet_NaN();
  present |= bit;
  return *value;
}

natgrad_step_report step_report_of(const StepReport& report) {
  natgrad_step_report result = {};
  result.step = report.step;
  result.outcome = static_cast<std::int32_t>(report.outcome);
  result.not_finite = static_cast<std::int32_t>(report.not_finite);
  result.structure = static_cast<std::int32_t>(report.structure);
  result.form = static_cast<std::int32_t>(report.form);
  result.rate = report.rate;
  result.damping = report.damping;
  result.quadratic_form = report.quadratic_form;
  result.residual = report.residual;
  result.error_bound = report.error_bound;
  result.failures_in_a_row = report.failures_in_a_row;
  result.trials = report.trials;
  std::int64_t& present = result.present;
  result.predicted_kl = number(report.predicted_kl, NATGRAD_HAS_PREDICTED_KL, present);
  result.loss_before = number(report.loss_before, NATGRAD_HAS_LOSS_BEFORE, present);
  result.loss_after = number(report.loss_after, NATGRAD_HAS_LOSS_AFTER, present);
  result.actual_kl = number(report.actual_kl, NATGRAD_HAS_ACTUAL_KL, present);
  result.reduction_ratio = number(report.reduction_ratio, NATGRAD_HAS_REDUCTION_RATIO, present);
  result.model_rate = number(report.model_rate, NATGRAD_HAS_MODEL_RATE, present);
  result.momentum = number(report.momentum, NATGRAD_HAS_MOMENTUM, present);
  return result;
}

ScoresShape shape_of(const natgrad_scores_shape* shape) {
  required("shape", shape);
  const auto given = read_struct("shape", shape, shape_defaults());
  if (given.layer_count < 0) {
    throw OptionError(message("shape: layer_count is ", given.layer_count));
  }
  if (given.layer_count > 0) required("shape: layers", given.layers);
  ScoresShape result = {
      .samples = given.samples,
      .batch_samples = given.batch_samples,
      .gradient = enumerator<ScoresShape::Source>("shape: gradient", given.gradient),
      .centering = enumerator<Centering>("shape: centering", given.centering)};
  for (std::int64_t i = 0; i < given.layer_count; ++i) {
    const natgrad_layer_shape& layer = given.layers[i];
    result.layers.push_back({.inputs = layer.inputs,
                             .outputs = layer.outputs,
                             .terms = layer.terms,
                             .rows = layer.rows,
                             .rows_per_input = layer.rows_per_input});
  }
  return result;
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_optimizer_options_init(natgrad_optimizer_options* options, size_t size) {
  return guarded([&] { write_struct("optimizer options", options, size, optimizer_defaults()); });
}

natgrad_status natgrad_batch_init(natgrad_batch* batch, size_t size) {
  return guarded([&] { write_struct("batch", batch, size, batch_defaults()); });
}

natgrad_status natgrad_scores_shape_init(natgrad_scores_shape* shape, size_t size) {
  return guarded([&] { write_struct("shape", shape, size, shape_defaults()); });
}

natgrad_status natgrad_optimizer_create(const natgrad_parameters* parameters,
                                        const natgrad_optimizer_options* options,
                                        natgrad_optimizer** optimizer) {
  return guarded([&] {
    const natgrad_parameters& all = required("parameters", parameters);
    natgrad_optimizer*& result = required("optimizer", optimizer);
    natgrad::NaturalGradient value(all.value, optimizer_options_of(all.value, options));
    result = new natgrad_optimizer{
        .parameter_tensors = all.tensors, .value = std::move(value), .left_over = {}};
  });
}

void natgrad_optimizer_destroy(natgrad_optimizer* optimizer) { delete optimizer; }

natgrad_status natgrad_optimizer_step(natgrad_optimizer* optimizer, const natgrad_batch* batch) {
  return guarded([&] {
    natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    with_batch(batch, [&](const natgrad::Batch& given) { value.step(given); });
  });
}

natgrad_status natgrad_optimizer_accumulate(natgrad_optimizer* optimizer,
                                            const natgrad_batch* batch) {
  return guarded([&] {
    natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    with_batch(batch, [&](const natgrad::Batch& given) { value.accumulate(given); });
  });
}

natgrad_status natgrad_optimizer_step_accumulated(natgrad_optimizer* optimizer) {
  return guarded([&] { required("optimizer", optimizer).value.step(); });
}

natgrad_status natgrad_optimizer_discard(natgrad_optimizer* optimizer) {
  return guarded([&] { required("optimizer", optimizer).value.discard(); });
}

natgrad_status natgrad_optimizer_direction(natgrad_optimizer* optimizer, const natgrad_batch* batch,
                                           const DLManagedTensorVersioned* direction) {
  return guarded([&] {
    natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    const natgrad::View result = writable_view_of("direction", direction);
    with_batch(batch, [&](const natgrad::Batch& given) { value.direction(given, result); });
  });
}

natgrad_status natgrad_optimizer_propose(natgrad_optimizer* optimizer, const natgrad_batch* batch,
                                         const DLManagedTensorVersioned* step) {
  return guarded([&] {
    natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    const natgrad::View result = writable_view_of("step", step);
    with_batch(batch, [&](const natgrad::Batch& given) { value.propose(given, result); });
  });
}

natgrad_status natgrad_optimizer_propose_accumulated(natgrad_optimizer* optimizer,
                                                     const DLManagedTensorVersioned* step) {
  return guarded(
      [&] { required("optimizer", optimizer).value.propose(writable_view_of("step", step)); });
}

natgrad_status natgrad_optimizer_direction_report(const natgrad_optimizer* optimizer,
                                                  natgrad_solve_report* report) {
  return guarded([&] {
    write_struct("report", report,
                 report_of(required("optimizer", optimizer).value.direction_report()));
  });
}

natgrad_status natgrad_optimizer_set_rate(natgrad_optimizer* optimizer, double rate) {
  return guarded([&] { required("optimizer", optimizer).value.set_rate(rate); });
}

natgrad_status natgrad_optimizer_set_damping(natgrad_optimizer* optimizer,
                                             const natgrad_damping* damping) {
  return guarded([&] {
    required("damping", damping);
    required("optimizer", optimizer).value.set_damping(damping_of(damping));
  });
}

natgrad_status natgrad_optimizer_set_rate_factors(natgrad_optimizer* optimizer,
                                                  const natgrad_segment_factor* factors,
                                                  int64_t count) {
  return guarded([&] {
    required("optimizer", optimizer)
        .value.set_rate_factors(factors_of("rate_factors", factors, count));
  });
}

natgrad_status natgrad_optimizer_set_weight_decay_factors(natgrad_optimizer* optimizer,
                                                          const natgrad_segment_factor* factors,
                                                          int64_t count) {
  return guarded([&] {
    required("optimizer", optimizer)
        .value.set_weight_decay_factors(factors_of("weight_decay_factors", factors, count));
  });
}

natgrad_status natgrad_optimizer_reset_momentum(natgrad_optimizer* optimizer) {
  return guarded([&] { required("optimizer", optimizer).value.reset_momentum(); });
}

natgrad_status natgrad_optimizer_report(natgrad_optimizer* optimizer, natgrad_step_report* report) {
  return guarded([&] {
    write_struct("report", report, step_report_of(required("optimizer", optimizer).value.report()));
  });
}

natgrad_status natgrad_optimizer_reports(natgrad_optimizer* optimizer, natgrad_step_report* reports,
                                         size_t size, int64_t capacity, int64_t* count) {
  return guarded([&] {
    natgrad_optimizer& all = required("optimizer", optimizer);
    std::int64_t& written = required("count", count);
    if (capacity < 0) {
      throw natgrad::OptionError(natgrad::detail::message("capacity is ", capacity));
    }
    if (capacity > 0) required("reports", reports);
    check_struct_size("reports", size, first_size<natgrad_step_report>);
    for (const natgrad::StepReport& report : all.value.reports()) all.left_over.push_back(report);
    written = 0;
    auto* bytes = reinterpret_cast<std::byte*>(reports);
    for (; written < capacity && !all.left_over.empty(); ++written) {
      write_struct("reports", reinterpret_cast<natgrad_step_report*>(bytes), size,
                   step_report_of(all.left_over.front()));
      bytes += size;
      all.left_over.pop_front();
    }
  });
}

natgrad_status natgrad_optimizer_plan(const natgrad_optimizer* optimizer,
                                      const natgrad_batch* batch, natgrad_plan** plan) {
  return guarded([&] {
    const natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    natgrad_plan*& result = required("plan", plan);
    with_batch(batch,
               [&](const natgrad::Batch& given) { result = new natgrad_plan{value.plan(given)}; });
  });
}

natgrad_status natgrad_optimizer_plan_shape(const natgrad_optimizer* optimizer,
                                            const natgrad_scores_shape* shape,
                                            natgrad_plan** plan) {
  return guarded([&] {
    const natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    natgrad_plan*& result = required("plan", plan);
    result = new natgrad_plan{value.plan(shape_of(shape))};
  });
}

natgrad_status natgrad_optimizer_reserve(natgrad_optimizer* optimizer, const natgrad_plan* plan) {
  return guarded(
      [&] { required("optimizer", optimizer).value.reserve(required("plan", plan).value); });
}

natgrad_status natgrad_plan_numbers(const natgrad_plan* plan, int64_t* bytes,
                                    int64_t* scratch_bytes, int32_t* form) {
  return guarded([&] {
    const natgrad::MemoryPlan& value = required("plan", plan).value;
    if (bytes != nullptr) *bytes = value.bytes;
    if (scratch_bytes != nullptr) *scratch_bytes = value.scratch_bytes;
    if (form != nullptr) *form = static_cast<std::int32_t>(value.form);
  });
}

natgrad_status natgrad_plan_text(const natgrad_plan* plan, char* buffer, size_t capacity,
                                 size_t* length) {
  return guarded([&] { copy_text(required("plan", plan).value.text(), buffer, capacity, length); });
}

void natgrad_plan_destroy(natgrad_plan* plan) { delete plan; }
