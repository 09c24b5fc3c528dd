#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/row_products.hpp"

#include <algorithm>
#include <cstdint>

namespace natgrad::kernels {

namespace {

/// `width` adjacent threads share a row.
template <class Row, class Result, unsigned width>
struct AddProducts {
  static constexpr bool synchronizes = true;
  KhatriRaoFactors<Row> factors;
  ApplyOperands<Result> products;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t count = factors.layout.rows;
    // All threads of a block go round equally often, for they meet in the sum.
    for (std::int64_t base = std::int64_t{thread.block.y} * thread.threads.y; base < count;
         base += thread.rows()) {
      const std::int64_t n = base + thread.index.y;
      const Result own = n < count ? share(n, thread.index.x) : Result{0};
      const double sum = combine_threads<width>(thread, static_cast<double>(own), Plus{});
      if (n >= count || thread.index.x != 0) continue;
      Result z = static_cast<Result>(sum);
      if (products.adds) z += products.z[n];
      if (products.scale != nullptr) z = scaled(products.scale[n], z);
      products.z[n] = z;
    }
  }

 private:
  /// Where there are fewer outputs than threads, these take several terms at a time.
  NATGRAD_DEVICE Result share(std::int64_t n, unsigned index) const {
    const std::int64_t outputs = factors.outputs.columns;
    const unsigned across = outputs < width ? static_cast<unsigned>(outputs) : width;
    const unsigned down = width / across;
    const std::int64_t terms =
        products.inputs.data != nullptr ? factors.layout.terms : factors.layout.carrying();
    Result sum = 0;
    if (index >= across * down) return sum;
    for (std::int64_t t = index / across; t < terms; t += down) {
      const Row* d = &factors.outputs(n * factors.layout.terms + t, 0);
      const Result* product = nullptr;
      if (products.inputs.data != nullptr) {
        product = &products.inputs(factors.layout.input(n) * factors.layout.terms + t, 0);
      }
      const Result* bias = factors.layout.carries_bias(t) ? products.bias : nullptr;
      sum += sum_of_terms<Result>(index % across, outputs, across, [&](std::int64_t o) {
        Result factor = product != nullptr ? product[o] : Result{0};
        if (bias != nullptr) factor += bias[o];
        return factor * static_cast<Result>(d[o]);
      });
    }
    return sum;
  }
};

template <unsigned width, class Row, class Result>
void launch_add_products(Stream stream, const KhatriRaoFactors<Row>& factors,
                         const ApplyOperands<Result>& products) {
  constexpr unsigned rows_a_block = block_threads / width;
  launch(stream, {1, blocks_for(factors.layout.rows, rows_a_block)}, {width, rows_a_block},
         AddProducts<Row, Result, width>{factors, products});
}

}  // namespace

template <class Row, class Result>
void add_products(Stream stream, const KhatriRaoFactors<Row>& factors,
                  const ApplyOperands<Result>& products) {
  constexpr std::int64_t most_for_a_warp = 512;
  if (factors.outputs.columns * factors.layout.terms <= most_for_a_warp) {
    launch_add_products<32>(stream, factors, products);
  } else {
    launch_add_products<128>(stream, factors, products);
  }
}

namespace {

template <class Result>
struct ScaleVector {
  const double* scale;
  Result* z;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t n) const {
    z[n] = scaled(scale[n], z[n]);
  }
};

}  // namespace

template <class Result>
void scale_vector(Stream stream, const double* scale, std::int64_t size, Result* z) {
  map(stream, {1, size}, ScaleVector<Result>{scale, z});
}

namespace {

/// How rows of D are dealt out: the threads of a block stand side by side along a row, as many as
/// outputs ask for, and every block has a stripe of the rows: those of its threads, and every
/// `stripes` times as many further on.
struct Stripes {
  Extent threads;
  std::int64_t across;  // blocks
  std::int64_t stripes;

