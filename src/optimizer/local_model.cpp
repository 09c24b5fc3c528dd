#include "optimizer/local_model.hpp"

namespace natgrad::detail {

ModelBuffers::ModelBuffers(Carver& carver, const ModelShape& shape) {
  if (shape.products == 0) return;
  vector = carver.take({shape.parameters, 1}, real);
  if (shape.numbers) gradient = carver.take({shape.parameters, 1}, real);
  for (int i = 0; i < shape.products; ++i) {
    products.at(static_cast<std::size_t>(i)) = carver.take({shape.rows, 1}, real);
  }
  if (shape.gradient_rows > 0) gradient_product = carver.take({shape.gradient_rows, 1}, real);
  if (shape.centred) roots = carver.take({shape.rows, 1}, real);
  work = {.data = carver.take_bytes(shape.work_bytes), .bytes = shape.work_bytes};
}

View LocalModel::multiply(const ConstView& v, std::size_t place, const View& slope) const {
  const View& product = buffers_.products.at(place);
  backend_.copy(v, buffers_.vector);
  backend_.apply({rows_.uses, rows_.set.scale()}, buffers_.vector, product, buffers_.work);
  const Centering centering = rows_.set.centering();
  // The gradient of `fisher_only` is that of rows as they are, of `rows` that of centred ones.
  if (centering == Centering::fisher_only) measure_slope(product, slope);
  if (centering != Centering::none) {
    // Of one set sqrt(w_n) is its scale, up to a factor.
    backend_.copy(rows_.set.scale(), buffers_.roots);
    backend_.project(buffers_.roots, product);
  }
  if (centering != Centering::fisher_only) measure_slope(product, slope);
  return product;
}

/// g^T v of the v in `buffers_.vector`, whose S v is `product`.
void LocalModel::measure_slope(const View& product, const View& slope) const {
  const GradientSource& source = rows_.gradient;
  if (!source.given()) return backend_.dot(rows_.set.rhs(), product, slope);
  if (source.rows() != nullptr) {
    const ScoreSet& other = source.rows()->rows();
    backend_.apply({rows_.gradient_uses, other.scale()}, buffers_.vector, buffers_.gradient_product,
                   buffers_.work);
    return backend_.dot(other.rhs(), buffers_.gradient_product, slope);
  }
  const Gradient& numbers = *source.numbers();
  active_.axpby(backend_, numbers.scale, numbers.view, 0, buffers_.gradient);
  backend_.dot(buffers_.gradient, buffers_.vector, slope);
}

}  // namespace natgrad::detail
