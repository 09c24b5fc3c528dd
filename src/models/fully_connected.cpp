#include "natgrad/models/fully_connected.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "models/byte_count.hpp"
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
  return {.likelihood = Likelihood::categorical,
          .outputs = options.sizes.back(),
          .type = options.type,
          .key = options.sampling_key.value_or(options.seed)};
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

  State(const Context& context, Options wanted)
      : options(std::move(wanted)),
        mlp(context, layers_of(options)),
        head(context, head_of(options)) {}

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
    detail::require_operand(name, result, shape, type, mlp.parameters().context().state().memory());
    mlp.require_elsewhere(name, result);
    scores.require_elsewhere(name, result);
    sampled.require_elsewhere(name, result);
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
    s.mlp.forward(inputs, s.scores);
  });
}

ConstView FullyConnected::outputs() const {
  if (state_->mlp.rows() == 0) throw ArgumentError("outputs: call forward first");
  return state_->mlp.outputs();
}

void FullyConnected::backward(const ConstView& labels) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.head.check_targets("backward", labels, s.mlp.rows());
    s.compute_scores(labels, 1, s.scores);
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

std::int64_t FullyConnected::draw_counter() const { return state_->head.draw_counter(); }
void FullyConnected::set_draw_counter(std::int64_t counter) {
  detail::with_memory_errors([&] { state_->head.set_draw_counter(counter); });
}

void FullyConnected::log_likelihood(const ConstView& labels, const View& log_p) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.head.check_targets("log_likelihood", labels, s.mlp.rows());
    detail::require_disjoint("log_likelihood: log_p", log_p, "the labels", labels);
    s.check_result("log_likelihood: log_p", log_p, {s.mlp.rows(), 1}, ElementType::float64);
    s.head.log_likelihood(s.mlp.outputs(), labels, log_p);
  });
}

FullyConnected::Evaluation FullyConnected::evaluate(const ConstView& labels) {
  return detail::with_memory_errors([&] {
    State& s = *state_;
    s.head.check_targets("evaluate", labels, s.mlp.rows());
    const Head::Means means = s.head.evaluate(s.mlp.outputs(), labels);
    return Evaluation{.loss = -means.log_p, .accuracy = means.figure};
  });
}

void FullyConnected::evaluate_to(const ConstView& labels, const View& sums) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.head.check_targets("evaluate_to", labels, s.mlp.rows());
    detail::require_disjoint("evaluate_to: sums", sums, "the labels", labels);
    s.check_result("evaluate_to: sums", sums, {2, 1}, ElementType::float64);
    s.head.evaluate(s.mlp.outputs(), labels, sums);
  });
}

std::int64_t FullyConnected::bytes(const Options& options, std::int64_t samples,
                                   std::int64_t draws) {
  return detail::with_memory_errors([&] {
    const Mlp::Options layers = layers_of(options);
    layers.check();
    if (samples < 0 || draws < 0) {
      throw OptionError(message("fully connected: bytes of ", samples, " samples and ", draws,
                                " draws, must be >= 0"));
    }
    const std::vector<std::int64_t> outputs(options.sizes.begin() + 1, options.sizes.end());
    ByteCount bytes;
    Head::count(head_of(options), samples, draws, bytes);  // which also checks their product
    layers.count(samples, bytes);
    OutputScores::count(outputs, options.type, samples, bytes);
    OutputScores::count(outputs, options.type, samples * draws, bytes);
    return bytes.bytes();
  });
}

}  // namespace natgrad
