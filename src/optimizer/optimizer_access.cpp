// The natural gradient as a checkpoint sees it.

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "optimizer/natural_gradient_state.hpp"
#include "optimizer/optimizer_state.hpp"
#include "optimizer/options.hpp"

#include <cstring>

namespace natgrad::detail {

OptimizerState OptimizerAccess::state(const NaturalGradient& optimizer) {
  NaturalGradient::State& s = *optimizer.state_;
  std::string frozen;  // the tensors that momentum has no numbers of, in words
  constexpr auto scalar_bytes = static_cast<std::int64_t>(sizeof(StepScalars));
  OptimizerState state{
      s.parameters,
      "natural gradient without momentum",
      {{"reported", sizeof s.reported, &s.reported, {}, sound_counter},
       {"failures thrown", sizeof s.failures_thrown, &s.failures_thrown, {}, sound_counter},
       {"scalars", scalar_bytes, nullptr, s.scalars, sound_scalars},
       {"reports", NaturalGradient::State::ring_slots * scalar_bytes, nullptr, s.ring,
        sound_scalars}}};
  for (int i = 0, next = 0; s.active.frozen() && i < s.parameters.segments(); ++i) {
    const auto& moving = s.active.tensors();
    const auto index = static_cast<std::size_t>(next);
    if (index < moving.size() && moving[index].segment.index == i)
      ++next;
    else
      frozen += message(frozen.empty() ? " and frozen " : ", ", s.parameters.name({i}));
  }
  state.kind += frozen;
  if (std::holds_alternative<NoMomentum>(s.options.momentum)) return state;
  state.kind = std::holds_alternative<Spring>(s.options.momentum)
                   ? "natural gradient with SPRING momentum"
                   : "natural gradient with heavy-ball momentum";
  state.kind += frozen;
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

void OptimizerAccess::check_settings(const NaturalGradient& optimizer,
                                     std::span<const std::byte> scalars) {
  StepScalars loaded{};
  std::memcpy(&loaded, scalars.data(), sizeof loaded);
  check_options(optimizer.state_->adopted(loaded), optimizer.state_->parameters.type());
}

void OptimizerAccess::settle(NaturalGradient& optimizer) { optimizer.state_->adopt_scalars(); }

}  // namespace natgrad::detail
