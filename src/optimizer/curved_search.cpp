#include "optimizer/curved_search.hpp"

#include "kernels/formulas/rules/geodesic_acceleration.hpp"

#include <limits>

namespace natgrad::detail {

void CurvedSearch::run() {
  in_.active.keep(backend_, in_.kept);
  try {
    begin();
    accelerate();
    const int trials = in_.bend.options.trials;
    for (int i = 1; i <= trials && !is_done(); ++i) try_rate(i == trials);
  } catch (...) {
    const View always = field(&TrialScalars::restore);
    backend_.fill(1, always);
    in_.active.restore(backend_, always, in_.kept);
    backend_.axpby(-1.0, always, 1.0, scalar(scalars_.counters, &Counters::attempts));
    throw;
  }
  finish();
}

/// The residuals at theta are those of the rows.
void CurvedSearch::begin() {
  const ConstView r = in_.rows.rhs();
  backend_.dot(r, r, field(&TrialScalars::loss_before));
  backend_.evaluate(formulas::BeginGeodesic{.state = address<GeodesicState>(in_.bend.state),
                                            .geodesic = geodesic(),
                                            .trial = trial(),
                                            .step = step(),
                                            .first_rate = in_.bend.options.first_rate,
                                            .probe = in_.bend.options.probe});
}

/// R of the parameters as they stand, to `weighted`. A callable that writes nothing has measured
/// NaN.
void CurvedSearch::measure() {
  const CurvedBuffers& b = in_.buffers;
  backend_.fill(std::numeric_limits<double>::quiet_NaN(), b.residuals);
  {
    const ContextState::CallersTurn turn(context_);
    in_.measure(b.residuals);
  }
  backend_.row_scaling(in_.rows.set().weights, in_.rows.uniform_weight(), b.residuals, 0.0, 1,
                       b.scale, b.weighted);
}

/// c = -(F + lambda D)^-1 S^T k with k = 2/h ((R(theta + h d) - R) / h - S d), and R = -r.
void CurvedSearch::accelerate() {
  const CurvedBuffers& b = in_.buffers;
  const View probe = field(&GeodesicScalars::probe);
  const std::span<const UpdatedTensor> along = in_.active.updates(in_.direction);
  backend_.check_update(along, probe, 0.0, field(&GeodesicScalars::probe_finite));
  backend_.evaluate(
      formulas::OpenProbe{.geodesic = geodesic(), .trial = trial(), .solve = solved()});
  backend_.update(field(&GeodesicScalars::probes), along, probe, 0.0);
  measure();
  in_.active.restore(backend_, field(&GeodesicScalars::probes), in_.kept);

  backend_.axpby(1.0, in_.rows.rhs(), 1.0, b.weighted);
  const View& product = b.residuals;
  in_.solve.multiply_direction(product);
  backend_.axpby(field(&GeodesicScalars::of_slope), product, field(&GeodesicScalars::of_difference),
                 b.weighted);
  backend_.dot(b.weighted, b.weighted, field(&GeodesicScalars::second_square));
  in_.solve.solve_again(b.weighted, b.acceleration);
  backend_.dot(b.acceleration, b.acceleration, field(&GeodesicScalars::product_square));
  backend_.evaluate(formulas::JudgeAcceleration{.geodesic = geodesic()});
  backend_.fill(0, in_.movement);
  backend_.commit(field(&GeodesicScalars::straight), in_.movement, b.acceleration);
}

void CurvedSearch::load_movement() {
  backend_.axpby(field(&StepScalars::rate), in_.direction, 0.0, in_.movement);
  backend_.axpby(field(&GeodesicScalars::half_square), in_.buffers.acceleration, 1.0, in_.movement);
}

void CurvedSearch::try_rate(bool last) {
  load_movement();
  const std::span<const UpdatedTensor> moved = in_.active.updates(in_.movement);
  backend_.check_update(moved, 1.0, 0.0, field(&StepScalars::finite));
  backend_.evaluate(formulas::OpenGeodesicTrial{
      .geodesic = geodesic(), .trial = trial(), .solve = solved(), .step = step()});
  backend_.update(field(&TrialScalars::open), moved, 1.0, 0.0);
  measure();
  const View& R = in_.buffers.weighted;
  backend_.dot(R, R, field(&TrialScalars::measured));
  backend_.evaluate(formulas::JudgeGeodesicTrial{.geodesic = geodesic(),
                                                 .trial = trial(),
                                                 .solve = solved(),
                                                 .step = step(),
                                                 .shrink = in_.bend.options.shrink,
                                                 .last = last});
  in_.active.restore(backend_, field(&TrialScalars::restore), in_.kept);
}

/// Where the host can see that no later trial would move, it need not enqueue them.
bool CurvedSearch::is_done() const {
  return backend_.device().kind == DeviceKind::cpu && geodesic()->done != 0;
}

void CurvedSearch::finish() {
  backend_.evaluate(
      formulas::FinishGeodesic{.geodesic = geodesic(), .trial = trial(), .step = step()});
  load_movement();
  backend_.update(field(&TrialScalars::passed), in_.active.updates(in_.movement), 1.0, 0.0);
}

}  // namespace natgrad::detail
