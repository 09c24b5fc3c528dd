#include "optimizer/planned_uses.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

namespace natgrad::detail {

namespace {

/// Hands out segments in their order, again and again.
class SegmentOrder {
 public:
  SegmentOrder(const Parameters& parameters, const ActiveParameters& active)
      : parameters_(parameters), offsets_(static_cast<std::size_t>(parameters.segments()), -1) {
    for (const ActiveParameters::Tensor& tensor : active.tensors()) {
      offsets_[static_cast<std::size_t>(tensor.segment.index)] = tensor.offset;
    }
  }

  /// The next segment that `fits`, preferably one that is not frozen; -1: none.
  template <class Fits>
  int take(const Fits& fits) {
    const int count = parameters_.segments();
    for (bool frozen : {false, true}) {
      for (int i = 0; i < count; ++i) {
        const int segment = (next_ + i) % count;
        if ((offset(segment) < 0) != frozen || !fits(parameters_.tensor({segment}))) continue;
        next_ = (segment + 1) % count;
        return segment;
      }
    }
    return -1;
  }

  /// The segment behind the last one taken if it has so many numbers; else -1.
  int take_bias(int weight, std::int64_t outputs) {
    const int bias = weight + 1;
    if (bias >= parameters_.segments()) return -1;
    if (parameters_.tensor({bias}).size() != outputs) return -1;
    next_ = (bias + 1) % parameters_.segments();
    return bias;
  }

  /// Among the active numbers; -1: frozen, or no segment.
  std::int64_t offset(int segment) const {
    return segment < 0 ? -1 : offsets_[static_cast<std::size_t>(segment)];
  }

 private:
  const Parameters& parameters_;
  std::vector<std::int64_t> offsets_;
  int next_ = 0;
};

}  // namespace

std::vector<LayerUse> planned_uses(const ScoresShape& shape, std::int64_t rows,
                                   std::int64_t parameters, bool one_row_an_input) {
  if (shape.layers.empty()) return {{.rows = rows, .outputs = parameters, .bias_offset = 0}};
  std::vector<LayerUse> uses;
  for (const ScoresShape::Layer& layer : shape.layers) {
    const std::int64_t per_input = one_row_an_input ? 1 : layer.rows_per_input;
    uses.push_back({.rows = layer.rows == 0 ? rows : layer.rows,
                    .inputs = layer.inputs,
                    .outputs = layer.outputs,
                    .terms = layer.terms,
                    .rows_per_input = per_input,
                    .lookup = layer.lookup});
    if (one_row_an_input && layer.rows != 0) {
      uses.back().rows = layer.rows / layer.rows_per_input;
    }
  }
  return uses;
}

void name_parameters(std::vector<LayerUse>& uses, const Parameters& parameters,
                     const ActiveParameters& active) {
  SegmentOrder order(parameters, active);
  for (LayerUse& use : uses) {
    if (use.bias_offset >= 0) continue;  // dense rows
    const int first = order.take([&](const ConstView& tensor) {
      if (use.inputs == 0) return tensor.size() == use.outputs;
      return tensor.shape() == use.weight_shape();
    });
    if (first < 0) {
      throw ShapeError(message("plan: no segment of the parameters fits a layer of ", use.inputs,
                               " inputs and ", use.outputs, " outputs"));
    }
    if (use.inputs == 0) {
      use.bias_offset = order.offset(first);
      continue;
    }
    use.weight_offset = order.offset(first);
    if (!use.lookup) use.bias_offset = order.offset(order.take_bias(first, use.outputs));
    if (use.weight_offset >= 0) continue;
    use.inputs = 0;
    use.lookup = false;
    use.rows_per_input = 1;
  }
  std::erase_if(uses,
                [](const LayerUse& use) { return use.weight_offset < 0 && use.bias_offset < 0; });
}

}  // namespace natgrad::detail
