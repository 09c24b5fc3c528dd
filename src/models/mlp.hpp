#pragma once

#include "backend/backend.hpp"
#include "core/growing_array.hpp"
#include "models/byte_count.hpp"
#include "models/output_scores.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace natgrad {

/// The layers of a fully connected net, z_l = W_l a_{l-1} + b_l, a_l = activation(z_l), the last
/// one without activation. It owns the weights, and keeps of its last batch what the backward pass
/// reads. It knows nothing of targets: a `Head` turns its outputs into scores.
class Mlp {
 public:
  struct Options {
    std::vector<std::int64_t> sizes;  ///< inputs, hidden widths, outputs; at least two, all > 0
    Activation activation = Activation::tanh;
    ElementType type = ElementType::float32;
    std::uint64_t seed = 0;  ///< key of the initial weights
    bool allow_tf32 = false;

    /// Throws `OptionError` for sizes that are too few or not > 0, an activation that is none, and
    /// a type that is no float.
    void check() const;
    /// The activation of layer `index`, counted from 0; the last has none.
    Activation activation_of(std::size_t index) const;
    /// Adds the bytes of weights and of what is kept of a batch of so many rows.
    void count(std::int64_t rows, ByteCount& bytes) const;
  };

  /// Weights uniform in +-gain sqrt(3 / d_in), gain sqrt(2) for relu and gelu and 1 for the others;
  /// biases 0. Waits. Throws as `Options::check` does, and `MemoryError` without room.
  Mlp(const Context& context, Options options);

  const Parameters& parameters() const { return parameters_; }
  /// d_out of every layer.
  const std::vector<std::int64_t>& outputs_of_layers() const { return outputs_of_layers_; }
  /// N of the last forward, 0 before and after one that threw.
  std::int64_t rows() const { return rows_; }
  /// The outputs of the last layer, (N, C).
  ConstView outputs() const { return layers_.back().output.view().row_range(0, rows_); }

  /// Throws `ArgumentError`, `DeviceError`, `TypeError` or `ShapeError` for what is no inputs.
  void check_inputs(const ConstView& inputs) const;

  /// Computes the outputs of checked `inputs` (N, d_in), which must stay unchanged while the batch
  /// is used: 2 N P operations. Makes room for `scores` of this batch, which are then none.
  /// Allocates when N is larger than ever before. Does not wait. Throws `ArgumentError` for inputs
  /// that are outputs of this net, `MemoryError` without room, and has then no batch.
  void forward(const ConstView& inputs, OutputScores& scores);

  /// From the scores of the last layer's output, `rows_per_input` rows R for each row of the batch,
  /// those of every layer before: D_{l-1} = (D_l W_l) o activation'(z_{l-1}). 2 N R P operations
  /// less those of the first layer. Does not wait.
  void backward(OutputScores& scores, std::int64_t rows_per_input) const;

  /// Begins `set` with these rows and adds every layer. `caller` is named in errors:
  /// `ArgumentError` for scores of other parameters, `ShapeError` where `set.samples` is not N R.
  void add_to(std::string_view caller, LayerScores& layer_scores, const RowSet& set,
              const OutputScores& scores) const;

  /// gradient = mean over the batch of the rows of S, (P): one matrix product a layer; R = 1. Does
  /// not wait.
  void gradient(const OutputScores& scores, const View& gradient) const;

  /// Throws `ArgumentError` where an operand overlaps what the net still reads.
  void require_elsewhere(std::string_view operand, const ConstView& view) const;

 private:
  struct Layer {
    Array weight;  // (d_out, d_in)
    Array bias;    // (d_out)
    Segment weight_segment;
    Segment bias_segment;
    Activation activation = Activation::identity;
    detail::GrowingArray preactivation;  // z (N, d_out), only where the derivative reads it
    detail::GrowingArray output;         // a (N, d_out)
  };

  void add_layer(std::size_t index);
  void reserve(std::int64_t rows);
  ConstView input_of(std::size_t layer) const;
  /// z, or where only a is kept the array that a takes.
  View preactivation(const Layer& layer) const;

  Options options_;
  std::vector<std::int64_t> outputs_of_layers_;
  Parameters parameters_;
  Backend& backend_;
  MathMode mode_;
  std::vector<Layer> layers_;
  ConstView inputs_;  // of the last forward
  std::int64_t rows_ = 0;
};

}  // namespace natgrad
