#include "natgrad/scores.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "scores/not_finite.hpp"
#include "scores/score_checks.hpp"
#include "scores/score_set.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

/// Scratch of S^T r. Centred rows cancel, and are summed in double.
struct GradientBuffers {
  View rhs;     // r (N)
  View centre;  // u (N), where rows are centred
  View sum;     // S^T r (P) float64, where the parameters are float and rows are centred
  Scratch work;
  GradientBuffers(detail::Carver& carver, const detail::ScoreSet& rows) {
    const Parameters& parameters = rows.parameters();
    const Backend& backend = parameters.context().state().backend();
    const bool centred = rows.centering() == Centering::rows;
    const ElementType type = centred ? ElementType::float64 : parameters.type();
    rhs = carver.take({rows.size(), 1}, type);
    if (centred) centre = carver.take({rows.size(), 1}, type);
    if (type != parameters.type()) sum = carver.take({parameters.size(), 1}, type);
    work.bytes = backend.rows_scratch(rows.blocks().blocks, rows.size(), parameters.type(), type);
    work.data = carver.take_bytes(work.bytes);
  }
};

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

bool near(double value, double expected) {
  constexpr double tolerance = 1e-3;
  return std::abs(value - expected) <= tolerance * std::abs(expected);
}

/// What a factor f with S^T r = f gradient may come from. The sums alone cannot tell on which side.
std::string meaning(double f, double n, double part) {
  constexpr const char* which = "; check_scores, which needs no gradient, tells which";
  if (near(f, -1)) {
    return message(
        ": -1, which is right where yours is the gradient of a loss; where yours points uphill, "
        "the rows are those of a loss, and .scale = -1 turns them",
        which);
  }
  const bool whole = n != 1;
  if (whole && near(f, 1 / n)) {
    return message(
        ": 1/N: either yours is the gradient of a sum over the batch, and the rows are right, or "
        "the output scores hold the 1/N of a mean, and .scale = N removes it",
        which);
  }
  if (whole && near(f, -1 / n)) {
    return message(
        ": -1/N: either yours is the gradient of a loss summed over the batch, and the rows are "
        "right, or the output scores are those of a mean loss, and .scale = -N makes them scores",
        which);
  }
  if (whole && (near(f, n) || near(f, -n))) {
    return message(": ", f > 0 ? "" : "-", "N: either yours was divided by N once more",
                   f > 0 ? "" : ", as a loss,",
                   ", or the rows (or weights) hold a factor N too many", which);
  }
  if (part != 1 && (near(f, part) || near(f, -part))) {
    return message(
        ": ", f > 0 ? "" : "-",
        "N/M: yours seems to be a mean over this set alone, which is a part of the batch", which);
  }
  if (near(f, 2) || near(f, 0.5))
    return message(": 2 or 1/2: a square and its half, on one side", which);
  return which;
}

std::string explain(const ScoresCheck& check, const detail::ScoreSet& rows) {
  constexpr double agreement = 1e-3;
  if (!(check.distance_scaled <= agreement)) {
    return message("the gradients differ: relative distance ", check.distance, ", and still ",
                   check.distance_scaled, " with the best factor ", check.factor,
                   "; check_scores names the rows that are off");
  }
  if (check.distance <= agreement) {
    return message("the gradients agree: relative distance ", check.distance,
                   ", both point the same way; if yours is the gradient of a loss, the rows have "
                   "the wrong sign (.scale = -1). check_scores compares them with log p itself");
  }
  const auto batch = static_cast<double>(rows.batch_samples());
  return message("the gradients agree up to a factor: S^T r is ", check.factor,
                 " times the gradient",
                 meaning(check.factor, batch, static_cast<double>(rows.size()) / batch));
}

/// Why two gradients, of which one is 0 or not finite, cannot be compared.
std::string explain_nothing(const detail::ScoreSet& rows, const ConstView& gradient,
                            double own_square, double square) {
  const Parameters& parameters = rows.parameters();
  std::string reason = detail::describe_bad_numbers("the gradient", parameters, gradient);
  if (reason.empty()) reason = detail::describe_bad_columns(rows);
  if (reason.empty()) reason = detail::describe_bad_factors(rows);
  if (reason.empty() && own_square == 0) reason = "S^T r is zero";
  if (reason.empty() && square == 0) reason = "the gradient is zero";
  if (reason.empty()) reason = "S^T r, or a product with it, is beyond what its type holds";
  return "nothing to compare: " + reason;
}

}  // namespace

Scores::Scores(Parameters parameters, FisherKind kind)
    : rows_(detail::with_memory_errors(
          [&] { return std::make_unique<detail::ScoreSet>(std::move(parameters), kind); })) {}
Scores::~Scores() = default;
Scores::Scores(Scores&&) noexcept = default;
Scores& Scores::operator=(Scores&&) noexcept = default;

const Parameters& Scores::parameters() const { return rows_->parameters(); }
FisherKind Scores::kind() const { return rows_->kind(); }
std::int64_t Scores::samples() const { return rows_->size() / rows_->parts(); }
std::int64_t Scores::batch_samples() const { return rows_->batch_samples() / rows_->parts(); }

void Scores::clear() {
  detail::with_memory_errors([&] { rows_->clear(); });
}

