#include "natgrad/models/fully_connected.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "models/byte_count.hpp"
#include "models/exact_rows.hpp"
#include "models/head.hpp"
#include "models/mlp.hpp"
#include "models/output_scores.hpp"
#include "natgrad/error.hpp"

#include <limits>
#include <utility>
#include <vector>

namespace natgrad {

using detail::message;

namespace {

Mlp::Options layers_of(const FullyConnected::Options& options) {
  return {.sizes = options.sizes,
          .activation = options.activation,
          .type = options.type,
          .seed = options.seed,
          .allow_tf32 = options.allow_tf32};
}

/// Of options whose sizes were checked.
Head::Options head_of(const FullyConnected::Options& options) {
  return {.distribution = {.likelihood = options.likelihood, .sigma = options.sigma},
          .outputs = options.sizes.back(),
          .type = options.type,
          .key = options.sampling_key.value_or(options.seed)};
}

void check(const FullyConnected::Options& options) {
  layers_of(options).check();
  head_of(options).check();
}

FullyConnected::Options checked(FullyConnected::Options options) {
  check(options);
  return options;
}

}  // namespace

/// A net and its likelihood, and the scores of its last batch.
struct FullyConnected::State {
  Options options;
  Mlp mlp;
  Head head;
  OutputScores scores{"a score of the net"};           // at the targets of `backward`
  OutputScores sampled{"a sampled score of the net"};  // at targets drawn from the model
  ConstView sampled_targets;
  ExactRows exact;
  detail::GrowingArray kept;  // outputs, (N, C)
  std::int64_t kept_rows = 0;

  State(const Context& context, Options wanted)
      : options(checked(std::move(wanted))),
        mlp(context, layers_of(options)),
        head(context, head_of(options)),
        exact(context) {}

  const Context& context() const { return mlp.parameters().context(); }

  /// Scores at `targets`, so many for each row of the batch, from the last layer to the first.
  void compute_scores(const ConstView& targets, std::int64_t rows_per_input,
                      OutputScores& at) const {
    at.forget();
    const std::size_t last = mlp.outputs_of_layers().size() - 1;
    head.score(mlp.outputs(), targets, at.of_layer(last, mlp.rows() * rows_per_input));
    mlp.backward(at, rows_per_input);
  }

  /// A result of this shape and type that does not lie over what the net still reads.
  void check_result(const char* name, const View& result, Shape shape, ElementType type) const {
    detail::require_operand(name, result, shape, type, context().state().memory());
    mlp.require_elsewhere(name, result);
    for (const OutputScores* rows : {&scores, &sampled, &exact.scores()}) {
      rows->require_elsewhere(name, result);
    }
    detail::require_disjoint(name, result, "the outputs that were kept", kept);
  }

  /// A one-element result of a sum over the rows, and the weights in it, where there are some.
  void check_sum(const char* caller, const char* name, const View& result,
                 const ConstView& weights) const {
    check_result(name, result, {1, 1}, ElementType::float64);
    if (weights.empty()) return;
    detail::require_operand({caller, "weights"}, weights, {mlp.rows(), 1}, ElementType::float64,
                            context().state().memory());
    detail::require_disjoint(name, result, "the weights", weights);
  }
};

FullyConnected::FullyConnected(const Context& context, Options options)
    : state_(detail::with_memory_errors(
          [&] { return std::make_unique<State>(context, std::move(options)); })) {}

FullyConnected::~FullyConnected() = default;
FullyConnected::FullyConnected(FullyConnected&&) noexcept = default;
FullyConnected& FullyConnected::operator=(FullyConnected&&) noexcept = default;

const Parameters& FullyConnected::parameters() const { return state_->mlp.parameters(); }
const FullyConnected::Options& FullyConnected::options() const { return state_->options; }

void FullyConnected::forward(const ConstView& inputs) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.mlp.check_inputs(inputs);
    s.sampled.forget();
    s.exact.scores().forget();
    s.head.reserve(inputs.rows());
    s.mlp.forward(inputs, s.scores);
  });
}

ConstView FullyConnected::outputs() const {
  if (state_->mlp.rows() == 0) throw ArgumentError("outputs: call forward first");
  return state_->mlp.outputs();
}

