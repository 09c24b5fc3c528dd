#include "optimizer/saved_state.hpp"

#include "core/message.hpp"
#include "kernels/formulas/step_scalars.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/options.hpp"

#include <array>
#include <cstring>

namespace natgrad::detail {

namespace {

using Field = RecordField<StepScalars>;

bool is_outcome(double value) {
  return is_count(value) && value <= static_cast<double>(Outcome::not_positive_definite);
}
bool is_form(double value) { return is_count(value) && value <= static_cast<double>(Form::dual); }
bool is_kind(double value) {
  return is_count(value) && value <= static_cast<double>(FisherKind::residual);
}

// Of the other scalars some are options, which stay the optimizer's own, and some are of one solve.
constexpr std::array kept_scalars = {
    Field{"settings.rate", &StepScalars::rate},
    Field{"settings.absolute_damping", &StepScalars::absolute_damping},
    Field{"settings.relative_damping", &StepScalars::relative_damping},
    Field{"counters.steps", &StepScalars::step, {}, is_count},
    Field{"counters.accepted_steps", &StepScalars::taken, {}, is_count},
    Field{"counters.failures_in_a_row", &StepScalars::failures, {}, is_count},
};

// What a `StepReport` is made of.
constexpr std::array kept_reports = {
    Field{"step", &StepScalars::step, {}, is_count},
    Field{"outcome", &StepScalars::outcome, {}, is_outcome},
    Field{"form", &StepScalars::form, {}, is_form},
    Field{"fisher_kind", &StepScalars::kind, {}, is_kind},
    Field{"rate", &StepScalars::step_rate},
    Field{"damping", &StepScalars::damping},
    Field{"quadratic_form", &StepScalars::quadratic_form},
    Field{"residual", &StepScalars::residual},
    Field{"error_bound", &StepScalars::error_bound},
    Field{"failures_in_a_row", &StepScalars::failures, {}, is_count},
};

/// Momentum has no numbers of frozen tensors.
std::string in_words(const Parameters& parameters, const Momentum& momentum, const Active& active) {
  std::string words = "natural gradient without momentum";
  if (std::holds_alternative<Spring>(momentum)) {
    words = "natural gradient with SPRING momentum";
  } else if (std::holds_alternative<HeavyBall>(momentum)) {
    words = "natural gradient with heavy-ball momentum";
  }
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

}  // namespace

SavedState OptimizerAccess::saved_state(const NaturalGradient& optimizer) {
  NaturalGradient::State& s = *optimizer.state_;
  s.follow_parameters();
  SavedState state{.parameters = s.parameters,
                   .optimizer = in_words(s.parameters, s.options.momentum, s.active)};
  SavedRecords scalars = saved_records("", kept_scalars, s.scalars);
  scalars.check = [&s](std::span<const double> record) {
    StepScalars loaded{};
    std::memcpy(&loaded, record.data(), sizeof loaded);
    check_options(s.adopted(loaded), s.parameters.type());
  };
  state.records.push_back(std::move(scalars));
  state.records.push_back(
      saved_records("reports.", kept_reports, s.ring, NaturalGradient::State::ring_slots));
  state.counters = {{"counters.reported", &s.reported},
                    {"counters.failures_thrown", &s.failures_thrown}};
  if (std::holds_alternative<NoMomentum>(s.options.momentum)) return state;
  SavedTensors momentum{.name = "momentum", .segments = {}, .numbers = s.momentum};
  for (const Active::Tensor& tensor : s.active.tensors()) {
    momentum.segments.push_back(tensor.segment);
  }
  state.tensors.push_back(std::move(momentum));
  return state;
}

void OptimizerAccess::allocate(const NaturalGradient& optimizer) { optimizer.state_->prepare(); }

void OptimizerAccess::require_between_steps(const NaturalGradient& optimizer) {
  const std::int64_t rows = optimizer.state_->gathered.rows;
  if (rows == 0) return;
  throw ArgumentError(message("save: ", rows, " rows are accumulated; step() or discard() first"));
}

void OptimizerAccess::adopt_saved_state(NaturalGradient& optimizer) {
  optimizer.state_->adopt_scalars();
}

}  // namespace natgrad::detail
