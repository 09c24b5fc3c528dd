#include "core/context_state.hpp"
#include "core/growing_array.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "kernels/formulas/densities/scalars.hpp"
#include "models/byte_count.hpp"
#include "models/densities/expectations.hpp"
#include "models/densities/model.hpp"
#include "models/densities/options.hpp"
#include "models/densities/point.hpp"
#include "natgrad/error.hpp"
#include "natgrad/models/densities.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t largest_counter = std::int64_t{1} << 53;  // exact in double

Density::Options checked(Density::Options options) {
  detail::check_density_options(options);
  return options;
}

}  // namespace

/// theta, and the scores of its last samples.
struct Density::State {
  /// Scores of one set of samples.
  struct Rows {
    detail::GrowingArray array;  // (N, P)
    std::int64_t samples = 0;    // 0: none
    View view() const { return array.view().row_range(0, samples); }
  };

  Options options;
  Context context;
  Backend& backend;
  DensityModel model;
  Array constants;
  Array values;  // (P)
  Parameters parameters;
  DensityPoint point;
  DensityPoint other;
  std::optional<DensityQuadrature> quadrature;
  std::optional<SampledDivergence> sampled_divergence;
  Array counter;                      // (1) float64: how many times samples were drawn
  detail::GrowingArray log_p;         // (N), of a loss
  detail::GrowingArray drawn;         // (N, D)
  Rows rows;                          // of `compute`
  Rows sampled;                       // of `compute_sampled`
  detail::GrowingArray exact_double;  // (P, P)
  detail::GrowingArray exact;         // (P, P) of the parameters' type
  bool has_exact_rows = false;        // of `compute_exact`

  State(const Context& where, Options wanted)
      : options(checked(std::move(wanted))),
        context(where),
        backend(where.state().backend()),
        model(model_of(options)),
        constants(make_constants()),
        parameters(where),
        point(where, model),
        other(where, model) {
    values = context.array({model.sizes.parameters, 1}, options.type);
    add_tensors();
    write(standard_theta(model.sizes));
    if (model.sizes.nodes > 0) quadrature.emplace(context, model);
    if (diverges_by_sampling(model.sizes)) {
      sampled_divergence.emplace(context, model, options.kl_draws, options.key);
    }
    counter = context.array({1, 1}, real);
    backend.fill(0, counter);
  }

  bool has_exact() const { return model.sizes.closed || model.sizes.nodes > 0; }
  const Backend& memory() const { return context.state().memory(); }

  Array make_constants() {
    if (model.sizes.constants == 0) return {};
    const std::vector<double> numbers = constants_of(options.support, options.type);
    Array array = context.array({model.sizes.constants, 1}, real);
    backend.upload(numbers.data(), array);
    model.constants = array;
    return array;
  }

  void add_tensors() {
    char* address = static_cast<char*>(values.view().data());
    for (const DensityTensor& tensor : model.sizes.tensors.tensors) {
      const Shape shape{tensor.rows, tensor.columns};
      if (shape.size() == 0) continue;
      parameters.add(View(address, options.type, shape, {.device = context.device()}), tensor.name);
      address += shape.size() * size_of(options.type);
    }
  }

  void write(std::span<const double> theta) {
    if (options.type == real) return backend.upload(theta.data(), values);
    const std::vector<float> narrow(theta.begin(), theta.end());
    backend.upload(narrow.data(), values);
  }

  void require_samples(const char* caller, const ConstView& x) const {
    const detail::Operand name{caller, "x"};
    detail::require_contiguous(name, x, memory());
    detail::require_type(name, x, options.type);
    const std::int64_t rows = x.rows() > 0 ? x.rows() : 1;
    detail::require_shape(name, x, {rows, model.shape.dimensions});
  }

  /// Takes the place of a smaller array.
  void grow(detail::GrowingArray& array, std::int64_t rows, std::int64_t columns,
            ElementType type) const {
    if (array.rows() >= rows && !array.empty()) return;
    ByteCount bytes("density: samples and parameters");
    bytes.add(rows, columns, size_of(type));
    array.replace(backend);  // first: the old and the new together would be twice the memory
    array.replace(backend, context.array({rows, columns}, type));
  }

  void log_likelihood(const ConstView& x, const View& result) {
    point.set(values);
    backend.density_log_p(model.family, point.at(), x, result);
  }

  void compute(const ConstView& x, Rows& at) {
    at.samples = 0;
    grow(at.array, x.rows(), model.sizes.parameters, options.type);
    at.samples = x.rows();
    point.set(values);
    backend.density_score(model.family, point.at(), x, {}, at.view());
  }

