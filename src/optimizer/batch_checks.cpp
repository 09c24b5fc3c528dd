#include "optimizer/batch_checks.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "curvature/damping_options.hpp"
#include "natgrad/error.hpp"

#include <cmath>

namespace natgrad::detail {

namespace {

void check_kind(const char* caller, FisherKind kind, const StrategyNeeds& rule) {
  if (!rule.fisher || kind != FisherKind::empirical) return;
  throw ArgumentError(message(caller, ": ", rule.name,
                              " needs rows of the Fisher: .kind = FisherKind::sampled where they "
                              "are drawn from the model, or exact; these are empirical, which "
                              ".allow_empirical takes as they are"));
}

/// Rows that are derivatives of residuals, whose own r is the gradient's.
void check_residual_rows(const char* caller, const Batch& batch, const StrategyNeeds& rule) {
  const ScoreSet& rows = batch.fisher.rows();
  if (rows.kind() != FisherKind::residual) {
    throw ArgumentError(message(caller, ": ", rule.name, " needs rows of FisherKind::residual, ",
                                "these are ", to_string(rows.kind())));
  }
  if (rows.centering() != Centering::none || batch.gradient.given()) {
    throw ArgumentError(message(caller, ": ", rule.name, " takes the rows' own gradient, with ",
                                "coefficients of minus the residuals, and Centering::none"));
  }
}

void check_gradient_rows(const char* caller, const ScoreSet& rows, const ScoreSet& other,
                         const Parameters& parameters) {
  other.require_rows({caller, "gradient"}, parameters);
  if (other.centering() != Centering::none) {
    throw ArgumentError(message(
        caller, ": the rows of .gradient are not centred; centre their coefficients instead"));
  }
  const bool whole = rows.size() == rows.batch_samples();
  if (whole && other.size() != other.batch_samples()) {
    throw ArgumentError(message(caller, ": the rows of .gradient are ", other.size(), " of ",
                                other.batch_samples(), " samples, those of .fisher are whole"));
  }
}

void check_gradient(const char* caller, const ScoreSet& rows, const GradientSource& gradient,
                    const BatchContract& contract) {
  if (!gradient.given()) return rows.require_gradient(caller);
  if (rows.centering() == Centering::fisher_only) {
    throw ArgumentError(message(caller,
                                ": .centering = Centering::fisher_only goes with the rows' own "
                                "gradient; centre them"));
  }
  require_damping(caller, rows.batch_samples(), contract);
  const Parameters& parameters = contract.parameters;
  if (gradient.rows() != nullptr) {
    return check_gradient_rows(caller, rows, gradient.rows()->rows(), parameters);
  }
  const Gradient& numbers = *gradient.numbers();
  require_operand({caller, "gradient"}, numbers.view, {parameters.size(), 1}, parameters.type(),
                  parameters.context().state().memory());
  if (!std::isfinite(numbers.scale)) {
    throw OptionError(message(caller, ": gradient .scale = ", numbers.scale, ", must be finite"));
  }
}

}  // namespace

void require_damping(const char* caller, std::int64_t rows, const BatchContract& contract) {
  const bool diagonal = contract.options.structure == Structure::diagonal;
  const bool regular = contract.form != Form::dual && (diagonal || contract.active.size() <= rows);
  if (contract.damped || regular) return;
  throw ArgumentError(
      message(caller,
              ": a gradient that is given needs damping > 0 where F is singular: in "
              "the dual form, and with fewer rows than parameters"));
}

void require_takes_parts(const char* caller, const BatchContract& contract) {
  for (const StrategyNeeds& needs : {contract.rule, contract.damping}) {
    if (!needs.whole_batch()) continue;
    throw ArgumentError(message(caller, ": ", needs.name,
                                " takes the whole batch in one call of step, not its parts"));
  }
}

void check_functions(const char* caller, const Batch& batch, const BatchContract& contract) {
  for (const StrategyNeeds& needs : {contract.rule, contract.damping}) {
    if (needs.loss && !batch.loss) {
      throw OptionError(
          message(caller, ": ", needs.name, " compares losses: give the batch's .loss"));
    }
    if (needs.kl && !batch.kl) {
      throw OptionError(message(caller, ": ", needs.name,
                                " with trials compares KL divergences: ", "give the batch's .kl"));
    }
    if (needs.residuals && !batch.residuals) {
      throw OptionError(
          message(caller, ": ", needs.name, " evaluates residuals: give the batch's .residuals"));
    }
  }
}

void require_whole_batch(const char* caller, const Batch& batch) {
  const ScoreSet& rows = batch.fisher.rows();
  if (rows.batch_samples() == rows.size()) return;
  throw ArgumentError(message(caller, ": the scores hold ", rows.size(), " of ",
                              rows.batch_samples(), " samples; a ", caller,
                              " takes the whole batch, accumulate takes parts"));
}

void check_batch(const char* caller, const Batch& batch, const BatchContract& contract) {
  const ScoreSet& rows = batch.fisher.rows();
  rows.require_rows(caller, contract.parameters);
  for (const StrategyNeeds& needs : {contract.rule, contract.damping}) {
    check_kind(caller, rows.kind(), needs);
    if (needs.residuals) check_residual_rows(caller, batch, needs);
  }
  if (rows.size() != rows.batch_samples()) require_takes_parts(caller, contract);
  require_scalable(caller, contract.options.damping.scaling, contract.options.form, rows);
  check_gradient(caller, rows, batch.gradient, contract);
  if (rows.centering() == Centering::fisher_only && (contract.starts || contract.options.l2 > 0)) {
    throw ArgumentError(
        message(caller, ": .centering = Centering::fisher_only goes with neither SPRING nor .l2"));
  }
}

}  // namespace natgrad::detail
