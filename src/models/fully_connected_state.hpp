#pragma once

#include "backend/backend.hpp"
#include "core/context_state.hpp"
#include "natgrad/models/fully_connected.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace natgrad {

/// The derivative of gelu needs z; those of the others read a, which may then take z's place.
inline bool keeps_preactivation(Activation activation) { return activation == Activation::gelu; }

namespace detail {
/// Throws `OptionError` for sizes that are too few or not > 0, and for a type that is no float.
void check_net(const FullyConnected::Options& options);
}  // namespace detail

/// A net's weights, and what it keeps of its last batch.
struct FullyConnected::State {
  struct Layer {
    Array weight;  // (d_out, d_in)
    Array bias;    // (d_out)
    Segment weight_segment;
    Segment bias_segment;
    Array preactivation;  // z (N, d_out), only where the derivative needs it
    Array output;         // a (N, d_out)
    Array score;          // D (N, d_out)
    Array sampled_score;  // D at labels drawn from the model (N draws, d_out)
  };
  Options options;
  Parameters parameters;
  Backend& backend;
  std::vector<Layer> layers;
  Array sums;            // (2) of an evaluation
  Array drawings;        // (1) float64: how many times labels were drawn
  Array sampled_labels;  // (N draws) int32
  ConstView inputs;      // of the last forward
  std::int64_t rows = 0;
  bool has_scores = false;
  std::int64_t draws = 0;  // of the last forward's rows; 0: none yet

  State(const Context& context, Options wanted)
      : options(std::move(wanted)), parameters(context), backend(context.state().backend()) {}

  MathMode mode() const { return backend.math_mode(options.allow_tf32); }
  Activation activation(std::size_t layer) const {
    return layer + 1 == layers.size() ? Activation::identity : options.activation;
  }
  /// The rows of the last forward in a layer's array: N, or N draws where so many share an input.
  View batch(const Array& array, std::int64_t shared = 1) const {
    return array.view().row_range(0, rows * shared);
  }
  ConstView input_of(std::size_t layer) const {
    return layer == 0 ? inputs : ConstView(batch(layers[layer - 1].output));
  }
  View preactivation(std::size_t layer) const {
    const Layer& l = layers[layer];
    return batch(l.preactivation.empty() ? l.output : l.preactivation);
  }

  void initialize(std::size_t index);
  void reserve(std::int64_t samples);
  void reserve_sampled(std::int64_t wanted);
  void compute_outputs() const;
  void propagate(Array Layer::*score, std::int64_t shared) const;
  void add_layers(const char* caller, LayerScores& scores, const RowSet& set, Array Layer::*score,
                  std::int64_t shared) const;
  void check_labels(const char* caller, const ConstView& labels) const;
  void require_elsewhere(const char* name, const View& result) const;
};

}  // namespace natgrad
