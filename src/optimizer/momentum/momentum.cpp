#include "optimizer/momentum/momentum.hpp"

#include "optimizer/momentum/heavy_ball.hpp"
#include "optimizer/momentum/spring.hpp"

namespace natgrad::detail {

namespace {

class NoMemory final : public MomentumStrategy {
 public:
  const char* name() const override { return nullptr; }
};

std::unique_ptr<MomentumStrategy> make(const NoMomentum&) { return std::make_unique<NoMemory>(); }
std::unique_ptr<MomentumStrategy> make(const HeavyBall& options) {
  return std::make_unique<HeavyBallMomentum>(options.decay);
}
std::unique_ptr<MomentumStrategy> make(const Spring& options) {
  return std::make_unique<SpringMomentum>(options.decay);
}

}  // namespace

std::unique_ptr<MomentumStrategy> make_momentum(const Momentum& momentum) {
  return std::visit([](const auto& options) { return make(options); }, momentum);
}

}  // namespace natgrad::detail
