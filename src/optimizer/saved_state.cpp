#include "optimizer/saved_state.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/settings.hpp"

#include <array>
#include <cstring>

namespace natgrad::detail {

namespace {

bool is_outcome(double value) {
  return is_count(value) && value <= formulas::outcome_not_positive_definite;
}
bool is_operand(double value) { return is_count(value) && value <= formulas::not_finite_loss; }
bool is_form(double value) { return is_count(value) && value <= static_cast<double>(Form::dual); }
bool is_what_applies(double value) {
  constexpr int all = formulas::applies_loss | formulas::applies_kl | formulas::applies_ratio |
                      formulas::applies_model;
  return is_count(value) && value <= all;
}
bool is_flag(double value) { return value == 0 || value == 1; }

// The other settings are options, which stay the optimizer's own.
constexpr std::array saved_rate = {RecordField<RateSettings>{"rate", &RateSettings::rate}};
constexpr std::array saved_damping = {
    RecordField<DampingState>{"absolute_damping", &DampingState::absolute},
    RecordField<DampingState>{"relative_damping", &DampingState::relative}};
constexpr std::array saved_counters = {
    RecordField<Counters>{"steps", &Counters::attempts, {}, is_count},
    RecordField<Counters>{"accepted_steps", &Counters::accepted, {}, is_count},
    RecordField<Counters>{"failures_in_a_row", &Counters::failures, {}, is_count}};
static_assert(names_every_field(saved_counters));
constexpr std::array saved_reports = {
    RecordField<StepRecord>{"step", &StepRecord::step, {}, is_count},
    RecordField<StepRecord>{"outcome", &StepRecord::outcome, {}, is_outcome},
    RecordField<StepRecord>{"form", &StepRecord::form, {}, is_form},
    RecordField<StepRecord>{"predicts_kl", &StepRecord::predicts_kl, {}, is_flag},
    RecordField<StepRecord>{"rate", &StepRecord::rate},
    RecordField<StepRecord>{"damping", &StepRecord::damping},
    RecordField<StepRecord>{"quadratic_form", &StepRecord::quadratic_form},
    RecordField<StepRecord>{"residual", &StepRecord::residual},
    RecordField<StepRecord>{"error_bound", &StepRecord::error_bound},
    RecordField<StepRecord>{"failures_in_a_row", &StepRecord::failures, {}, is_count},
    RecordField<StepRecord>{"not_finite", &StepRecord::not_finite, 0, is_operand},
    RecordField<StepRecord>{"applies", &StepRecord::applies, 0, is_what_applies},
    RecordField<StepRecord>{"trials", &StepRecord::trials, 0, is_count},
    RecordField<StepRecord>{"loss_before", &StepRecord::loss_before, 0},
    RecordField<StepRecord>{"loss_after", &StepRecord::loss_after, 0},
    RecordField<StepRecord>{"actual_kl", &StepRecord::actual_kl, 0},
    RecordField<StepRecord>{"reduction_ratio", &StepRecord::reduction_ratio, 0},
    RecordField<StepRecord>{"model_rate", &StepRecord::model_rate, 0},
    RecordField<StepRecord>{"momentum", &StepRecord::momentum, 0}};
static_assert(names_every_field(saved_reports));

/// What must be the same on both sides: momentum has no numbers of frozen tensors, and a direction
/// of one structure is none of another.
std::string in_words(const NaturalGradient::Options& options, const char* momentum,
                     const Parameters& parameters, const ActiveParameters& active) {
  std::string words = "natural gradient";
  if (options.structure != Structure::full) {
    words = message(to_string(options.structure), " natural gradient");
  }
  words += momentum != nullptr ? message(" with ", momentum, " momentum") : " without momentum";
  const char* before = " and frozen ";
  auto next = active.tensors().begin();
  for (int i = 0; i < parameters.segments(); ++i) {
    if (next != active.tensors().end() && next->segment.index == i) {
      ++next;
      continue;
    }
    words += message(before, parameters.name({i}));
    before = ", ";
  }
  return words;
}

template <class Record>
Record record_of(std::span<const double> numbers) {
  Record record{};
  std::memcpy(&record, numbers.data(), sizeof record);
  return record;
}

void check_rate(const NaturalGradient::Options& options, ElementType type, double rate) {
  NaturalGradient::Options changed = options;
  changed.step = with_rate(changed.step, rate);
  check_options(changed, type);
}

void check_saved_damping(const NaturalGradient::Options& options, ElementType type,
                         const DampingState& damping) {
  NaturalGradient::Options changed = options;
  changed.damping.absolute = damping.absolute;
  changed.damping.relative = damping.relative;
  check_options(changed, type);
}

}  // namespace

SavedState OptimizerAccess::saved_state(const NaturalGradient& optimizer) {
  NaturalGradient::State& s = *optimizer.state_;
  s.follow_parameters();
  const char* memory = s.rule->memory_name();
  if (memory == nullptr) memory = s.momentum->name();
  SavedState state{.parameters = s.parameters,
                   .optimizer = in_words(s.options, memory, s.parameters, s.active)};
  SavedRecords rate = saved_records("settings.", saved_rate, s.scalars.settings);
  rate.check = [&s](std::span<const double> numbers) {
    check_rate(s.options, s.parameters.type(), record_of<RateSettings>(numbers).rate);
  };
  SavedRecords damping = saved_records("settings.", saved_damping, s.damping->view());
  damping.check = [&s](std::span<const double> numbers) {
    check_saved_damping(s.options, s.parameters.type(), record_of<DampingState>(numbers));
  };
  state.records = {std::move(rate), std::move(damping),
                   saved_records("counters.", saved_counters, s.scalars.counters),
                   saved_records("reports.", saved_reports, s.ring.view(), ReportRing::slots)};
  state.counters = {{"counters.reported", &s.ring.reported},
                    {"counters.failures_thrown", &s.ring.failures_thrown}};
  s.rule->save(state);
  if (!s.remembers()) return state;
  state.tensors.push_back(
      {.name = "momentum", .segments = s.active.segments(), .numbers = s.momentum_memory});
  return state;
}

void OptimizerAccess::allocate(const NaturalGradient& optimizer) { optimizer.state_->prepare(); }

void OptimizerAccess::require_between_steps(const NaturalGradient& optimizer) {
  const std::int64_t rows = optimizer.state_->partial.rows();
  if (rows == 0) return;
  throw ArgumentError(message("save: ", rows, " rows are accumulated; step() or discard() first"));
}

void OptimizerAccess::adopt_saved_state(NaturalGradient& optimizer) {
  NaturalGradient::State& s = *optimizer.state_;
  RateSettings settings{};
  DampingState damping{};
  s.backend.download(s.scalars.settings, &settings);
  s.backend.download(s.damping->view(), &damping);
  s.options.step = with_rate(s.options.step, settings.rate);
  s.options.damping.absolute = damping.absolute;
  s.options.damping.relative = damping.relative;
  s.damping->set(s.options.damping);
  // The file holds what changes; the rest is as the options ask for.
  s.damping->upload(s.backend);
  s.rule->upload(s.backend);
  s.momentum->upload(s.backend);
  s.rule->set_rate(settings.rate);
  upload_rate(s.backend, settings.rate, s.options, s.scalars);
  s.discard();
}

}  // namespace natgrad::detail
