// Labels drawn from the model, and their scores.

#include "core/message.hpp"
#include "models/fully_connected_state.hpp"
#include "natgrad/error.hpp"

#include <limits>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t largest_counter = std::int64_t{1} << 53;  // exact in double

}  // namespace

void FullyConnected::State::reserve_sampled(std::int64_t wanted) {
  // The last to be allocated: it is missing when there was no memory for all.
  if (!sampled_labels.empty() && sampled_labels.view().rows() >= wanted) return;
  const Context& context = parameters.context();
  sampled_labels = {};
  // Released first: the old and the new together would be twice the memory.
  for (Layer& layer : layers) layer.sampled_score = {};
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].sampled_score = context.array({wanted, options.sizes[i + 1]}, options.type);
  }
  sampled_labels = context.array({wanted, 1}, ElementType::int32);
}

void FullyConnected::sample(std::int64_t draws) {
  State& s = *state_;
  if (s.rows == 0) throw ArgumentError("sample: call forward first");
  if (draws < 1 || draws > std::numeric_limits<std::int64_t>::max() / s.rows) {
    throw OptionError(message("sample: draws = ", draws, ", must be > 0, and ", s.rows,
                              " times it be counted in 64 bits"));
  }
  s.draws = 0;
  s.reserve_sampled(s.rows * draws);
  const View labels = s.batch(s.sampled_labels, draws);
  s.backend.sample_categorical(outputs(), s.options.sampling_key.value_or(s.options.seed), draws,
                               s.drawings, labels);
  s.backend.categorical_score(outputs(), labels, s.batch(s.layers.back().sampled_score, draws));
  s.propagate(&State::Layer::sampled_score, draws);
  s.draws = draws;
}

ConstView FullyConnected::sampled_labels() const {
  const State& s = *state_;
  if (s.draws == 0) throw ArgumentError("sampled_labels: call forward and sample first");
  return s.batch(s.sampled_labels, s.draws);
}

void FullyConnected::add_sampled_to(LayerScores& scores, const RowSet& set) const {
  const State& s = *state_;
  if (s.draws == 0) throw ArgumentError("add_sampled_to: call forward and sample first");
  if (scores.kind() != FisherKind::sampled) {
    throw ArgumentError(message("add_sampled_to: the scores are ", to_string(scores.kind()),
                                ", must be of FisherKind::sampled"));
  }
  s.add_layers("add_sampled_to", scores, set, &State::Layer::sampled_score, s.draws);
}

std::int64_t FullyConnected::draw_counter() const {
  double counter = 0;
  state_->backend.download(state_->drawings, &counter);
  return static_cast<std::int64_t>(counter);
}

void FullyConnected::set_draw_counter(std::int64_t counter) {
  if (counter < 0 || counter > largest_counter) {
    throw OptionError(message("set_draw_counter: ", counter, ", must be >= 0 and <= 2^53"));
  }
  state_->backend.fill(static_cast<double>(counter), state_->drawings);
}

std::int64_t FullyConnected::bytes(const Options& options, std::int64_t samples,
                                   std::int64_t draws) {
  detail::check_net(options);
  if (samples < 0 || draws < 0) {
    throw OptionError(message("fully connected: bytes of ", samples, " samples and ", draws,
                              " draws, must be >= 0"));
  }
  std::int64_t bytes = 3 * size_of(ElementType::float64);  // sums and counter
  const auto add = [&bytes](std::int64_t rows, std::int64_t columns, std::int64_t size) {
    std::int64_t array = 0;
    if (__builtin_mul_overflow(rows, columns, &array) ||
        __builtin_mul_overflow(array, size, &array) ||
        __builtin_add_overflow(bytes, array, &bytes)) {
      throw MemoryError("fully connected: more bytes than an address can count");
    }
  };
  const std::int64_t size = size_of(options.type);
  for (std::size_t i = 0; i + 1 < options.sizes.size(); ++i) {
    const std::int64_t outputs = options.sizes[i + 1];
    const bool hidden = i + 2 < options.sizes.size();
    add(outputs, options.sizes[i], size);
    add(outputs, 1, size);
    add(samples, outputs, (hidden && keeps_preactivation(options.activation) ? 3 : 2) * size);
  }
  if (draws == 0) return bytes;
  add(samples, draws, size_of(ElementType::int32));  // which also checks the product
  for (std::size_t i = 0; i + 1 < options.sizes.size(); ++i) {
    add(samples * draws, options.sizes[i + 1], size);
  }
  return bytes;
}

}  // namespace natgrad
