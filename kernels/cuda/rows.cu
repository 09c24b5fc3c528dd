#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/rows.hpp"

#include <cmath>
#include <cstdint>

namespace natgrad::kernels {

namespace {

/// Neighbours that are read or written by one instruction.
template <class T, int width>
struct alignas(sizeof(T) * width) Pack {
  T elements[width];
};

template <class T, int width>
bool packs(const T* data, std::int64_t leading_dimension, std::int64_t columns) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(Pack<T, width>) == 0 &&
         leading_dimension % width == 0 && columns % width == 0;
}

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
  static constexpr bool synchronizes = false;
  Elements elements;
  Numbers weights;
  Numbers coefficients;
  DeviceScalar reference;
  double factor;
  double* scale;
  double* rhs;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const double origin = reference.value();
    elements.for_each(thread, [&](std::int64_t, std::int64_t n) {
      const double root = std::sqrt(weights(n));
      scale[n] = factor * root;
      rhs[n] = root * (coefficients(n) - origin);
    });
  }
};

/// Of a thread the same numbers in several rows, so that it divides once.
template <class Row, class Result, int width>
struct FormWeight {
  static constexpr bool synchronizes = false;
  RowFactors<Row> rows;
  FormedPart<Result> part;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t inputs = rows.inputs.columns;
    const std::int64_t numbers = rows.outputs.columns * inputs;
    for (std::int64_t p = thread.column() * width; p < numbers; p += thread.columns() * width) {
      const std::int64_t output = p / inputs;
      const std::int64_t input = p - output * inputs;
      for (std::int64_t n = thread.row(); n < rows.shape.rows; n += thread.rows()) {
        form(n, output, input, part.to + n * part.leading_dimension + p);
      }
    }
  }

 private:
  using RowPack = Pack<Row, width>;
  using ResultPack = Pack<Result, width>;

  NATGRAD_DEVICE void form(std::int64_t n, std::int64_t output, std::int64_t input,
                           Result* to) const {
    const std::int64_t terms = rows.shape.terms;
    const Row* d = &rows.outputs(n * terms, output);
    const Row* a = &rows.inputs(rows.shape.input(n) * terms, input);
    const Result factor = part.scale == nullptr ? Result{1} : static_cast<Result>(part.scale[n]);
    ResultPack sum = {};
    if (part.adds) sum = *reinterpret_cast<const ResultPack*>(to);
    for (std::int64_t t = 0; t < terms; ++t) {
      const Result score = factor * static_cast<Result>(*d);
      const RowPack pack = *reinterpret_cast<const RowPack*>(a);
      for (int i = 0; i < width; ++i) {
        sum.elements[i] += score * static_cast<Result>(pack.elements[i]);
      }
      d += rows.outputs.leading_dimension;
      a += rows.inputs.leading_dimension;
    }
    *reinterpret_cast<ResultPack*>(to) = sum;
  }
};

template <class Row, class Result>
struct FormBias {
  static constexpr bool synchronizes = false;
  Elements elements;
  RowFactors<Row> rows;
  FormedPart<Result> part;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t n, std::int64_t output) {
      Result sum = 0;
      for (std::int64_t t = 0; t < rows.shape.carrying(); ++t) {
        sum += static_cast<Result>(rows.outputs(n * rows.shape.terms + t, output));
      }
      if (part.scale != nullptr) sum *= static_cast<Result>(part.scale[n]);
      Result& to = part.to[n * part.leading_dimension + output];
      to = part.adds ? to + sum : sum;
    });
  }
};

