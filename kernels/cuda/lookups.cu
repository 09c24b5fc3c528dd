#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/lookups.hpp"

#include <cstdint>
#include <limits>

namespace natgrad::kernels {

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

template <class Row, class Result>
struct LookUp {
  LookupFactors<Row> factors;
  const Result* weight;
  Matrix<Result> to;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    const std::int64_t word = factors.word(i);
    to(i, j) = word < 0 ? static_cast<Result>(no_number) : weight[word * to.columns + j];
  }
};

template <class Row, class Result>
struct AddLookups {
  LookupTile<Row, Result> tile;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (j > i + tile.below) return;
    Result sum = 0;
    for (std::int64_t t = 0; t < tile.left.layout.terms; ++t) sum += products(i, t, j);
    Result& k = tile.K(i, j);
    if (tile.adds) sum += k;
    if (tile.row_scale != nullptr) {
      const double scale = tile.row_scale[i] * tile.column_scale[j];
      const bool left_out = tile.row_scale[i] == 0 || tile.column_scale[j] == 0;
      sum = left_out ? Result{0} : static_cast<Result>(static_cast<double>(sum) * scale);
    }
    k = sum;
  }

 private:
  /// Of term t of row i with all of row j.
  NATGRAD_DEVICE Result products(std::int64_t i, std::int64_t t, std::int64_t j) const {
    const std::int64_t word = tile.left.word(i, t);
    if (word < 0) return static_cast<Result>(no_number);
    const std::int64_t terms = tile.right.layout.terms;
    const Row* const left = &tile.left.outputs(i * tile.left.layout.terms + t, 0);
    Result sum = 0;
    for (std::int64_t s = 0; s < terms; ++s) {
      if (tile.right.word(j, s) != word) continue;
      const Row* const right = &tile.right.outputs(j * terms + s, 0);
      for (std::int64_t k = 0; k < tile.left.outputs.columns; ++k) {
        sum += static_cast<Result>(left[k]) * static_cast<Result>(right[k]);
      }
    }
    return sum;
  }
};

template <class Row, class Result>
struct MaterializeLookup {
  LookupFactors<Row> factors;
  LookupPart which;
  MaterializedPart<Result> part;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t p) const {
    const std::int64_t word = which.first_word + p / which.columns;
    const std::int64_t column = which.first_column + p % which.columns;
    const std::int64_t terms = factors.layout.terms;
    Result sum = 0;
    for (std::int64_t t = 0; t < terms; ++t) {
      const std::int64_t read = factors.word(n, t);
      if (read == word) sum += static_cast<Result>(factors.outputs(n * terms + t, column));
      if (read < 0 && word == 0) sum = static_cast<Result>(no_number);
    }
    if (part.scale != nullptr) sum = scaled(part.scale[n], sum);
    Result& to = part.to[n * part.leading_dimension + p];
    to = part.adds ? to + sum : sum;
  }
};

/// Chains of the input terms that read one row of the weight, first within pieces of `piece` terms,
/// and then of the first terms of those: no chain of many equal terms is walked by one thread.
struct Chains {
  static constexpr std::int64_t piece = 512;
  std::int32_t* words;     // of each term; -1: none, and left out
  std::int32_t* next;      // term of the chain; -1: the last one
  std::int32_t* previous;  // 1 where there is one
};

template <class Row>
struct ReadWords {
  LookupFactors<Row> factors;
  const double* scale;
  Chains to;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t i) const {
    const std::int64_t word = factors.word(i);
    to.words[i] = static_cast<std::int32_t>(word < 0 && !left_out(i) ? 0 : word);
    to.previous[i] = 0;
  }

 private:
  NATGRAD_DEVICE bool left_out(std::int64_t i) const {
    const std::int64_t rows = factors.layout.rows_per_input;
    const std::int64_t first = i / factors.layout.terms * rows;
    for (std::int64_t n = first; n < first + rows; ++n) {
      if (scale[n] != 0) return false;
    }
    return true;
  }
};