  ConstView sample(const char* caller, std::int64_t samples) {
    if (samples < 1) throw OptionError(message(caller, ": samples = ", samples, ", must be > 0"));
    grow(drawn, samples, model.shape.dimensions, options.type);
    point.set(values);
    const View x = drawn.view().row_range(0, samples);
    backend.density_sample(model.family, point.at(), options.key, counter, x);
    return x;
  }

  void require_scores(const char* caller, const DenseScores& scores) const {
    if (!(scores.parameters() == parameters)) {
      throw ArgumentError(message(caller, ": the scores are of other parameters"));
    }
  }
  static void require_kind(const char* caller, const DenseScores& scores, FisherKind kind) {
    if (scores.kind() == kind) return;
    throw ArgumentError(message(caller, ": the scores are of kind ", to_string(scores.kind()),
                                ", expected ", to_string(kind)));
  }
};

Density::Density(const Context& context, Options options)
    : state_(detail::with_memory_errors(
          [&] { return std::make_unique<State>(context, std::move(options)); })) {}

Density::~Density() = default;
Density::Density(Density&&) noexcept = default;
Density& Density::operator=(Density&&) noexcept = default;

const Parameters& Density::parameters() const { return state_->parameters; }
const Density::Options& Density::options() const { return state_->options; }
std::int64_t Density::columns() const { return state_->model.shape.dimensions; }
View Density::values() const { return state_->values; }

void Density::write(std::span<const double> theta) {
  detail::with_memory_errors([&] {
    const std::int64_t P = state_->model.sizes.parameters;
    if (static_cast<std::int64_t>(theta.size()) != P) {
      throw ShapeError(message("write: theta has ", theta.size(), " numbers, expected ", P));
    }
    state_->write(theta);
  });
}

std::vector<double> Density::read() const {
  return detail::with_memory_errors([&] {
    const State& s = *state_;
    const auto count = static_cast<std::size_t>(s.model.sizes.parameters);
    std::vector<double> theta(count);
    if (s.options.type == real) {
      s.backend.download(s.values, theta.data());
    } else {
      std::vector<float> narrow(count);
      s.backend.download(s.values, narrow.data());
      theta.assign(narrow.begin(), narrow.end());
    }
    return theta;
  });
}

void Density::log_likelihood(const ConstView& x, const View& log_p) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.require_samples("log_likelihood", x);
    detail::require_operand({"log_likelihood", "log_p"}, log_p, {x.rows(), 1}, real, s.memory());
    detail::require_disjoint("log_likelihood: log_p", log_p, "x", x);
    s.log_likelihood(x, log_p);
  });
}

void Density::loss(const ConstView& x, const View& loss) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.require_samples("loss", x);
    detail::require_operand({"loss", "loss"}, loss, {1, 1}, real, s.memory());
    s.grow(s.log_p, x.rows(), 1, real);
    const View log_p = s.log_p.view().row_range(0, x.rows());
    s.log_likelihood(x, log_p);
    s.backend.column_sums(-1 / static_cast<double>(x.rows()), log_p, loss);
  });
}

void Density::compute(const ConstView& x) {
  detail::with_memory_errors([&] {
    state_->require_samples("compute", x);
    state_->compute(x, state_->rows);
  });
}

ConstView Density::rows() const {
  if (state_->rows.samples == 0) throw ArgumentError("rows: call compute first");
  return state_->rows.view();
}

void Density::add_to(DenseScores& scores, const RowSet& set) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.rows.samples == 0) throw ArgumentError("add_to: call compute first");
    s.require_scores("add_to", scores);
    scores.begin(s.rows.view(), set);
  });
}

void Density::gradient(const View& gradient) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.rows.samples == 0) throw ArgumentError("gradient: call compute first");
    detail::require_operand({"gradient", "gradient"}, gradient, {s.model.sizes.parameters, 1},
                            s.options.type, s.memory());
    const View rows = s.rows.view();
    detail::require_disjoint("gradient: gradient", gradient, "the scores", rows);
    s.backend.column_sums(1 / static_cast<double>(rows.rows()), rows, gradient);
  });
}

ConstView Density::sample(std::int64_t samples) {
  return detail::with_memory_errors([&] { return state_->sample("sample", samples); });
}

void Density::compute_sampled(std::int64_t samples) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.compute(s.sample("compute_sampled", samples), s.sampled);
  });
}

