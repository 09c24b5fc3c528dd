#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/rows.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::kernels {

namespace {

/// A vector of float or double, or the same number everywhere.
struct Numbers {
  const double* doubles;
  const float* floats;
  std::int64_t stride;
  double otherwise;

  Numbers(const ConstView& view, double constant)
      : doubles(nullptr), floats(nullptr), stride(view.leading_dimension()), otherwise(constant) {
    if (view.empty()) return;
    if (view.type() == ElementType::float64)
      doubles = view.as<double>();
    else
      floats = view.as<float>();
  }

  NATGRAD_DEVICE double operator()(std::int64_t n) const {
    if (doubles != nullptr) return doubles[n * stride];
    return floats != nullptr ? static_cast<double>(floats[n * stride]) : otherwise;
  }
};

struct ScaleAndRhs {
  Numbers weights;
  Numbers coefficients;
  double reference;
  double factor;
  double* scale;
  double* rhs;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t n) const {
    const double root = std::sqrt(weights(n));
    scale[n] = factor * root;
    rhs[n] = root == 0 ? 0 : root * (coefficients(n) - reference);
  }
};

struct RowScaling {
  Numbers weights;
  Numbers coefficients;
  DeviceScalar reference;
  double factor;
  double* scale;
  double* rhs;
  NATGRAD_DEVICE ScaleAndRhs load() const {
    return {weights, coefficients, reference.value(), factor, scale, rhs};
  }
};

}  // namespace

void row_scaling(Stream stream, const ConstView& weights, double uniform,
                 const ConstView& coefficients, DeviceScalar reference, double factor,
                 const View& scale, const View& rhs) {
  map(stream, {1, scale.rows()},
      RowScaling{Numbers(weights, uniform), Numbers(coefficients, 1), reference, factor,
                 scale.as<double>(), rhs.as<double>()});
}

namespace {

/// A thread writes the same columns of several rows, so that it divides once.
template <class Row, class Result, int width>
struct MaterializeWeight {
  static constexpr bool synchronizes = false;
  KhatriRaoFactors<Row> factors;
  MaterializedPart<Result> part;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t inputs = factors.inputs.columns;
    const std::int64_t numbers = factors.outputs.columns * inputs;
    for (std::int64_t p = thread.column() * width; p < numbers; p += thread.columns() * width) {
      const std::int64_t output = p / inputs;
      const std::int64_t input = p - output * inputs;
      for (std::int64_t n = thread.row(); n < factors.layout.rows; n += thread.rows()) {
        form(n, output, input, part.to + n * part.leading_dimension + p);
      }
    }
  }

 private:
  using RowPack = Pack<Row, width>;
  using ResultPack = Pack<Result, width>;

  NATGRAD_DEVICE void form(std::int64_t n, std::int64_t output, std::int64_t input,
                           Result* to) const {
    const std::int64_t terms = factors.layout.terms;
    const Row* d = &factors.outputs(n * terms, output);
    const Row* a = &factors.inputs(factors.layout.input(n) * terms, input);
    const double scale = part.scale == nullptr ? 1 : part.scale[n];
    const auto factor = static_cast<Result>(scale);
    ResultPack sum = {};
    if (part.adds) sum = *reinterpret_cast<const ResultPack*>(to);
    for (std::int64_t t = 0; scale != 0 && t < terms; ++t) {
      const Result score = factor * static_cast<Result>(*d);
      const RowPack pack = *reinterpret_cast<const RowPack*>(a);
      for (int i = 0; i < width; ++i) {
        sum.elements[i] += score * static_cast<Result>(pack.elements[i]);
      }
      d += factors.outputs.leading_dimension;
      a += factors.inputs.leading_dimension;
    }
    *reinterpret_cast<ResultPack*>(to) = sum;
  }
};

template <int width, class Row, class Result>
void launch_materialize_weight(Stream stream, const KhatriRaoFactors<Row>& factors,
                               const MaterializedPart<Result>& part) {
  const std::int64_t numbers = factors.outputs.columns * factors.inputs.columns;
  if (numbers == 0) return;
  constexpr std::int64_t products_a_thread = 8;
  const std::int64_t terms = factors.layout.terms;
  const std::int64_t rows_a_thread = terms < products_a_thread ? products_a_thread / terms : 1;
  const unsigned across = blocks_for(numbers / width, block_threads);
  const unsigned down = blocks_for(factors.layout.rows, rows_a_thread, most_blocks / across);
  launch(stream, {across, down}, {block_threads},
         MaterializeWeight<Row, Result, width>{factors, part});
}

}  // namespace

template <class Row, class Result>
void materialize_weight(Stream stream, const KhatriRaoFactors<Row>& factors,
                        const MaterializedPart<Result>& part) {
  constexpr int width = pack_width<Result>;
  const std::int64_t inputs = factors.inputs.columns;
  const std::int64_t rows = factors.layout.rows;
  const std::int64_t numbers = factors.outputs.columns * inputs;
  const Matrix<Result> to{part.to, rows, numbers, part.leading_dimension};
  if (inputs % width == 0 &&
      begins_with_packs<width>(factors.inputs, {factors.inputs.rows, inputs}) &&
      begins_with_packs<width>(to, {rows, numbers})) {
    launch_materialize_weight<width>(stream, factors, part);
  } else {
    launch_materialize_weight<1>(stream, factors, part);
  }
}

namespace {

template <class Row, class Result>
struct MaterializeBias {
  KhatriRaoFactors<Row> factors;
  MaterializedPart<Result> part;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t output) const {
    Result sum = 0;
    for (std::int64_t t = 0; t < factors.layout.carrying(); ++t) {
      sum += static_cast<Result>(factors.outputs(n * factors.layout.terms + t, output));
    }
    if (part.scale != nullptr) sum = scaled(part.scale[n], sum);
    Result& to = part.to[n * part.leading_dimension + output];
    to = part.adds ? to + sum : sum;
  }
};

}  // namespace

template <class Row, class Result>
void materialize_bias(Stream stream, const KhatriRaoFactors<Row>& factors,
                      const MaterializedPart<Result>& part) {
  map(stream, {factors.layout.rows, factors.outputs.columns},
      MaterializeBias<Row, Result>{factors, part});
}

#define NATGRAD_INSTANTIATE(Row, Result)                                              \
  template void materialize_weight<Row, Result>(Stream, const KhatriRaoFactors<Row>&, \
                                                const MaterializedPart<Result>&);     \
  template void materialize_bias<Row, Result>(Stream, const KhatriRaoFactors<Row>&,   \
                                              const MaterializedPart<Result>&);
NATGRAD_INSTANTIATE(float, float)
NATGRAD_INSTANTIATE(float, double)
NATGRAD_INSTANTIATE(double, double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::kernels
