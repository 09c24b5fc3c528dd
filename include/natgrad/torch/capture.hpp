#pragma once

#include "natgrad/natgrad.hpp"
#include "natgrad/torch/tensors.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/types.h>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace natgrad::torch {

/// Records what the layers of a net take in and give out, and turns it into the rows of a batch.
///
///     natgrad::torch::Capture capture(natgrad::torch::context(at::kCPU));
///     capture.add(*net);                                       // its parameters
///     natgrad::NaturalGradient optimizer(capture.parameters(), options);
///     natgrad::LayerScores scores(capture.parameters());
///     for (...) {
///       at::Tensor x = torch::relu(capture(net->first, batch));   // in place of net->first(batch)
///       capture.add_to(scores, log_p(capture(net->last, x), labels));
///       optimizer.step(scores);
///     }
///
/// LibTorch has no forward hooks, so that every call of a layer with parameters goes through the
/// recorder, or through `record`. The backward pass goes down to the layers' outputs only:
/// gradients of weights are what the step itself makes. The first dimension of every input is the
/// samples.
///
/// The rows own the tensors that they view (`LayerScores::Layer::owner`), so that the caller may
/// drop theirs, and the recorder, before the step. On a CUDA device the tensors and the context
/// share one stream.
class Capture {
 public:
  explicit Capture(Context context) : parameters_(std::move(context)) {}

  /// What has been added, in this order.
  const Parameters& parameters() const { return parameters_; }

  /// Adds every parameter of a module and of the modules below it, under the names that torch gives
  /// them; those that require no gradient are left out. Throws what `Parameters::add` throws.
  void add(const ::torch::nn::Module& module) {
    for (const auto& item : module.named_parameters()) {
      if (item.value().requires_grad()) add(item.value(), item.key());
    }
  }

  /// Adds one parameter. Throws what `view` and `Parameters::add` throw.
  Segment add(const at::Tensor& parameter, std::string name) {
    const Segment segment = parameters_.add(parameter_view(parameter), std::move(name));
    segments_.emplace(parameter.unsafeGetTensorImpl(), segment);
    return segment;
  }

  /// Follows parameters whose memory is another now, as after `module.to` or loading with new
  /// tensors: by their names, those of `add(module)`. Call it between steps. Throws what
  /// `Parameters::rebind` throws.
  void rebind(const ::torch::nn::Module& module) {
    for (const auto& item : module.named_parameters()) {
      for (int i = 0; i < parameters_.segments(); ++i) {
        const at::Tensor& parameter = item.value();
        if (parameters_.name({i}) != item.key()) continue;
        if (parameters_.tensor({i}).data() != parameter.data_ptr()) {
          parameters_.rebind({i}, parameter_view(parameter));
        }
        segments_[parameter.unsafeGetTensorImpl()] = {i};
      }
    }
  }

  /// z = W a + b over the last dimension of (N, ..., d_in).
  at::Tensor operator()(const ::torch::nn::Linear& layer, const at::Tensor& input) {
    return record(layer->weight, layer->bias, input, layer.ptr()->forward(input));
  }

  /// Convolutions of (N, channels, ...). Their input is unfolded, which takes N L C K numbers for L
  /// positions and a kernel of K. Padding is by zeros. Throws `ArgumentError` for groups.
  at::Tensor operator()(const ::torch::nn::Conv1d& layer, const at::Tensor& input) {
    return convolution<1>(*layer.ptr(), input);
  }
  at::Tensor operator()(const ::torch::nn::Conv2d& layer, const at::Tensor& input) {
    return convolution<2>(*layer.ptr(), input);
  }
  at::Tensor operator()(const ::torch::nn::Conv3d& layer, const at::Tensor& input) {
    return convolution<3>(*layer.ptr(), input);
  }

