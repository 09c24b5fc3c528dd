#pragma once

#include "kernels/formulas/rules/kl_trust_region.hpp"
#include "kernels/formulas/solve.hpp"
#include "kernels/formulas/step.hpp"

#include <variant>

namespace natgrad {

/// Every formula that advances numbers on the device: a struct whose members are its constants and
/// the addresses of what it reads and writes. A new one is a row here; both backends run it as it
/// is (`StepOperations::evaluate`).
using ScalarFormula =
    std::variant<formulas::Damp, formulas::PullToZero, formulas::SpringShift,
                 formulas::CenterFactors, formulas::CenterFisher, formulas::JudgeSolve,
                 formulas::AddBlock, formulas::BeginStep, formulas::KlTrustRegionRate,
                 formulas::LimitStep, formulas::JudgeStep, formulas::JudgeDirection>;

}  // namespace natgrad