/// `width` neighbouring threads a row.
template <class Row, class Result, unsigned width>
struct AddRowProducts {
  static constexpr bool synchronizes = true;
  RowFactors<Row> rows;
  RowProducts<Result> products;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t count = rows.shape.rows;
    // All threads of a block go round equally often, for they meet in the sum.
    for (std::int64_t base = std::int64_t{thread.block.y} * thread.threads.y; base < count;
         base += thread.rows()) {
      const std::int64_t n = base + thread.index.y;
      const Result own = n < count ? share(n, thread.index.x) : Result{0};
      const double sum = combine_threads<width>(thread, static_cast<double>(own), Plus{});
      if (n >= count || thread.index.x != 0) continue;
      Result z = static_cast<Result>(sum);
      if (products.adds) z += products.z[n];
      if (products.scale != nullptr) z *= static_cast<Result>(products.scale[n]);
      products.z[n] = z;
    }
  }

 private:
  /// Where there are fewer outputs than threads, these take several terms at a time.
  NATGRAD_DEVICE Result share(std::int64_t n, unsigned index) const {
    const std::int64_t outputs = rows.outputs.columns;
    const unsigned across = outputs < width ? static_cast<unsigned>(outputs) : width;
    const unsigned down = width / across;
    const std::int64_t terms =
        products.inputs.data != nullptr ? rows.shape.terms : rows.shape.carrying();
    Result sum = 0;
    if (index >= across * down) return sum;
    for (std::int64_t t = index / across; t < terms; t += down) {
      const Row* d = &rows.outputs(n * rows.shape.terms + t, 0);
      const Result* product = nullptr;
      if (products.inputs.data != nullptr) {
        product = &products.inputs(rows.shape.input(n) * rows.shape.terms + t, 0);
      }
      const Result* bias = rows.shape.carries_bias(t) ? products.bias : nullptr;
      sum += sum_of_terms<Result>(index % across, outputs, across, [&](std::int64_t o) {
        Result factor = product != nullptr ? product[o] : Result{0};
        if (bias != nullptr) factor += bias[o];
        return factor * static_cast<Result>(d[o]);
      });
    }
    return sum;
  }
};

template <class Result>
struct ScaleRows {
  static constexpr bool synchronizes = false;
  Elements elements;
  const double* scale;
  Result* z;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread,
                      [&](std::int64_t, std::int64_t n) { z[n] *= static_cast<Result>(scale[n]); });
  }
};

template <class Row, class Result>
struct WeighOutputs {
  static constexpr bool synchronizes = false;
  Elements elements;
  RowFactors<Row> rows;
  RowWeights<Result> u;
  Result* to;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t terms = rows.shape.terms;
    const std::int64_t per_input = rows.shape.rows_per_input;
    elements.for_each(thread, [&](std::int64_t i, std::int64_t output) {
      const std::int64_t input = terms == 1 ? i : i / terms;
      const std::int64_t term = i - input * terms;
      Result sum = 0;
      for (std::int64_t n = input * per_input; n < (input + 1) * per_input; ++n) {
        sum += u(n) * static_cast<Result>(rows.outputs(n * terms + term, output));
      }
      to[i * elements.columns + output] = sum;
    });
  }
};

constexpr unsigned bias_columns = 32;
constexpr unsigned bias_groups = 16;

/// The threads of a column, at most `bias_groups`, take turns at the weighted terms.
template <class Row, class Result>
struct AdjointBias {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = bias_columns * bias_groups;
  RowFactors<Row> rows;
  RowWeights<Result> u;
  Result beta;
  Result* g;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t output = thread.column();
    const bool inside = output < rows.outputs.columns;
    const Result own = inside ? share(output, thread) : Result{0};
    const Result sum = sum_of_column<Result, bias_columns, bias_groups>(thread, own);
    if (!inside || thread.index.y != 0) return;
    g[output] = beta == Result{0} ? sum : sum + beta * g[output];
  }

 private:
  NATGRAD_DEVICE Result share(std::int64_t output, const Thread& thread) const {
    const std::int64_t terms = rows.shape.terms;
    const std::int64_t carrying = rows.shape.carrying();
    const auto weighted = [&](std::int64_t n, std::int64_t term) {
      return u(n) * static_cast<Result>(rows.outputs(term, output));
    };
    const std::int64_t first = thread.index.y;
    const std::int64_t step = thread.threads.y;
    // Apart, for a division between the loads would hold them up.
    if (carrying == 1) {
      return sum_of_terms<Result>(first, rows.shape.rows, step,
                                  [&](std::int64_t n) { return weighted(n, n * terms); });
    }
    return sum_of_terms<Result>(first, rows.shape.rows * carrying, step, [&](std::int64_t i) {
      return weighted(i / carrying, i);  // all terms carry it
    });
  }
};

template <int width, class Row, class Result>
void launch_form_weight(Stream stream, const RowFactors<Row>& rows,
                        const FormedPart<Result>& part) {
  const std::int64_t numbers = rows.outputs.columns * rows.inputs.columns;
  if (numbers == 0) return;
  constexpr std::int64_t products_a_thread = 8;
  const std::int64_t terms = rows.shape.terms;
  const std::int64_t rows_a_thread = terms < products_a_thread ? products_a_thread / terms : 1;
  const unsigned across = blocks_for(numbers / width, block_threads);
  const unsigned down = blocks_for(rows.shape.rows, rows_a_thread, most_blocks / across);
  launch(stream, {across, down}, {block_threads}, FormWeight<Row, Result, width>{rows, part});
}