void FullyConnected::backward(const ConstView& targets) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.head.check_targets("backward", targets, s.mlp.rows());
    s.compute_scores(targets, 1, s.scores);
  });
}

void FullyConnected::add_to(LayerScores& scores, const RowSet& set) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.scores.rows_per_input() == 0) {
      throw ArgumentError("add_to: call forward and backward first");
    }
    s.mlp.add_to("add_to", scores, set, s.scores);
  });
}

void FullyConnected::gradient(const View& gradient) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.scores.rows_per_input() == 0) {
      throw ArgumentError("gradient: call forward and backward first");
    }
    s.check_result("gradient", gradient, {parameters().size(), 1}, s.options.type);
    s.mlp.gradient(s.scores, gradient);
  });
}

void FullyConnected::sample(std::int64_t draws) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const std::int64_t rows = s.mlp.rows();
    if (rows == 0) throw ArgumentError("sample: call forward first");
    if (draws < 1 || draws > std::numeric_limits<std::int64_t>::max() / rows) {
      throw OptionError(message("sample: draws = ", draws, ", must be > 0, and ", rows,
                                " times it be counted in 64 bits"));
    }
    s.sampled.forget();
    s.sampled.reserve(parameters().context(), s.mlp.outputs_of_layers(), s.options.type,
                      rows * draws);
    s.sampled_targets = s.head.sample(s.mlp.outputs(), draws);
    s.compute_scores(s.sampled_targets, draws, s.sampled);
  });
}

ConstView FullyConnected::sampled_targets() const {
  const State& s = *state_;
  if (s.sampled.rows_per_input() == 0) {
    throw ArgumentError("sampled_targets: call forward and sample first");
  }
  return s.sampled_targets;
}

void FullyConnected::add_sampled_to(LayerScores& scores, const RowSet& set) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    if (s.sampled.rows_per_input() == 0) {
      throw ArgumentError("add_sampled_to: call forward and sample first");
    }
    if (scores.kind() != FisherKind::sampled) {
      throw ArgumentError(message("add_sampled_to: the scores are ", to_string(scores.kind()),
                                  ", must be of FisherKind::sampled"));
    }
    s.mlp.add_to("add_sampled_to", scores, set, s.sampled);
  });
}

void FullyConnected::compute_exact(const ConstView& targets) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const std::int64_t samples = s.mlp.rows();
    s.head.check_targets("compute_exact", targets, samples);
    const std::int64_t per_sample = s.options.sizes.back();
    const std::int64_t rows =
        samples * per_sample;  // counted: there is an array of as many outputs
    OutputScores& scores = s.exact.scores();
    scores.forget();
    try {
      s.exact.reserve(s.mlp.outputs_of_layers(), s.options.type, rows);
    } catch (const MemoryError& error) {
      throw MemoryError(message("compute_exact: ", samples, " samples of ", per_sample,
                                " rows each: ", error.what(),
                                "; FisherKind::sampled takes one row a sample (sample)"));
    }
    const std::size_t last = s.mlp.outputs_of_layers().size() - 1;
    s.head.exact(s.mlp.outputs(), targets, scores.of_layer(last, rows), s.exact.r(rows));
    s.mlp.backward(scores, per_sample);
  });
}

void FullyConnected::add_exact_to(LayerScores& scores, const RowSet& set) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const std::int64_t samples = s.mlp.rows();
    if (s.exact.scores().rows_per_input() == 0) {
      throw ArgumentError("add_exact_to: call forward and compute_exact first");
    }
    if (scores.kind() != FisherKind::exact) {
      throw ArgumentError(message("add_exact_to: the scores are ", to_string(scores.kind()),
                                  ", must be of FisherKind::exact"));
    }
    if (set.samples != samples) {
      throw ShapeError(message("add_exact_to: the set has ", set.samples,
                               " samples, the last forward ", samples, " rows"));
    }
    s.mlp.add_to("add_exact_to", scores, s.exact.rows_of(set, s.options.type), s.exact.scores());
  });
}

std::int64_t FullyConnected::draw_counter() const { return state_->head.draw_counter(); }
void FullyConnected::set_draw_counter(std::int64_t counter) {
  detail::with_memory_errors([&] { state_->head.set_draw_counter(counter); });
}

