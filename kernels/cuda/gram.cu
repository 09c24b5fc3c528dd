#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/gram.hpp"
#include "kernels/formulas/elementary.hpp"

#include <cstdint>
#include <type_traits>

namespace natgrad::kernels {

namespace {

/// x 2^power for powers from -252 to 252: by two halves of it, whose powers of two are normal
/// numbers and both at least 1 or at most 1, so that nothing overflows that the result does not.
NATGRAD_DEVICE float times_power_of_two(float x, std::int32_t power) {
  const std::int32_t half = power / 2;
  const auto factor = [](std::int32_t exponent) {
    return formulas::from_bits<float>(static_cast<std::uint32_t>(127 + exponent) << 23);
  };
  return x * factor(half) * factor(power - half);
}

/// Element (i, j) of a product, of which `number` is stored.
template <class T>
NATGRAD_DEVICE T scaled(const FactorProduct<T>& product, T number, std::int64_t i, std::int64_t j) {
  if constexpr (std::is_same_v<T, float>) {
    if (product.row_powers != nullptr) {
      return times_power_of_two(number, product.row_powers[i] + product.column_powers[j]);
    }
  }
  return number;
}

template <class T>
NATGRAD_DEVICE T element(const FactorProduct<T>& product, std::int64_t i, std::int64_t j) {
  return scaled(product, product.numbers(i, j), i, j);
}

/// A number of rows with these scales; 0 where one of them is 0, whatever the number is.
template <class T>
NATGRAD_DEVICE T scaled_product(T number, double row_scale, double column_scale) {
  if (row_scale == 0 || column_scale == 0) return 0;
  return static_cast<T>(static_cast<double>(number) * (row_scale * column_scale));
}

/// An entry of K from the sum of its terms.
template <class T>
NATGRAD_DEVICE T scaled_entry(const GramTile<T>& tile, std::int64_t i, std::int64_t j, T sum) {
  if (tile.row_scale == nullptr) return sum;
  return scaled_product(sum, tile.row_scale[i], tile.column_scale[j]);
}

template <class T>
NATGRAD_DEVICE void store_gram(const GramTile<T>& tile, std::int64_t i, std::int64_t j, T sum) {
  T& k = tile.K(i, j);
  if (tile.adds) sum += k;
  k = scaled_entry(tile, i, j, sum);
}

/// One term in every row: an element of K is one of each product.
template <class T>
struct AddSingleTerms {
  GramTile<T> tile;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (j > i + tile.below) return;
    T factor = tile.bias ? T{1} : T{0};
    if (tile.inputs.numbers.data != nullptr) {
      factor += element(tile.inputs, tile.left.input(i), tile.right.input(j));
    }
    store_gram(tile, i, j, factor * element(tile.outputs, i, j));
  }
};

/// The same where every row has an input of its own, by packs of adjacent columns: a thread reads
/// those of several rows before it writes.
template <class T>
struct AddSingleTermPacks {
  static constexpr bool synchronizes = false;
  static constexpr int width = pack_width<T>;
  static constexpr unsigned threads_across = 64;
  static constexpr unsigned threads_down = block_threads / threads_across;
  static constexpr int rows_of_block = reads_together * static_cast<int>(threads_down);
  GramTile<T> tile;

  static bool takes(const GramTile<T>& tile) {
    const Elements elements{tile.K.rows, tile.K.columns};
    const auto begins = [&](const auto& matrix) {
      return begins_with_packs<width>(matrix, elements);
    };
    return tile.left.rows_per_input == 1 && tile.right.rows_per_input == 1 && begins(tile.K) &&
           begins(tile.outputs.numbers) && begins(tile.inputs.numbers);
  }

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t j = thread.column() * width;
    if (j >= tile.K.columns) return;
    const std::int64_t first = std::int64_t{thread.block.y} * rows_of_block + thread.index.y;
    Own own[reads_together];
    for (int k = 0; k < reads_together; ++k) {
      const std::int64_t i = first + k * threads_down;
      if (is_whole(i, j)) own[k] = read(i, j);
    }
    for (int k = 0; k < reads_together; ++k) {
      const std::int64_t i = first + k * threads_down;
      if (is_whole(i, j)) {
        write_pack(tile.K, i, j, sums(i, j, own[k]));
      } else if (i < tile.K.rows) {
        for (int e = 0; e < width && j + e < tile.K.columns; ++e) {
          AddSingleTerms<T>{tile}(i, j + e);
        }
      }
    }
  }

 private:
  struct Own {
    Pack<T, width> outputs;
    Pack<T, width> inputs;
    Pack<T, width> k;
  };

  NATGRAD_DEVICE bool is_whole(std::int64_t i, std::int64_t j) const {
    return i < tile.K.rows && j + width <= tile.K.columns && j + width - 1 <= i + tile.below;
  }