template <unsigned width, class Row, class Result>
void launch_row_products(Stream stream, const RowFactors<Row>& rows,
                         const RowProducts<Result>& products) {
  constexpr unsigned rows_a_block = block_threads / width;
  launch(stream, {1, blocks_for(rows.shape.rows, rows_a_block)}, {width, rows_a_block},
         AddRowProducts<Row, Result, width>{rows, products});
}

}  // namespace

void row_scaling(Stream stream, const ConstView& weights, double uniform,
                 const ConstView& coefficients, DeviceScalar reference, double factor,
                 const View& scale, const View& rhs) {
  const Elements elements{1, scale.rows()};
  launch_over(stream, elements,
              ScaleAndRhs{elements, Numbers(weights, uniform), Numbers(coefficients, 1), reference,
                          factor, scale.as<double>(), rhs.as<double>()});
}

template <class Row, class Result>
void form_weight(Stream stream, const RowFactors<Row>& rows, const FormedPart<Result>& part) {
  constexpr int width = 16 / sizeof(Result);
  const std::int64_t inputs = rows.inputs.columns;
  if (packs<Row, width>(rows.inputs.data, rows.inputs.leading_dimension, inputs) &&
      packs<Result, width>(part.to, part.leading_dimension, inputs)) {
    launch_form_weight<width>(stream, rows, part);
  } else {
    launch_form_weight<1>(stream, rows, part);
  }
}

template <class Row, class Result>
void form_bias(Stream stream, const RowFactors<Row>& rows, const FormedPart<Result>& part) {
  const Elements elements{rows.shape.rows, rows.outputs.columns};
  launch_over(stream, elements, FormBias<Row, Result>{elements, rows, part});
}

template <class Row, class Result>
void add_row_products(Stream stream, const RowFactors<Row>& rows,
                      const RowProducts<Result>& products) {
  constexpr std::int64_t most_for_a_warp = 512;
  if (rows.outputs.columns * rows.shape.terms <= most_for_a_warp) {
    launch_row_products<32>(stream, rows, products);
  } else {
    launch_row_products<128>(stream, rows, products);
  }
}

template <class Result>
void scale_rows(Stream stream, const double* scale, std::int64_t rows, Result* z) {
  const Elements elements{1, rows};
  launch_over(stream, elements, ScaleRows<Result>{elements, scale, z});
}

template <class Row, class Result>
void weigh_outputs(Stream stream, const RowFactors<Row>& rows, const RowWeights<Result>& u,
                   Result* to) {
  const Elements elements{rows.shape.rows / rows.shape.rows_per_input * rows.shape.terms,
                          rows.outputs.columns};
  launch_over(stream, elements, WeighOutputs<Row, Result>{elements, rows, u, to});
}

template <class Row, class Result>
void adjoint_bias(Stream stream, const RowFactors<Row>& rows, const RowWeights<Result>& u,
                  Result beta, Result* g) {
  constexpr std::int64_t most = std::int64_t{1} << 30;  // no loop over columns
  launch(stream, {blocks_for(rows.outputs.columns, bias_columns, most)},
         {bias_columns, threads_of_a_sum(rows.shape.rows * rows.shape.carrying(), bias_groups)},
         AdjointBias<Row, Result>{rows, u, beta, g});
}

template void scale_rows<float>(Stream, const double*, std::int64_t, float*);
template void scale_rows<double>(Stream, const double*, std::int64_t, double*);
#define NATGRAD_INSTANTIATE(Row, Result)                                                           \
  template void form_weight<Row, Result>(Stream, const RowFactors<Row>&,                           \
                                         const FormedPart<Result>&);                               \
  template void form_bias<Row, Result>(Stream, const RowFactors<Row>&, const FormedPart<Result>&); \
  template void add_row_products<Row, Result>(Stream, const RowFactors<Row>&,                      \
                                              const RowProducts<Result>&);                         \
  template void weigh_outputs<Row, Result>(Stream, const RowFactors<Row>&,                         \
                                           const RowWeights<Result>&, Result*);                    \
  template void adjoint_bias<Row, Result>(Stream, const RowFactors<Row>&,                          \
                                          const RowWeights<Result>&, Result, Result*);
NATGRAD_INSTANTIATE(float, float)
NATGRAD_INSTANTIATE(float, double)
NATGRAD_INSTANTIATE(double, double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::kernels
