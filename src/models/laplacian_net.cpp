#include "natgrad/models/laplacian_net.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/random.hpp"
#include "models/field_pass.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

const LaplacianNet::Options& checked_net(const LaplacianNet::Options& options) {
  if (options.dimension < 1) {
    throw OptionError(message("laplacian net: .dimension = ", options.dimension, ", must be > 0"));
  }
  if (options.hidden.empty()) {
    throw OptionError("laplacian net: .hidden is empty, needs at least one layer");
  }
  for (const std::int64_t units : options.hidden) {
    if (units < 1)
      throw OptionError(message("laplacian net: .hidden has ", units, ", must be > 0"));
  }
  if (options.type != ElementType::float32 && options.type != ElementType::float64) {
    throw OptionError(message("laplacian net: .type = ", to_string(options.type),
                              ", must be float32 or float64"));
  }
  return options;
}

FieldPass::Shape pass_shape(const LaplacianNet::Options& options, bool differentiates,
                            bool goes_back) {
  return {.dimension = options.dimension,
          .hidden = options.hidden,
          .type = options.type,
          .differentiates = differentiates,
          .goes_back = goes_back};
}

/// Weights and biases of layer `index`, uniform in +-1 / sqrt(d_in).
template <class T>
std::vector<T> drawn(std::uint64_t seed, std::size_t index, std::int64_t inputs,
                     std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  const double range = 1 / std::sqrt(static_cast<double>(inputs));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t bits = formulas::random_bits(seed, formulas::RandomStream::weights,
                                                     static_cast<std::uint32_t>(index), i);
    values[i] = static_cast<T>(range * (2 * formulas::uniform(bits) - 1));
  }
  return values;
}

}  // namespace

/// The weights, and four passes: those that the rows view, and those of parameters on trial.
struct LaplacianNet::State {
  Options options;
  Parameters parameters;
  Backend& backend;
  std::vector<Array> tensors;
  std::vector<FieldLayer> layers;
  FieldPass interior;
  FieldPass boundary;
  FieldPass tried_interior;
  FieldPass tried_boundary;
  FieldPass evaluated;
  Conditions conditions;  // of the last `linearize`; none before
  std::int64_t points = 0;
  ConstView interior_rows;
  detail::GrowingArray coefficients;  // minus the residuals (N) float64
  detail::GrowingArray weighted;      // (N) float64

  State(const Context& context, const Options& wanted)
      : options(checked_net(wanted)),
        parameters(context),
        backend(context.state().backend()),
        interior(context, pass_shape(options, true, true)),
        boundary(context, pass_shape(options, false, true)),
        tried_interior(context, pass_shape(options, true, false)),
        tried_boundary(context, pass_shape(options, false, false)),
        evaluated(context, pass_shape(options, false, false)) {
    for (std::size_t l = 0; l <= options.hidden.size(); ++l) add_layer(l);
  }

  void add_layer(std::size_t index) {
    const Context& context = parameters.context();
    const std::int64_t inputs = index == 0 ? options.dimension : options.hidden[index - 1];
    const std::int64_t outputs = index == options.hidden.size() ? 1 : options.hidden[index];
    FieldLayer layer;
    const auto add = [&](Shape shape, const char* name) {
      tensors.push_back(context.array(shape, options.type));
      return parameters.add(tensors.back(), message("layer ", index, " ", name));
    };
    layer.weight_segment = add({outputs, inputs}, "weight");
    layer.bias_segment = add({outputs, 1}, "bias");
    layer.weight = parameters.tensor(layer.weight_segment);
    layer.bias = parameters.tensor(layer.bias_segment);
    with_float_type(options.type, [&]<class T>(T) {
      const auto values = drawn<T>(options.seed, index, inputs, outputs * (inputs + 1));
      context.write(values.data(), layer.weight);
      context.write(values.data() + outputs * inputs, layer.bias);
    });
    layers.push_back(layer);
  }

  void check(const Conditions& given) const {
    const detail::DeviceMemory& memory = backend;
    const auto require_points = [&](const char* name, const ConstView& x) {
      detail::require_operand({"linearize", name}, x, {x.rows(), options.dimension}, options.type,
                              memory);
    };
    require_points("interior", given.interior);
    if (given.interior.rows() == 0) throw ShapeError("linearize: interior has no points");
    detail::require_operand({"linearize", "laplacian"}, given.laplacian, {given.interior.rows(), 1},
                            ElementType::float64, memory);
    if (given.boundary.empty() && given.values.empty()) return;
    require_points("boundary", given.boundary);
    detail::require_operand({"linearize", "values"}, given.values, {given.boundary.rows(), 1},
                            ElementType::float64, memory);
  }
  std::int64_t boundary_points() const {
    return conditions.boundary.empty() ? 0 : conditions.boundary.rows();
  }

  void reserve(const Conditions& given) {
    const std::int64_t inside = given.interior.rows();
    const std::int64_t faces = given.boundary.empty() ? 0 : given.boundary.rows();
    for (FieldPass* pass : {&interior, &tried_interior}) pass->reserve(inside);
    for (FieldPass* pass : {&boundary, &tried_boundary}) pass->reserve(faces);
    if (!coefficients.empty() && coefficients.rows() >= inside + faces) return;
    for (detail::GrowingArray* array : {&weighted, &coefficients}) {
      array->replace(backend);
      array->replace(backend,
                     parameters.context().array({inside + faces, 1}, ElementType::float64));
    }
  }

