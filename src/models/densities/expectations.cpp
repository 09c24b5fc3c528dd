#include "models/densities/expectations.hpp"

#include "core/context_state.hpp"
#include "kernels/formulas/densities/scalars.hpp"

namespace natgrad {

namespace {

/// Far from any key that a caller takes beside its own, so that the samples of a divergence are
/// none of those that are drawn.
constexpr std::uint64_t divergence_key = 0x9e3779b97f4a7c15;

}  // namespace

DensityQuadrature::DensityQuadrature(const Context& context, const DensityModel& model)
    : model_(model),
      backend_(context.state().backend()),
      x_(context.array({model.sizes.nodes, model.shape.dimensions}, real)),
      weights_(context.array({model.sizes.nodes, 1}, real)),
      log_p_(context.array({model.sizes.nodes, 1}, real)),
      log_other_(context.array({model.sizes.nodes, 1}, real)),
      scores_(context.array({model.sizes.nodes, model.sizes.parameters}, real)) {}

void DensityQuadrature::place(const DensityPoint& point) {
  backend_.evaluate(formulas::PlaceDensityNodes{.family = model_.family,
                                                .at = point.at(),
                                                .x = x_.view().as<double>(),
                                                .weights = weights_.view().as<double>()});
}

void DensityQuadrature::fisher(const DensityPoint& point, const View& rows) {
  place(point);
  backend_.density_score(model_.family, point.at(), x_, weights_, scores_);
  backend_.syrk(Triangle::upper, Transpose::yes, 1, scores_, 0, rows);
  backend_.evaluate(formulas::FactorSemidefinite{
      .size = rows.rows(), .F = rows.as<double>(), .rows = rows.as<double>()});
}

void DensityQuadrature::kl(const DensityPoint& point, const DensityPoint& other,
                           const View& result) {
  place(point);
  backend_.density_log_p(model_.family, point.at(), x_, log_p_);
  backend_.density_log_p(model_.family, other.at(), x_, log_other_);
  backend_.evaluate(formulas::SumDivergence{.weights = weights_.view().as<double>(),
                                            .log_p = log_p_.view().as<double>(),
                                            .log_other = log_other_.view().as<double>(),
                                            .nodes = x_.view().rows(),
                                            .result = result.as<double>()});
}

void DensityQuadrature::count(const DensityShape& shape, const formulas::DensitySizes& sizes,
                              ByteCount& bytes) {
  bytes.add(sizes.nodes, shape.dimensions + 3 + sizes.parameters, size_of(real));
}

SampledDivergence::SampledDivergence(const Context& context, const DensityModel& model,
                                     std::int64_t draws, std::uint64_t key)
    : model_(model),
      backend_(context.state().backend()),
      key_(key ^ divergence_key),
      counter_(context.array({1, 1}, real)),
      x_(context.array({draws, model.shape.dimensions}, real)),
      log_p_(context.array({draws, 1}, real)),
      log_other_(context.array({draws, 1}, real)) {}

void SampledDivergence::kl(const DensityPoint& point, const DensityPoint& other,
                           const View& result) {
  backend_.fill(0, counter_);
  backend_.density_sample(model_.family, point.at(), key_, counter_, x_);
  backend_.density_log_p(model_.family, point.at(), x_, log_p_);
  backend_.density_log_p(model_.family, other.at(), x_, log_other_);
  backend_.axpby(-1, log_other_, 1, log_p_);
  backend_.column_sums(1 / static_cast<double>(x_.view().rows()), log_p_, result);
}

void SampledDivergence::count(const DensityShape& shape, std::int64_t draws, ByteCount& bytes) {
  bytes.add(1, 1, size_of(real));
  bytes.add(draws, shape.dimensions + 2, size_of(real));
}

}  // namespace natgrad
