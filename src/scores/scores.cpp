#include "natgrad/scores.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "scores/score_set.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// Scratch of S^T r. Centred rows cancel, and are summed in double.
struct GradientBuffers {
  View rhs;     // r (N)
  View centre;  // u (N), where rows are centred
  View wide;    // S^T r (P) float64, where the parameters are not
  Scratch work;
  GradientBuffers(detail::Carver& carver, const detail::ScoreSet& rows) {
    const Parameters& parameters = rows.parameters();
    const Backend& backend = parameters.context().state().backend();
    const bool centred = rows.centering() == Centering::rows;
    const ElementType type = centred ? ElementType::float64 : parameters.type();
    rhs = carver.take({rows.size(), 1}, type);
    if (centred) centre = carver.take({rows.size(), 1}, type);
    if (type != parameters.type()) wide = carver.take({parameters.size(), 1}, type);
    work.bytes = backend.rows_scratch(rows.blocks().blocks, rows.size(), parameters.type(), type);
    work.data = carver.take_bytes(work.bytes);
  }
};

bool near(double value, double expected) {
  constexpr double tolerance = 1e-3;
  return std::abs(value - expected) <= tolerance * std::abs(expected);
}

std::string explain(const ScoresCheck& check, double n) {
  constexpr double agreement = 1e-3;
  if (!(check.factor * 0 == 0) || !(check.distance * 0 == 0)) {
    return "nothing to compare: the gradient or S^T r is zero or not finite";
  }
  if (!(check.distance_scaled <= agreement)) {
    return message("the gradients differ: relative distance ", check.distance, ", and still ",
                   check.distance_scaled, " with the best factor ", check.factor);
  }
  if (check.distance <= agreement) {
    return message("the gradients agree: relative distance ", check.distance);
  }
  std::string text =
      message("the gradients agree up to a factor: S^T r is ", check.factor, " times the gradient");
  if (near(check.factor, -1)) {
    text += "; -1: yours is the gradient of a loss, scores point uphill";
  } else if (near(check.factor, 1 / n) || near(check.factor, -1 / n)) {
    const char* sign = check.factor > 0 ? "" : "-";
    text +=
        message("; ", sign, "1/N: the output scores seem to hold the 1/N of a mean; pass .scale = ",
                "-N where they are of a loss, N where they are of log p");
  } else if (near(check.factor, n) || near(check.factor, -n)) {
    text += message("; ", check.factor > 0 ? "" : "-",
                    "N: one side is a sum and the other a mean over the batch");
  } else if (near(check.factor, 2) || near(check.factor, 0.5)) {
    text += "; 2 or 1/2: a square and its half";
  }
  return text;
}

}  // namespace

Scores::Scores(Parameters parameters, FisherKind kind)
    : rows_(std::make_unique<detail::ScoreSet>(std::move(parameters), kind)) {}
Scores::~Scores() = default;
Scores::Scores(Scores&&) noexcept = default;
Scores& Scores::operator=(Scores&&) noexcept = default;

const Parameters& Scores::parameters() const { return rows_->parameters(); }
FisherKind Scores::kind() const { return rows_->kind(); }
std::int64_t Scores::samples() const { return rows_->size(); }
std::int64_t Scores::batch_samples() const { return rows_->batch_samples(); }

void Scores::gradient(const View& gradient) const {
  const Parameters& p = parameters();
  rows_->require_rows("gradient", p);
  rows_->require_gradient("gradient");
  if (rows_->centering() == Centering::rows && samples() != batch_samples()) {
    throw ArgumentError(message("gradient: centred rows need the whole batch, these are ",
                                samples(), " of ", batch_samples()));
  }
  detail::require_operand("gradient", gradient, {p.size(), 1}, p.type(),
                          p.context().state().memory());
  for (const LayerUse& block : rows_->blocks().blocks) {
    detail::require_disjoint("gradient", gradient, "a layer's input", block.input);
    detail::require_disjoint("gradient", gradient, "a layer's output score", block.output_score);
  }
  detail::ContextState& context = p.context().state();
  const auto buffers = context.arena().buffers<GradientBuffers>(*rows_);
  Backend& backend = context.backend();
  backend.copy(rows_->rhs(), buffers.rhs);
  if (!buffers.centre.empty()) {
    backend.copy(rows_->scale(), buffers.centre);
    backend.project(buffers.centre, buffers.rhs);
  }
  const View& sum = buffers.wide.empty() ? gradient : buffers.wide;
  backend.adjoint(rows_->blocks(), buffers.rhs, 0, sum, buffers.work);
  if (!buffers.wide.empty()) backend.copy(buffers.wide, gradient);
}