  /// The rows of the weight (V, d) at the indices (N, ...). Throws `ArgumentError` for options that
  /// change the weight in the forward pass (max_norm) or its gradient (scale_grad_by_freq).
  at::Tensor operator()(const ::torch::nn::Embedding& layer, const at::Tensor& indices) {
    const auto& options = layer->options;
    if (options.max_norm() || options.scale_grad_by_freq()) {
      throw ArgumentError(
          "capture: an embedding with max_norm or scale_grad_by_freq has no scores");
    }
    Use use = product(layer->weight, {}, indices, layer.ptr()->forward(indices));
    use.kind = Use::Kind::indices;
    use.padding_index = options.padding_idx() ? *options.padding_idx() : -1;
    return store(std::move(use));
  }

  /// Scale and shift over the last dimension. Throws `ArgumentError` where it normalizes more.
  at::Tensor operator()(const ::torch::nn::LayerNorm& layer, const at::Tensor& input) {
    const auto& shape = layer->options.normalized_shape();
    const at::Tensor normalized = at::layer_norm(input, shape, {}, {}, layer->options.eps());
    if (!layer->options.elementwise_affine()) return normalized;
    if (shape.size() != 1) {
      throw ArgumentError("capture: a LayerNorm over " + std::to_string(shape.size()) +
                          " dimensions, expected 1");
    }
    return scale(layer->weight, layer->bias, normalized, normalized.dim() - 1);
  }

  /// Scale and shift of each channel of (N, channels, ...).
  at::Tensor operator()(const ::torch::nn::GroupNorm& layer, const at::Tensor& input) {
    const at::Tensor normalized =
        at::group_norm(input, layer->options.num_groups(), {}, {}, layer->options.eps());
    if (!layer->options.affine()) return normalized;
    return scale(layer->weight, layer->bias, normalized, 1);
  }

  /// Any product of the caller's own: output (N, ..., d_out) = input (N, ..., d_in) W^T + b, with
  /// equal dimensions in between. `bias` may be undefined. Returns `output`, which must be computed
  /// from `input` without going through another recorded output of the same product. Throws
  /// `ArgumentError` for parameters that were not added, or whose memory is another now, and for an
  /// output without a gradient.
  at::Tensor record(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& input,
                    const at::Tensor& output) {
    return store(product(weight, bias, input, output));
  }

