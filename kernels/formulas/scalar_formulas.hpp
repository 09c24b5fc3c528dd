#pragma once

#include "kernels/formulas/damping_units.hpp"
#include "kernels/formulas/densities/scalars.hpp"
#include "kernels/formulas/rules/geodesic_acceleration.hpp"
#include "kernels/formulas/rules/kl_trust_region.hpp"
#include "kernels/formulas/rules/levenberg_marquardt.hpp"
#include "kernels/formulas/rules/quadratic_model.hpp"
#include "kernels/formulas/rules/scheduled_damping.hpp"
#include "kernels/formulas/rules/step_length_damping.hpp"
#include "kernels/formulas/solve.hpp"
#include "kernels/formulas/step.hpp"
#include "kernels/formulas/trial.hpp"
#include "natgrad/types.hpp"

#include <iterator>
#include <variant>

namespace natgrad {

// A file or a report writes these structs as numbers under their names.
template <class Struct>
inline constexpr bool every_number_has_a_name = std::size(Struct::names) * sizeof(double) ==
                                                sizeof(Struct);
static_assert(every_number_has_a_name<DampingState> && every_number_has_a_name<SolveScalars> &&
              every_number_has_a_name<TensorUnit> && every_number_has_a_name<KlTrustRegionState> &&
              every_number_has_a_name<GeodesicState> && every_number_has_a_name<Counters> &&
              every_number_has_a_name<RateSettings> && every_number_has_a_name<StepRecord>);

namespace formulas {

template <class Enum>
constexpr bool is_value_of(double number, Enum value) {
  return number == static_cast<double>(value);
}
static_assert(is_value_of(outcome_accepted, Outcome::accepted) &&
              is_value_of(outcome_rejected, Outcome::rejected) &&
              is_value_of(outcome_not_finite, Outcome::not_finite) &&
              is_value_of(outcome_not_positive_definite, Outcome::not_positive_definite));
static_assert(is_value_of(not_finite_nothing, NotFinite::nothing) &&
              is_value_of(not_finite_rows, NotFinite::rows) &&
              is_value_of(not_finite_coefficients, NotFinite::coefficients) &&
              is_value_of(not_finite_gradient, NotFinite::gradient) &&
              is_value_of(not_finite_solution, NotFinite::solution) &&
              is_value_of(not_finite_parameters, NotFinite::parameters) &&
              is_value_of(not_finite_loss, NotFinite::loss));

}  // namespace formulas

/// Every formula that advances numbers on the device: a struct whose members are its constants and
/// the addresses of what it reads and writes. A new one is a row here; both backends run it as it
/// is (`StepOperations::evaluate`).
using ScalarFormula =
    std::variant<formulas::Damp, formulas::PullToZero, formulas::SpringShift,
                 formulas::CenterFactors, formulas::DropRounding, formulas::InverseIterate,
                 formulas::CenterFisher, formulas::JudgeSolve, formulas::AddBlock,
                 formulas::BeginStep, formulas::LimitStep, formulas::BeginTrials,
                 formulas::OpenTrial, formulas::JudgeTrial, formulas::JudgeStep,
                 formulas::JudgeDirection, formulas::UnitOfTensor,
                 // Of densities without inputs.
                 formulas::PrepareDensity, formulas::PlaceDensityNodes, formulas::DensityFisher,
                 formulas::DensityDivergence, formulas::SumDivergence, formulas::FactorSemidefinite,
                 // Of the strategies in rules/.
                 formulas::KlTrustRegionRate, formulas::ChooseStepOfModel,
                 formulas::ScheduledDamping, formulas::FollowReductionRatio,
                 formulas::FollowStepLength, formulas::GeodesicRate, formulas::BeginGeodesic,
                 formulas::OpenProbe, formulas::JudgeAcceleration, formulas::OpenGeodesicTrial,
                 formulas::JudgeGeodesicTrial, formulas::FinishGeodesic, formulas::RememberRate>;

}  // namespace natgrad