  Stripes(std::int64_t rows, std::int64_t outputs) {
    constexpr unsigned most_across = 32;
    constexpr std::int64_t fill_a_device = 2048;
    constexpr std::int64_t most_stripes = 256;
    threads.x = 1;
    while (threads.x < most_across && threads.x < outputs) threads.x *= 2;
    threads.y = block_threads / threads.x;
    across = (outputs + threads.x - 1) / threads.x;
    const std::int64_t at_once = std::int64_t{threads.y} * reads_together;
    const std::int64_t all = std::max<std::int64_t>(1, (rows + at_once - 1) / at_once);
    const std::int64_t enough =
        std::max<std::int64_t>(1, fill_a_device / std::max<std::int64_t>(1, across));
    stripes = std::min({all, enough, most_stripes});
  }
  Extent blocks() const { return {static_cast<unsigned>(across), static_cast<unsigned>(stripes)}; }
};

template <class Result>
NATGRAD_DEVICE void store_bias(const WeighedOutputs<Result>& to, std::int64_t output, Result sum) {
  Result& g = to.bias[output];
  g = to.beta == Result{0} ? sum : sum + to.beta * g;
}

template <class Row, class Result>
struct WeighOutputs {
  static constexpr bool synchronizes = true;
  KhatriRaoFactors<Row> factors;
  ScaledVector<Result> u;
  WeighedOutputs<Result> to;
  std::int64_t walked;  // terms of an input that it goes over: all, or those that carry the bias

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t outputs = factors.outputs.columns;
    const std::int64_t output = thread.column();
    const bool inside = output < outputs;
    const Result own = inside ? weigh(thread, output) : Result{0};
    if (to.bias == nullptr) return;
    const Result sum = sum_of_column<Result, block_threads>(thread, own);
    if (!inside || thread.index.y != 0) return;
    if (thread.blocks.y == 1)
      store_bias(to, output, sum);
    else
      to.partials[thread.block.y * outputs + output] = sum;
  }

 private:
  /// Read apart, for an arithmetic operation would wait for its operands.
  struct Product {
    double scale;
    Result y;
    Row d;
  };

  /// Returns this thread's part of the bias.
  NATGRAD_DEVICE Result weigh(const Thread& thread, std::int64_t output) const {
    const std::int64_t outputs = factors.outputs.columns;
    const std::int64_t terms = factors.layout.terms;
    const std::int64_t per_input = factors.layout.rows_per_input;
    const std::int64_t count = factors.layout.rows / per_input * walked;
    const bool all_carry = walked == factors.layout.carrying();
    Result sum = 0;
    const auto store = [&](std::int64_t i, Result weighed, bool carries_bias) {
      if (to.weighed != nullptr) to.weighed[i * outputs + output] = weighed;
      if (carries_bias) sum += weighed;
    };
    if (walked == 1 && per_input == 1) {
      read_then_write(
          thread.row(), count, thread.rows(),
          [&](std::int64_t n) {
            return Product{u.scale[n], u.y[n], factors.outputs(n * terms, output)};
          },
          [&](std::int64_t n, const Product& own) {
            store(n, u.product(own.scale, own.y, static_cast<Result>(own.d)), true);
          });
    } else {
      read_then_write(
          thread.row(), count, thread.rows(),
          [&](std::int64_t i) {
            const std::int64_t input = i / walked;
            const std::int64_t term = i - input * walked;
            Result weighed = 0;
            for (std::int64_t n = input * per_input; n < (input + 1) * per_input; ++n) {
              const auto d = static_cast<Result>(factors.outputs(n * terms + term, output));
              weighed += u.product(u.scale[n], u.y[n], d);
            }
            return weighed;
          },
          [&](std::int64_t i, Result weighed) { store(i, weighed, all_carry || i % terms == 0); });
    }
    return sum;
  }
};