  /// output = weight * normalized + bias, elementwise along dimension `dim` of `normalized`, whose
  /// size is that of both: what a normalization ends with. Returns the output.
  at::Tensor scale(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& normalized,
                   std::int64_t dim) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(normalized.dim()), 1);
    shape[static_cast<std::size_t>(dim)] = weight.numel();
    at::Tensor output = normalized * weight.view(shape);
    if (bias.defined()) output = output + bias.view(shape);
    Use use = product(weight, bias, normalized, output);
    use.kind = Use::Kind::scale;
    use.dim = dim;
    return store(std::move(use));
  }

  /// Makes `scores` the rows of what was recorded since the last call: the derivatives of
  /// log p(x_n), `log_p` (N), with respect to the outputs. `set.samples` is N. With `keep` the
  /// record stays for another call, as for labels drawn from the model beside those of the data.
  /// Costs the part of a backward pass that leads to the outputs. Does not wait on a CUDA device.
  /// Throws `ArgumentError` for an input that was changed in place since it was recorded, for an
  /// output whose first dimension is not the samples', and what `LayerScores::begin` and `add`
  /// throw; the record stays then.
  void add_to(LayerScores& scores, const at::Tensor& log_p, RowSet set = {}, bool keep = false) {
    if (log_p.dim() != 1) {
      throw ShapeError("capture: log_p is " + detail::description(log_p) +
                       ", expected one number a sample");
    }
    if (uses_.empty()) throw ArgumentError("capture: nothing was recorded");
    set.samples = log_p.size(0);
    std::vector<at::Tensor> outputs;
    outputs.reserve(uses_.size());
    for (const Use& use : uses_) {
      require_unchanged(use);
      if (use.output.size(0) != set.samples) {
        throw ShapeError("capture: an output of " + name(use) + " is " +
                         detail::description(use.output) + ", its first dimension is not the " +
                         std::to_string(set.samples) + " samples of log_p");
      }
      outputs.push_back(use.output);
    }
    const std::vector<at::Tensor> gradients =
        ::torch::autograd::grad({log_p.sum()}, outputs, {}, keep, false, /*allow_unused=*/true);
    const at::NoGradGuard off;
    scores.begin(set);
    for (std::size_t i = 0; i < uses_.size(); ++i) {
      // log p does not depend on it: its score is zero.
      if (gradients[i].defined()) add(scores, uses_[i], gradients[i]);
    }
    if (!keep) uses_.clear();
  }

  /// Drops what was recorded since the last `add_to`, as after a forward pass for its value alone.
  void forget() { uses_.clear(); }

 private:
  struct Use {
    enum class Kind : std::uint8_t { product, indices, scale };
    Kind kind = Kind::product;
    Segment weight;
    Segment bias;
    at::Tensor input;
    std::int64_t version = 0;  // of the input, when it was recorded
    at::Tensor output;
    std::int64_t dim = -1;            // of the output, along which the weight or the bias lies
    std::int64_t padding_index = -1;  // of an embedding: its row has no gradient
  };

  std::string name(const Use& use) const {
    return '"' + parameters_.name(use.weight ? use.weight : use.bias) + '"';
  }

  void require_unchanged(const Use& use) const {
    if (detail::version(use.input) == use.version) return;
    throw ArgumentError("capture: the input of " + name(use) +
                        " was changed in place after it was recorded");
  }

  /// None for an undefined tensor and for one that requires no gradient.
  Segment segment(const at::Tensor& parameter) const {
    if (!parameter.defined() || !parameter.requires_grad()) return {};
    const auto found = segments_.find(parameter.unsafeGetTensorImpl());
    if (found == segments_.end()) {
      throw ArgumentError("capture: a parameter, " + detail::description(parameter) +
                          ", was not added");
    }
    if (parameters_.tensor(found->second).data() != parameter.data_ptr()) {
      throw ArgumentError("capture: the memory of \"" + parameters_.name(found->second) +
                          "\" is not what it was when it was added; call rebind");
    }
    return found->second;
  }

  Use product(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& input,
              const at::Tensor& output) const {
    Use use;
    use.weight = segment(weight);
    use.bias = segment(bias);
    use.input = input.detach();
    use.version = detail::version(input);
    use.output = output;
    return use;
  }

  at::Tensor store(Use use) {
    at::Tensor output = use.output;
    if (!use.weight && !use.bias) return output;
    if (!output.requires_grad()) {
      throw ArgumentError("capture: the output of " + name(use) +
                          " has no gradient; is a NoGradGuard on?");
    }
    uses_.push_back(std::move(use));
    return output;
  }

  template <std::size_t D, class Layer>
  at::Tensor convolution(Layer& layer, const at::Tensor& input) {
    const auto& options = layer.options;
    if (options.groups() != 1 ||
        !std::holds_alternative<::torch::enumtype::kZeros>(options.padding_mode()) ||
        input.dim() != static_cast<std::int64_t>(D) + 2) {
      throw ArgumentError("capture: a convolution of " + detail::description(input) + " with " +
                          std::to_string(options.groups()) +
                          " groups; expected (N, channels, ...), one group, padding by zeros");
    }
    const at::Tensor output = layer.forward(input);
    Use use = product(layer.weight, layer.bias,
                      unfolded<D>(input.detach(), layer.weight, output, options), output);
    use.dim = 1;
    return store(std::move(use));
  }

  /// (N, L, channels times kernel): for each of L positions the numbers that the weight meets
  /// there.
  template <std::size_t D, class Options>
  static at::Tensor unfolded(const at::Tensor& input, const at::Tensor& weight,
                             const at::Tensor& output, const Options& options) {
    std::vector<std::int64_t> padding;  // of the last dimension first: before, behind
    for (std::size_t i = D; i-- > 0;) {
      const std::int64_t reach =
          (*options.dilation())[i] * (weight.size(static_cast<int>(i) + 2) - 1);
      std::int64_t before = 0;
      std::int64_t behind = 0;
      if (std::holds_alternative<::torch::enumtype::kSame>(options.padding())) {
        before = reach / 2;
        behind = reach - before;
      } else if (const auto* same = std::get_if<::torch::ExpandingArray<D>>(&options.padding())) {
        before = behind = (**same)[i];
      }
      padding.insert(padding.end(), {before, behind});
    }
    const at::Tensor padded = at::constant_pad_nd(input, padding).contiguous();
    std::vector<std::int64_t> sizes{input.size(0)};
    std::vector<std::int64_t> strides{padded.stride(0)};
    for (std::size_t i = 0; i < D; ++i) {
      sizes.push_back(output.size(static_cast<int>(i) + 2));
      strides.push_back(padded.stride(static_cast<int>(i) + 2) * (*options.stride())[i]);
    }
    sizes.push_back(input.size(1));
    strides.push_back(padded.stride(1));
    for (std::size_t i = 0; i < D; ++i) {
      sizes.push_back(weight.size(static_cast<int>(i) + 2));
      strides.push_back(padded.stride(static_cast<int>(i) + 2) * (*options.dilation())[i]);
    }
    return padded.as_strided(sizes, strides).reshape({input.size(0), -1, weight[0].numel()});
  }

  /// (N, ..., d) as (N, T, d).
  static at::Tensor terms(const at::Tensor& tensor, std::int64_t dim) {
    const at::Tensor last = tensor.movedim(dim, -1);
    return last.reshape({last.size(0), -1, last.size(-1)});
  }

  /// Adds a layer whose factors are these tensors, which it owns; `input` may be undefined.
  static void add(LayerScores& scores, LayerScores::Layer layer, const at::Tensor& input,
                  const at::Tensor& output_score) {
    auto owner = std::make_shared<std::array<at::Tensor, 2>>();
    (*owner)[0] = output_score.contiguous();
    layer.output_score = view((*owner)[0]);
    if (input.defined()) {
      (*owner)[1] = input.contiguous();
      layer.input = view((*owner)[1]);
    }
    layer.owner = std::move(owner);
    scores.add(layer);
  }

  void add(LayerScores& scores, const Use& use, const at::Tensor& gradient) const {
    const at::Tensor output_score = terms(gradient, use.dim);
    const std::int64_t samples = output_score.size(0);
    const std::int64_t count = output_score.size(1);
    if (use.kind == Use::Kind::scale) {
      // Its scores are vectors: summed over the terms they are one row a sample.
      if (use.weight) {
        add(scores, {.bias = use.weight}, {}, (output_score * terms(use.input, use.dim)).sum(1));
      }
      if (use.bias) add(scores, {.bias = use.bias}, {}, output_score.sum(1));
    } else if (use.kind == Use::Kind::indices) {
      at::Tensor numbers = output_score;
      if (use.padding_index >= 0) {
        numbers = numbers * use.input.reshape({samples, count, 1}).ne(use.padding_index);
      }
      const at::Tensor words = use.input.reshape({-1, 1}).to(at::kInt);
      add(scores, {.weight = use.weight, .terms = count}, words, numbers);
    } else {
      const at::Tensor input = use.weight ? use.input.reshape({samples, count, -1}) : at::Tensor();
      add(scores, {.weight = use.weight, .bias = use.bias, .terms = count}, input, output_score);
    }
  }

  Parameters parameters_;
  std::unordered_map<const void*, Segment> segments_;
  std::vector<Use> uses_;
};

}  // namespace natgrad::torch
