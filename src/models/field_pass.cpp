#include "models/field_pass.hpp"

#include "core/context_state.hpp"

#include <cstddef>
#include <utility>

namespace natgrad {

void FieldPass::Shape::count(std::int64_t points, ByteCount& bytes) const {
  const std::int64_t size = size_of(type);
  const auto add = [&](std::int64_t columns) {
    ByteCount rows;
    rows.add(points, terms(), 1);
    bytes.add(rows.bytes(), columns, size);
  };
  if (terms() > 1) add(dimension);
  for (const std::int64_t units : hidden) {
    for (int array = 0; array < (goes_back ? 3 : 1); ++array) add(units);
  }
  bytes.add(points, goes_back ? 2 : 1, size);
}

FieldPass::FieldPass(const Context& context, Shape shape)
    : context_(context),
      backend_(context.state().backend()),
      shape_(std::move(shape)),
      layers_(shape_.hidden.size()) {}

void FieldPass::reserve(std::int64_t points) {
  if (points <= capacity_) return;
  ByteCount bytes("laplacian net: layers and points");
  shape_.count(points, bytes);  // throws for more than an array can have
  capacity_ = 0;
  const std::int64_t rows = points * shape_.terms();
  const auto grow = [&](detail::GrowingArray& array, ::natgrad::Shape size) {
    array.replace(backend_);  // the old and the new together would be twice the memory
    array.replace(backend_, context_.array(size, shape_.type));
  };
  if (shape_.terms() > 1) grow(expanded_, {rows, shape_.dimension});
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const ::natgrad::Shape size{rows, shape_.hidden[l]};
    grow(layers_[l].z, size);
    if (!shape_.goes_back) continue;
    grow(layers_[l].a, size);
    grow(layers_[l].delta, size);
  }
  grow(output_, {points, 1});
  if (shape_.goes_back) {
    grow(ones_, {points, 1});
    backend_.fill(1, ones_.view());
  }
  capacity_ = points;
}

ConstView FieldPass::expand(const ConstView& points) {
  const std::int64_t terms = shape_.terms();
  if (terms == 1) return points;
  const std::int64_t n = points.rows();
  const std::int64_t d = shape_.dimension;
  const View rows = expanded_.view().row_range(0, n * terms);
  const auto of_each = [&](std::int64_t term, std::int64_t column, std::int64_t columns) {
    auto* first = static_cast<std::byte*>(rows.data()) + (term * d + column) * size_of(rows.type());
    return View(first, rows.type(), {n, columns},
                {.leading_dimension = terms * d, .device = rows.device()});
  };
  backend_.fill(0, rows);
  backend_.copy(points, of_each(0, 0, d));
  for (std::int64_t i = 0; i < d; ++i) backend_.fill(1, of_each(1 + i, i, 1));
  return rows;
}

View FieldPass::last_of(const View& rows) const {
  const std::int64_t terms = shape_.terms();
  const View from = rows.row_range(terms - 1, rows.rows() - terms + 1);
  return {from.data(),
          from.type(),
          {points_, rows.columns()},
          {.leading_dimension = terms * rows.leading_dimension(), .device = rows.device()}};
}

View FieldPass::forward(const std::vector<FieldLayer>& layers, const ConstView& rows) {
  input_ = rows;
  points_ = rows.rows() / shape_.terms();
  ConstView a = rows;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const View z = rows_of(layers_[l].z);
    const View next = rows_of(activations(layers_[l]));
    backend_.gemm(Transpose::no, Transpose::yes, 1, a, layers[l].weight, 0, z);
    backend_.tanh_terms(shape_.terms(), layers[l].bias, z, next);
    a = next;
  }
  const View output = output_.view().row_range(0, points_);
  const View last = last_of(rows_of(activations(layers_.back())));
  backend_.gemm(Transpose::no, Transpose::yes, 1, last, layers.back().weight, 0, output);
  if (!shape_.differentiates) {
    backend_.bias_activation(Activation::identity, layers.back().bias, output, output);
  }
  return output;
}

void FieldPass::backward(const std::vector<FieldLayer>& layers) {
  const View ones = ones_.view().row_range(0, points_);
  for (std::size_t l = layers_.size(); l-- > 0;) {
    const View delta = rows_of(layers_[l].delta);
    const FieldLayer& next = layers[l + 1];
    if (l + 1 == layers_.size()) {
      if (shape_.differentiates) backend_.fill(0, delta);
      backend_.gemm(Transpose::no, Transpose::no, 1, ones, next.weight, 0, last_of(delta));
    } else {
      backend_.gemm(Transpose::no, Transpose::no, 1, rows_of(layers_[l + 1].delta), next.weight, 0,
                    delta);
    }
    backend_.tanh_terms_backward(shape_.terms(), rows_of(layers_[l].z), rows_of(layers_[l].a),
                                 delta);
  }
}

void FieldPass::add_to(LayerScores& scores, const std::vector<FieldLayer>& layers,
                       std::int64_t first) const {
  const RowRange range{first, points_};
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    scores.add({.weight = layers[l].weight_segment,
                .bias = layers[l].bias_segment,
                .input = l == 0 ? input_ : ConstView(rows_of(layers_[l - 1].a)),
                .output_score = rows_of(layers_[l].delta),
                .terms = shape_.terms(),
                .bias_terms = Bias::first_term,
                .rows = range});
  }
  // Of the outputs only the last term counts: the Laplacian, which has no bias, or the value.
  const bool has_bias = !shape_.differentiates;
  scores.add({.weight = layers.back().weight_segment,
              .bias = has_bias ? layers.back().bias_segment : Segment{},
              .input = last_of(rows_of(layers_.back().a)),
              .output_score = ones_.view().row_range(0, points_),
              .rows = range});
}

}  // namespace natgrad