  NATGRAD_DEVICE Own read(std::int64_t i, std::int64_t j) const {
    Own own{};
    own.outputs = read_pack<width>(tile.outputs.numbers, i, j);
    if (tile.inputs.numbers.data != nullptr) {
      own.inputs = read_pack<width>(tile.inputs.numbers, i, j);
    }
    if (tile.adds) own.k = read_pack<width>(tile.K, i, j);
    return own;
  }

  NATGRAD_DEVICE Pack<T, width> sums(std::int64_t i, std::int64_t j, const Own& own) const {
    Pack<T, width> sums;
    for (int e = 0; e < width; ++e) {
      T factor = tile.bias ? T{1} : T{0};
      if (tile.inputs.numbers.data != nullptr) {
        factor += scaled(tile.inputs, own.inputs.elements[e], i, j + e);
      }
      T sum = factor * scaled(tile.outputs, own.outputs.elements[e], i, j + e);
      if (tile.adds) sum += own.k.elements[e];
      sums.elements[e] = scaled_entry(tile, i, j + e, sum);
    }
    return sums;
  }
};

/// A block sums one row's terms, a thread for each column of the products, and then the columns of
/// each element of K.
template <class T>
struct AddTerms {
  static constexpr bool synchronizes = true;
  GramTile<T> tile;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t terms = tile.right.terms;
    const std::int64_t width = thread.threads.x / terms;
    const std::int64_t first = thread.block.x * width;
    const std::int64_t i = thread.block.y;
    if (first > i + tile.below) return;
    T* by_column = shared_array<T, block_threads>();
    const std::int64_t own = thread.index.x / terms;
    if (own < width && first + own < tile.K.columns && first + own <= i + tile.below) {
      by_column[thread.index.x] = column_sum(i, first + own, thread.index.x - own * terms);
    }
    barrier();
    const std::int64_t j = first + thread.index.x;
    if (thread.index.x >= width || j >= tile.K.columns || j > i + tile.below) return;
    T sum = 0;
    for (std::int64_t s = 0; s < terms; ++s) sum += by_column[thread.index.x * terms + s];
    store_gram(tile, i, j, sum);
  }

 private:
  /// Of all terms of row i with term s of column j.
  NATGRAD_DEVICE T column_sum(std::int64_t i, std::int64_t j, std::int64_t s) const {
    const std::int64_t terms = tile.left.terms;
    const std::int64_t column = j * tile.right.terms + s;
    const std::int64_t input_row = tile.left.input(i) * terms;
    const std::int64_t input_column = tile.right.input(j) * tile.right.terms + s;
    const bool weight = tile.inputs.numbers.data != nullptr;
    const bool bias = tile.bias && tile.right.carries_bias(s);
    T sum = 0;
    for (std::int64_t t = 0; t < terms; ++t) {
      T factor = bias && tile.left.carries_bias(t) ? T{1} : T{0};
      if (weight) factor += element(tile.inputs, input_row + t, input_column);
      sum += factor * element(tile.outputs, i * terms + t, column);
    }
    return sum;
  }
};

}  // namespace

template <class T>
void add_term_products(Stream stream, const GramTile<T>& tile) {
  if (tile.left.terms == 1 && tile.right.terms == 1) {
    using Packs = AddSingleTermPacks<T>;
    if (Packs::takes(tile)) {
      constexpr std::int64_t columns = std::int64_t{Packs::threads_across} * Packs::width;
      const Extent blocks{blocks_for(tile.K.columns, columns, tile.K.columns),
                          blocks_for(tile.K.rows, Packs::rows_of_block, tile.K.rows)};
      return launch(stream, blocks, {Packs::threads_across, Packs::threads_down}, Packs{tile});
    }
    return map(stream, {tile.K.rows, tile.K.columns}, AddSingleTerms<T>{tile});
  }
  const std::int64_t width = block_threads / tile.right.terms;
  launch(stream,
         {blocks_for(tile.K.columns, width, tile.K.columns), static_cast<unsigned>(tile.K.rows)},
         {block_threads}, AddTerms<T>{tile});
}

namespace {

template <class T>
struct ScaleLower {
  const double* scale;
  Matrix<T> K;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (j <= i) K(i, j) = scaled_product(K(i, j), scale[i], scale[j]);
  }
};

}  // namespace

template <class T>
void scale_lower(Stream stream, const double* scale, const Matrix<T>& K) {
  map(stream, {K.rows, K.columns}, ScaleLower<T>{scale, K});
}

template void add_term_products<float>(Stream, const GramTile<float>&);
template void add_term_products<double>(Stream, const GramTile<double>&);
template void scale_lower<float>(Stream, const double*, const Matrix<float>&);
template void scale_lower<double>(Stream, const double*, const Matrix<double>&);

}  // namespace natgrad::kernels