namespace {

void write_gradient(const detail::ScoreSet& rows, const View& gradient) {
  const Parameters& p = rows.parameters();
  rows.require_rows("gradient", p);
  rows.require_gradient("gradient");
  if (rows.centering() == Centering::rows && rows.size() != rows.batch_samples()) {
    throw ArgumentError(message("gradient: centred rows need the whole batch, these are ",
                                rows.size(), " of ", rows.batch_samples()));
  }
  detail::require_operand("gradient", gradient, {p.size(), 1}, p.type(),
                          p.context().state().memory());
  for (const LayerUse& block : rows.blocks().blocks) {
    detail::require_disjoint("gradient", gradient, "a layer's input", block.input);
    detail::require_disjoint("gradient", gradient, "a layer's output score", block.output_score);
  }
  detail::ContextState& context = p.context().state();
  const auto buffers = context.arena().buffers<GradientBuffers>(rows);
  Backend& backend = context.backend();
  backend.copy(rows.rhs(), buffers.rhs);
  if (!buffers.centre.empty()) {
    backend.copy(rows.scale(), buffers.centre);
    backend.project(buffers.centre, buffers.rhs);
  }
  const View& sum = buffers.sum.empty() ? gradient : buffers.sum;
  backend.adjoint(rows.blocks(), buffers.rhs, 0, sum, buffers.work);
  if (!buffers.sum.empty()) backend.copy(buffers.sum, gradient);
}

ScoresCheck check_gradient(const detail::ScoreSet& rows, const ConstView& gradient) {
  const Parameters& p = rows.parameters();
  detail::require_operand("check: gradient", gradient, {p.size(), 1}, p.type(),
                          p.context().state().memory());
  const Array sum = p.context().array({p.size(), 1}, p.type());
  write_gradient(rows, sum);
  const Array products = p.context().array({3, 1}, ElementType::float64);
  Backend& backend = p.context().state().backend();
  backend.dot(sum, sum, products.view().row_range(0, 1));
  backend.dot(sum, gradient, products.view().row_range(1, 1));
  backend.dot(gradient, gradient, products.view().row_range(2, 1));
  std::array<double, 3> values{};
  backend.download(products, values.data());
  const double sum_square = values[0];

  // |f g - h|^2 = f^2 g.g - 2 f g.h + h.h would cancel where they agree: take the difference
  // itself.
  const Array difference = p.context().array({p.size(), 1}, p.type());
  const auto distance = [&](double factor) {
    backend.copy(sum, difference);
    backend.axpby(factor, gradient, -1.0, difference);
    backend.dot(difference, difference, products.view().row_range(0, 1));
    double value = 0;
    backend.download(products.view().row_range(0, 1), &value);
    return sum_square > 0 ? std::sqrt(value / sum_square) : nan;
  };
  ScoresCheck check;
  check.distance = distance(1);
  check.factor = values[2] > 0 ? values[1] / values[2] : nan;
  check.distance_scaled = distance(check.factor);
  check.uncovered = detail::uncovered_parameters(rows);
  check.text = std::isfinite(check.factor) && std::isfinite(check.distance)
                   ? explain(check, rows)
                   : explain_nothing(rows, gradient, sum_square, values[2]);
  for (const std::string& name : check.uncovered) {
    check.text += message("; no row touches parameter ", name);
  }
  return check;
}

/// The segments' gradients as one array of P numbers.
Array joined(const Parameters& p, std::span<const ConstView> gradient) {
  if (static_cast<int>(gradient.size()) != p.segments()) {
    throw ShapeError(
        message("check: gradient has ", gradient.size(), " views for ", p.segments(), " segments"));
  }
  Array whole = p.context().array({p.size(), 1}, p.type());
  for (int i = 0; i < p.segments(); ++i) {
    const ConstView& part = gradient[static_cast<std::size_t>(i)];
    const std::string name = message("check: gradient of ", p.name({i}));
    detail::require_given(name, part, p.context().state().memory());
    detail::require_type(name, part, p.type());
    detail::require_shape(name, part, p.tensor({i}).shape());
    p.context().state().backend().copy(part, p.part({i}, whole.view()));
  }
  return whole;
}

}  // namespace

void Scores::gradient(const View& gradient) const {
  detail::with_memory_errors([&] { write_gradient(*rows_, gradient); });
}

ScoresCheck Scores::check(const ConstView& gradient) const {
  return detail::with_memory_errors([&] { return check_gradient(*rows_, gradient); });
}

ScoresCheck Scores::check(std::span<const ConstView> gradient) const {
  return detail::with_memory_errors(
      [&] { return check_gradient(*rows_, joined(parameters(), gradient)); });
}

DenseScores::DenseScores(Parameters parameters) : DenseScores(std::move(parameters), Options{}) {}
DenseScores::DenseScores(Parameters parameters, Options options)
    : Scores(std::move(parameters), options.kind) {}

void DenseScores::begin(const ConstView& rows, RowSet set) {
  detail::with_memory_errors([&] {
    const Parameters& p = parameters();
    detail::require_given("dense scores: rows", rows, p.context().state().memory());
    detail::require_type("dense scores: rows", rows, p.type());
    detail::require_blas_sizes("dense scores: rows", rows, 1);
    if (set.samples == 0 && set.parts > 0 && rows.rows() % set.parts == 0) {
      set.samples = rows.rows() / set.parts;
    }
    detail::check_row_set(p, kind(), set);
    detail::require_shape("dense scores: rows", rows, {set.samples * set.parts, p.size()});
    mutable_rows().begin_dense(set, rows);
  });
}

LayerScores::LayerScores(Parameters parameters) : LayerScores(std::move(parameters), Options{}) {}
LayerScores::LayerScores(Parameters parameters, Options options)
    : Scores(std::move(parameters), options.kind) {}

void LayerScores::begin(const RowSet& set) {
  detail::with_memory_errors([&] { mutable_rows().begin(set); });
}

void LayerScores::add(const Layer& layer) {
  detail::with_memory_errors([&] {
    mutable_rows().add(detail::checked_layer(mutable_rows(), layer), false, layer.owner);
  });
}

}  // namespace natgrad