/// Within a piece the next term of the same word; across pieces, of a piece's first one, that of a
/// later piece, which is the first one there.
struct FindNext {
  Chains chains;
  std::int64_t count;
  bool across;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t i) const {
    const std::int32_t word = chains.words[i];
    const std::int64_t piece_end = (i / Chains::piece + 1) * Chains::piece;
    std::int64_t j = across ? piece_end : i + 1;
    std::int64_t end = across || piece_end > count ? count : piece_end;
    if (word < 0 || (across && chains.previous[i] != 0)) end = 0;
    while (j < end && chains.words[j] != word) ++j;
    chains.next[i] = j < end ? static_cast<std::int32_t>(j) : -1;
  }
};

struct MarkNext {
  Chains chains;
  NATGRAD_DEVICE void operator()(std::int64_t, std::int64_t i) const {
    if (chains.next[i] >= 0) chains.previous[chains.next[i]] = 1;
  }
};

/// Each chain's sum to its first term, or to g.
template <class Row, class Result>
struct SumChains {
  LookupFactors<Row> factors;
  Chains chains;
  Result* weighed;
  Result* g;  // null: within pieces
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (chains.words[i] < 0 || chains.previous[i] != 0) return;
    const std::int64_t columns = factors.outputs.columns;
    Result sum = 0;
    for (std::int64_t term = i; term >= 0; term = chains.next[term]) {
      sum += factors.word(term) < 0 ? static_cast<Result>(no_number) : weighed[term * columns + j];
    }
    if (g == nullptr)
      weighed[i * columns + j] = sum;
    else
      g[chains.words[i] * columns + j] += sum;
  }
};

}  // namespace

template <class Row, class Result>
void look_up(Stream stream, const LookupFactors<Row>& factors, const Result* weight,
             const Matrix<Result>& to) {
  map(stream, {to.rows, to.columns}, LookUp<Row, Result>{factors, weight, to});
}

template <class Row, class Result>
void add_lookups(Stream stream, const LookupTile<Row, Result>& tile) {
  map(stream, {tile.K.rows, tile.K.columns}, AddLookups<Row, Result>{tile});
}

template <class Row, class Result>
void materialize_lookup(Stream stream, const LookupFactors<Row>& factors, const LookupPart& which,
                        const MaterializedPart<Result>& part) {
  map(stream, {factors.layout.rows, which.words * which.columns},
      MaterializeLookup<Row, Result>{factors, which, part});
}

template <class Row, class Result>
void scatter(Stream stream, const LookupFactors<Row>& factors, const double* scale, Result* weighed,
             std::int32_t* integers, Result* g) {
  const std::int64_t count =
      factors.layout.rows / factors.layout.rows_per_input * factors.layout.terms;
  const Chains chains{integers, integers + count, integers + 2 * count};
  map(stream, {1, count}, ReadWords<Row>{factors, scale, chains});
  for (const bool across : {false, true}) {
    map(stream, {1, count}, FindNext{chains, count, across});
    map(stream, {1, count}, MarkNext{chains});
    map(stream, {count, factors.outputs.columns},
        SumChains<Row, Result>{factors, chains, weighed, across ? g : nullptr});
  }
}

#define NATGRAD_INSTANTIATE(Row, Result)                                                        \
  template void look_up<Row, Result>(Stream, const LookupFactors<Row>&, const Result*,          \
                                     const Matrix<Result>&);                                    \
  template void add_lookups<Row, Result>(Stream, const LookupTile<Row, Result>&);               \
  template void materialize_lookup<Row, Result>(                                                \
      Stream, const LookupFactors<Row>&, const LookupPart&, const MaterializedPart<Result>&);   \
  template void scatter<Row, Result>(Stream, const LookupFactors<Row>&, const double*, Result*, \
                                     std::int32_t*, Result*);
NATGRAD_INSTANTIATE(float, float)
NATGRAD_INSTANTIATE(float, double)
NATGRAD_INSTANTIATE(double, double)
#undef NATGRAD_INSTANTIATE

}  // namespace natgrad::kernels
