// The natural gradient as a checkpoint sees it.

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/optimizer_state.hpp"

#include <algorithm>
#include <cstring>

namespace natgrad::detail {

OptimizerState OptimizerAccess::state(const NaturalGradient& optimizer) {
  NaturalGradient::State& s = *optimizer.state_;
  using Enqueued = decltype(s.enqueued);
  const auto sound_enqueued = [](std::span<const std::byte> content) {
    Enqueued enqueued;
    std::memcpy(&enqueued, content.data(), sizeof enqueued);
    return std::ranges::all_of(enqueued, [](const auto& step) {
      return step.form <= Form::dual && step.kind <= Kind::residual;
    });
  };
  constexpr auto scalar_bytes = static_cast<std::int64_t>(sizeof(StepScalars));
  OptimizerState state{
      s.parameters,
      "natural gradient without momentum",
      {{"steps", sizeof s.steps, &s.steps, {}, sound_counter},
       {"reported", sizeof s.reported, &s.reported, {}, sound_counter},
       {"failures thrown", sizeof s.failures_thrown, &s.failures_thrown, {}, sound_counter},
       {"forms and kinds", sizeof s.enqueued, s.enqueued.data(), {}, sound_enqueued},
       {"scalars", scalar_bytes, nullptr, s.scalars, sound_scalars},
       {"reports", NaturalGradient::State::ring_slots * scalar_bytes, nullptr, s.ring,
        sound_scalars}}};
  if (std::holds_alternative<NoMomentum>(s.options.momentum)) return state;
  state.kind = std::holds_alternative<Spring>(s.options.momentum)
                   ? "natural gradient with SPRING momentum"
                   : "natural gradient with heavy-ball momentum";
  const std::int64_t bytes = s.active.size() * size_of(s.parameters.type());
  state.parts.push_back({"momentum", bytes, nullptr, s.momentum, nullptr});
  return state;
}

void OptimizerAccess::allocate(const NaturalGradient& optimizer) { optimizer.state_->prepare(); }

void OptimizerAccess::require_between_steps(const NaturalGradient& optimizer) {
  const std::int64_t rows = optimizer.state_->gathered.rows;
  if (rows == 0) return;
  throw ArgumentError(message("save: ", rows, " rows are accumulated; step() or discard() first"));
}

void OptimizerAccess::settle(NaturalGradient& optimizer) { optimizer.state_->adopt_scalars(); }

}  // namespace natgrad::detail