ScoresCheck Scores::check(const ConstView& gradient) const {
  const Parameters& p = parameters();
  detail::require_operand("check: gradient", gradient, {p.size(), 1}, p.type(),
                          p.context().state().memory());
  const Array own = p.context().array({p.size(), 1}, p.type());
  this->gradient(own);
  const Array products = p.context().array({3, 1}, ElementType::float64);
  Backend& backend = p.context().state().backend();
  backend.dot(own, own, products.view().row_range(0, 1));
  backend.dot(own, gradient, products.view().row_range(1, 1));
  backend.dot(gradient, gradient, products.view().row_range(2, 1));
  std::array<double, 3> values{};
  backend.download(products, values.data());
  const double own_square = values[0];

  // |f g - h|^2 = f^2 g.g - 2 f g.h + h.h would cancel where they agree: take the difference
  // itself.
  const Array difference = p.context().array({p.size(), 1}, p.type());
  const auto distance = [&](double factor) {
    backend.copy(own, difference);
    backend.axpby(factor, gradient, -1.0, difference);
    backend.dot(difference, difference, products.view().row_range(0, 1));
    double value = 0;
    backend.download(products.view().row_range(0, 1), &value);
    return std::sqrt(value / own_square);
  };
  ScoresCheck check;
  check.distance = distance(1);
  check.factor = values[1] / values[2];
  check.distance_scaled = distance(check.factor);
  check.uncovered = rows_->uncovered();
  check.text = explain(check, static_cast<double>(samples()));
  for (const std::string& name : check.uncovered) {
    check.text += message("; no row touches parameter ", name);
  }
  return check;
}

ScoresCheck Scores::check(std::span<const ConstView> gradient) const {
  const Parameters& p = parameters();
  if (static_cast<int>(gradient.size()) != p.segments()) {
    throw ShapeError(
        message("check: gradient has ", gradient.size(), " views for ", p.segments(), " segments"));
  }
  const Array whole = p.context().array({p.size(), 1}, p.type());
  for (int i = 0; i < p.segments(); ++i) {
    const ConstView& part = gradient[static_cast<std::size_t>(i)];
    const std::string name = message("check: gradient of ", p.name({i}));
    detail::require_given(name, part, p.context().state().memory());
    detail::require_type(name, part, p.type());
    detail::require_shape(name, part, p.tensor({i}).shape());
    p.context().state().backend().copy(part, p.part({i}, whole.view()));
  }
  return check(whole);
}

DenseScores::DenseScores(Parameters parameters) : DenseScores(std::move(parameters), Options{}) {}
DenseScores::DenseScores(Parameters parameters, Options options)
    : Scores(std::move(parameters), options.kind) {}

void DenseScores::begin(const ConstView& rows, RowSet set) {
  const Parameters& p = parameters();
  detail::require_given("dense scores: rows", rows, p.context().state().memory());
  detail::require_type("dense scores: rows", rows, p.type());
  detail::ScoreSet::require_blas_sizes("dense scores: rows", rows, 1);
  if (set.samples == 0) set.samples = rows.rows();
  mutable_rows().check(set);
  detail::require_shape("dense scores: rows", rows, {set.samples, p.size()});
  mutable_rows().begin(set);
  mutable_rows().add_dense(rows);
}

LayerScores::LayerScores(Parameters parameters) : LayerScores(std::move(parameters), Options{}) {}
LayerScores::LayerScores(Parameters parameters, Options options)
    : Scores(std::move(parameters), options.kind) {}

void LayerScores::begin(const RowSet& set) { mutable_rows().begin(set); }
void LayerScores::add(const Layer& layer) { mutable_rows().add(layer); }

}  // namespace natgrad