void FullyConnected::log_likelihood(const ConstView& targets, const View& log_p) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.head.check_targets("log_likelihood", targets, s.mlp.rows());
    detail::require_disjoint("log_likelihood: log_p", log_p, "the targets", targets);
    s.check_result("log_likelihood: log_p", log_p, {s.mlp.rows(), 1}, ElementType::float64);
    s.head.log_likelihood(s.mlp.outputs(), targets, log_p);
  });
}

FullyConnected::Evaluation FullyConnected::evaluate(const ConstView& targets) {
  return detail::with_memory_errors([&] {
    State& s = *state_;
    s.head.check_targets("evaluate", targets, s.mlp.rows());
    const Head::Means means = s.head.evaluate(s.mlp.outputs(), targets);
    const bool counts = s.options.likelihood == Likelihood::categorical ||
                        s.options.likelihood == Likelihood::bernoulli;
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    return Evaluation{.loss = -means.log_p,
                      .accuracy = counts ? means.figure : none,
                      .squared_error = counts ? none : means.figure};
  });
}

void FullyConnected::evaluate_to(const ConstView& targets, const View& sums) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.head.check_targets("evaluate_to", targets, s.mlp.rows());
    detail::require_disjoint("evaluate_to: sums", sums, "the targets", targets);
    s.check_result("evaluate_to: sums", sums, {2, 1}, ElementType::float64);
    s.head.evaluate(s.mlp.outputs(), targets, sums);
  });
}

void FullyConnected::loss_to(const ConstView& targets, const View& loss,
                             const ConstView& weights) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.head.check_targets("loss_to", targets, s.mlp.rows());
    s.check_sum("loss_to", "loss_to: loss", loss, weights);
    detail::require_disjoint("loss_to: loss", loss, "the targets", targets);
    s.head.loss(s.mlp.outputs(), targets, weights, loss);
  });
}

void FullyConnected::keep_outputs() {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const std::int64_t rows = s.mlp.rows();
    if (rows == 0) throw ArgumentError("keep_outputs: call forward first");
    const ConstView z = s.mlp.outputs();
    Backend& backend = s.context().state().backend();
    if (s.kept.rows() < rows) {
      s.kept_rows = 0;
      s.kept.replace(backend);
      s.kept.replace(backend, s.context().array(z.shape(), s.options.type));
    }
    backend.copy(z, s.kept.view().row_range(0, rows));
    s.kept_rows = rows;
  });
}

void FullyConnected::kl_to(const View& kl, const ConstView& weights) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    const std::int64_t rows = s.mlp.rows();
    if (rows == 0 || s.kept_rows == 0) {
      throw ArgumentError("kl_to: call forward and keep_outputs first");
    }
    if (s.kept_rows != rows) {
      throw ShapeError(
          message("kl_to: keep_outputs kept ", s.kept_rows, " rows, the last forward has ", rows));
    }
    s.check_sum("kl_to", "kl_to: kl", kl, weights);
    s.head.kl(s.kept.view().row_range(0, rows), s.mlp.outputs(), weights, kl);
  });
}

std::int64_t FullyConnected::bytes(const Options& options, const Uses& uses) {
  return detail::with_memory_errors([&] {
    check(options);
    if (uses.samples < 0 || uses.draws < 0) {
      throw OptionError(message("fully connected: bytes of ", uses.samples, " samples and ",
                                uses.draws, " draws, must be >= 0"));
    }
    const std::vector<std::int64_t> outputs(options.sizes.begin() + 1, options.sizes.end());
    ByteCount bytes;
    // Also checks the products of samples with draws and outputs.
    Head::count(head_of(options), uses.samples, uses.draws, bytes);
    layers_of(options).count(uses.samples, bytes);
    OutputScores::count(outputs, options.type, uses.samples, bytes);
    OutputScores::count(outputs, options.type, uses.samples * uses.draws, bytes);
    if (uses.exact) {
      ExactRows::count(outputs, options.type, uses.samples * outputs.back(), bytes);
    }
    if (uses.keeps_outputs) bytes.add(uses.samples, outputs.back(), size_of(options.type));
    return bytes.bytes();
  });
}

std::int64_t FullyConnected::bytes(const Options& options, std::int64_t samples,
                                   std::int64_t draws) {
  return bytes(options, Uses{.samples = samples, .draws = draws});
}

}  // namespace natgrad