/// Adds what the stripes left.
template <class Result>
struct AddStripes {
  static constexpr bool synchronizes = true;
  WeighedOutputs<Result> to;
  std::int64_t outputs;
  std::int64_t stripes;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t output = thread.column();
    const bool inside = output < outputs;
    Result own = 0;
    if (inside) {
      own = sum_of_terms<Result>(thread.index.y, stripes, thread.threads.y,
                                 [&](std::int64_t i) { return to.partials[i * outputs + output]; });
    }
    const Result sum = sum_of_column<Result, block_threads>(thread, own);
    if (inside && thread.index.y == 0) store_bias(to, output, sum);
  }
};

/// What a sum over rows takes of A. A factor of 0 does not remove what is not finite.
template <class Row, class Result>
struct CopyInputs {
  static constexpr int widest = pack_width<Row, Result>;
  Matrix<const Row> from;
  TermLayout layout;
  std::int64_t first;
  const double* scale;
  Matrix<Result> to;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(from, elements) && begins_with_packs<widest>(to, elements);
  }
  template <int width>
  NATGRAD_DEVICE Pack<Row, width> read(std::int64_t i, std::int64_t j) const {
    return read_pack<width>(from, first + i, j);
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Pack<Row, width>& own) const {
    const bool used = is_used((first + i) / layout.terms);
    Pack<Result, width> result;
    for (int k = 0; k < width; ++k) {
      result.elements[k] = used ? static_cast<Result>(own.elements[k]) : Result{0};
    }
    write_pack<width>(to, i, j, result);
  }

 private:
  NATGRAD_DEVICE bool is_used(std::int64_t input) const {
    const std::int64_t end = (input + 1) * layout.rows_per_input;
    for (std::int64_t n = input * layout.rows_per_input; n < end; ++n) {
      if (scale[n] != 0) return true;
    }
    return false;
  }
};

}  // namespace

template <class Row, class Result>
void copy_inputs(Stream stream, const KhatriRaoFactors<Row>& factors, std::int64_t first,
                 const double* scale, const Matrix<Result>& to) {
  map(stream, {to.rows, to.columns},
      CopyInputs<Row, Result>{factors.inputs, factors.layout, first, scale, to});
}

std::int64_t bias_partials(std::int64_t rows, std::int64_t outputs) {
  const std::int64_t stripes = Stripes(rows, outputs).stripes;
  return stripes == 1 ? 0 : stripes * outputs;
}

template <class Row, class Result>
void weigh_outputs(Stream stream, const KhatriRaoFactors<Row>& factors,
                   const ScaledVector<Result>& u, const WeighedOutputs<Result>& to) {
  WeighOutputs<Row, Result> kernel{factors, u, to, factors.layout.terms};
  TermLayout& layout = kernel.factors.layout;
  if (to.weighed == nullptr) {  // no row has another's input, then
    layout.rows_per_input = 1;
    kernel.walked = layout.carrying();
  }
  const std::int64_t outputs = factors.outputs.columns;
  const Stripes stripes(layout.rows / layout.rows_per_input * kernel.walked, outputs);
  launch(stream, stripes.blocks(), stripes.threads, kernel);
  if (to.bias == nullptr || stripes.stripes == 1) return;
  launch(stream, {static_cast<unsigned>(stripes.across)}, stripes.threads,
         AddStripes<Result>{to, outputs, stripes.stripes});
}

template void scale_vector<float>(Stream, const double*, std::int64_t, float*);
template void scale_vector<double>(Stream, const double*, std::int64_t, double*);
#define NATGRAD_INSTANTIATE(Row, Result)                                                     \
  template void copy_inputs<Row, Result>(Stream, const KhatriRaoFactors<Row>&, std::int64_t, \
                                         const double*, const Matrix<Result>&);              \
  template void add_products<Row, Result>(Stream, const KhatriRaoFactors<Row>&,              \
                                          const ApplyOperands<Result>&);                     \
  template void weigh_outputs<Row, Result>(Stream, const KhatriRaoFactors<Row>&,             \
                                           const ScaledVector<Result>&,                      \
                                           const WeighedOutputs<Result>&);
NATGRAD_INSTANTIATE(float, float)
NATGRAD_INSTANTIATE(float, double)
NATGRAD_INSTANTIATE(double, double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::kernels