void Density::add_sampled_to(DenseScores& scores, const RowSet& set) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.sampled.samples == 0) throw ArgumentError("add_sampled_to: call compute_sampled first");
    s.require_scores("add_sampled_to", scores);
    State::require_kind("add_sampled_to", scores, FisherKind::sampled);
    scores.begin(s.sampled.view(), set);
  });
}

std::int64_t Density::draw_counter() const {
  double counter = 0;
  state_->backend.download(state_->counter, &counter);
  return static_cast<std::int64_t>(counter);
}

void Density::set_draw_counter(std::int64_t counter) {
  if (counter < 0 || counter > largest_counter) {
    throw OptionError(message("set_draw_counter: ", counter, ", must be >= 0 and <= 2^53"));
  }
  state_->backend.fill(static_cast<double>(counter), state_->counter);
}

bool Density::has_exact() const { return state_->has_exact(); }

void Density::compute_exact() {
  detail::with_memory_errors([&] {
    State& s = *state_;
    if (!s.has_exact()) {
      throw ArgumentError(message("compute_exact: a ", to_string(s.options.family), " of ",
                                  s.options.dimensions,
                                  " dimensions has neither closed form nor quadrature; take rows "
                                  "of compute_sampled"));
    }
    s.has_exact_rows = false;
    const std::int64_t P = s.model.sizes.parameters;
    s.grow(s.exact_double, P, P, real);
    s.grow(s.exact, P, P, s.options.type);
    s.point.set(s.values);
    const View rows = s.exact_double.view();
    if (s.model.sizes.closed) {
      s.backend.evaluate(formulas::DensityFisher{
          .family = s.model.family, .at = s.point.at(), .rows = rows.as<double>()});
    } else {
      s.quadrature->fisher(s.point, rows);
    }
    s.backend.copy(rows, s.exact.view());
    s.has_exact_rows = true;
  });
}

void Density::add_exact_to(DenseScores& scores) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (!s.has_exact_rows) throw ArgumentError("add_exact_to: call compute_exact first");
    s.require_scores("add_exact_to", scores);
    State::require_kind("add_exact_to", scores, FisherKind::exact);
    scores.begin(s.exact, {.weight = 1});
  });
}

void Density::kl(const ConstView& theta, const ConstView& other, const View& result) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const Shape shape{s.model.sizes.parameters, 1};
    detail::require_operand({"kl", "theta"}, theta, shape, s.options.type, s.memory());
    detail::require_operand({"kl", "other"}, other, shape, s.options.type, s.memory());
    detail::require_operand({"kl", "result"}, result, {1, 1}, real, s.memory());
    s.point.set(theta);
    s.other.set(other);
    if (s.model.sizes.closed) {
      s.backend.evaluate(formulas::DensityDivergence{.family = s.model.family,
                                                     .at = s.point.at(),
                                                     .other = s.other.at(),
                                                     .result = result.as<double>()});
    } else if (s.quadrature) {
      s.quadrature->kl(s.point, s.other, result);
    } else {
      s.sampled_divergence->kl(s.point, s.other, result);
    }
  });
}

std::int64_t Density::bytes(const Options& options, std::int64_t samples, std::int64_t draws) {
  return bytes(options, Uses{.samples = samples, .draws = draws});
}

std::int64_t Density::bytes(const Options& options, const Uses& uses) {
  return detail::with_memory_errors([&] {
    detail::check_density_options(options);
    if (uses.samples < 0 || uses.draws < 0) {
      throw OptionError(
          message("bytes: samples = ", uses.samples, ", draws = ", uses.draws, ", must be >= 0"));
    }
    const DensityModel model = model_of(options);
    const std::int64_t P = model.sizes.parameters;
    const std::int64_t D = model.shape.dimensions;
    const std::int64_t element = size_of(options.type);
    ByteCount bytes("density: .dimensions, .components, samples and draws");
    bytes.add(model.sizes.constants + 1, 1, size_of(real));
    bytes.add(P, 1, element);
    for (int points = 0; points < 2; ++points) DensityPoint::count(model.sizes, bytes);
    if (model.sizes.nodes > 0) DensityQuadrature::count(model.shape, model.sizes, bytes);
    if (diverges_by_sampling(model.sizes)) {
      SampledDivergence::count(model.shape, options.kl_draws, bytes);
    } else if (uses.exact) {
      bytes.add(P, P, size_of(real));
      bytes.add(P, P, element);
    }
    bytes.add(uses.samples, P, element);
    bytes.add(uses.samples, 1, size_of(real));
    bytes.add(uses.draws, P + D, element);
    return bytes.bytes();
  });
}

}  // namespace natgrad