  /// to = sign (outputs - conditions), interior points first.
  void residuals(FieldPass& inside, FieldPass& faces, double sign, const View& to) {
    const auto subtract = [&](const View& output, const ConstView& wanted, const View& part) {
      backend.copy(output, part);
      backend.axpby(-sign, wanted, sign, part);
    };
    const std::int64_t count = conditions.interior.rows();
    subtract(inside.forward(layers, interior_rows), conditions.laplacian, to.row_range(0, count));
    if (boundary_points() == 0) return;
    subtract(faces.forward(layers, conditions.boundary), conditions.values,
             to.row_range(count, boundary_points()));
  }

  void require_linearized(const char* caller) const {
    if (points == 0) throw ArgumentError(message(caller, ": before linearize"));
  }
};

LaplacianNet::LaplacianNet(const Context& context, const Options& options)
    : state_(
          detail::with_memory_errors([&] { return std::make_unique<State>(context, options); })) {}
LaplacianNet::~LaplacianNet() = default;
LaplacianNet::LaplacianNet(LaplacianNet&&) noexcept = default;
LaplacianNet& LaplacianNet::operator=(LaplacianNet&&) noexcept = default;

const Parameters& LaplacianNet::parameters() const { return state_->parameters; }
const LaplacianNet::Options& LaplacianNet::options() const { return state_->options; }

void LaplacianNet::linearize(const Conditions& conditions) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.check(conditions);
    s.points = 0;
    s.reserve(conditions);
    s.conditions = conditions;
    s.interior_rows = s.interior.expand(conditions.interior);
    const std::int64_t points = conditions.interior.rows() + s.boundary_points();
    s.residuals(s.interior, s.boundary, -1, s.coefficients.view().row_range(0, points));
    s.interior.backward(s.layers);
    if (s.boundary_points() > 0) s.boundary.backward(s.layers);
    s.points = points;
  });
}

void LaplacianNet::add_to(LayerScores& scores, const ConstView& weights) const {
  const State& s = *state_;
  s.require_linearized("add_to");
  if (!(scores.parameters() == s.parameters)) {
    throw ArgumentError("add_to: the scores are of other parameters");
  }
  if (scores.kind() != FisherKind::residual) {
    throw ArgumentError(message("add_to: the scores are ", to_string(scores.kind()),
                                ", must be FisherKind::residual"));
  }
  scores.begin({.samples = s.points,
                .weights = weights,
                .coefficients = s.coefficients.view().row_range(0, s.points)});
  s.interior.add_to(scores, s.layers, 0);
  if (s.boundary_points() > 0) s.boundary.add_to(scores, s.layers, s.conditions.interior.rows());
}

void LaplacianNet::residuals_to(const View& residuals) {
  State& s = *state_;
  s.require_linearized("residuals_to");
  detail::require_operand({"residuals_to", "residuals"}, residuals, {s.points, 1},
                          ElementType::float64, s.backend);
  s.residuals(s.tried_interior, s.tried_boundary, 1, residuals);
}

ConstView LaplacianNet::coefficients() const {
  state_->require_linearized("coefficients");
  return state_->coefficients.view().row_range(0, state_->points);
}

void LaplacianNet::loss_of(const ConstView& residuals, const View& loss, const ConstView& weights) {
  State& s = *state_;
  s.require_linearized("loss_of");
  const Shape rows{s.points, 1};
  detail::require_operand({"loss_of", "residuals"}, residuals, rows, ElementType::float64,
                          s.backend);
  detail::require_operand({"loss_of", "loss"}, loss, {1, 1}, ElementType::float64, s.backend);
  if (weights.empty()) {
    s.backend.dot(residuals, residuals, loss);
    return s.backend.axpby(0.0, loss, 0.5 / static_cast<double>(s.points), loss);
  }
  detail::require_operand({"loss_of", "weights"}, weights, rows, ElementType::float64, s.backend);
  const View product = s.weighted.view().row_range(0, s.points);
  s.backend.multiply(weights, residuals, product);
  s.backend.dot(product, residuals, loss);
  s.backend.axpby(0.0, loss, 0.5, loss);
}

void LaplacianNet::values_to(const ConstView& points, const View& u) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    detail::require_operand({"values_to", "points"}, points, {points.rows(), s.options.dimension},
                            s.options.type, s.backend);
    detail::require_operand({"values_to", "u"}, u, {points.rows(), 1}, ElementType::float64,
                            s.backend);
    s.evaluated.reserve(points.rows());
    s.backend.copy(s.evaluated.forward(s.layers, points), u);
  });
}

std::int64_t LaplacianNet::bytes(const Options& options, std::int64_t interior,
                                 std::int64_t boundary, std::int64_t evaluated) {
  checked_net(options);
  for (const std::int64_t points : {interior, boundary, evaluated}) {
    if (points < 0) throw OptionError(message("laplacian net: ", points, " points"));
  }
  ByteCount bytes("laplacian net: layers and points");
  std::int64_t inputs = options.dimension;
  for (std::size_t l = 0; l <= options.hidden.size(); ++l) {
    const std::int64_t outputs = l == options.hidden.size() ? 1 : options.hidden[l];
    bytes.add(outputs, inputs, size_of(options.type));
    bytes.add(outputs, 1, size_of(options.type));
    inputs = outputs;
  }
  for (const bool goes_back : {true, false}) {
    if (interior > 0) pass_shape(options, true, goes_back).count(interior, bytes);
    if (boundary > 0) pass_shape(options, false, goes_back).count(boundary, bytes);
  }
  if (evaluated > 0) pass_shape(options, false, false).count(evaluated, bytes);
  ByteCount rows;
  rows.add(2, interior, 1);
  rows.add(2, boundary, 1);
  bytes.add(rows.bytes(), 1, size_of(ElementType::float64));
  return bytes.bytes();
}

}  // namespace natgrad
