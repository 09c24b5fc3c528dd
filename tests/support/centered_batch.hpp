#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

/// Where the rows of a centred batch come from.
enum class Rowed { dense, layers, terms };  // formed; two layers; a layer used three times a row

struct CenteredShape {
  Rowed rowed = Rowed::dense;
  std::size_t samples = 10;
  double spread = 1;  // of what rows are made of, about a mean of 1
  std::uint64_t seed = 1;
};

/// Rows far from 0 with weights and coefficients, and plainly in double what centring makes of
/// them: C, whose row n is sqrt(w_n) (s_n - mean), and S, that are not centred.
template <class T>
class CentredBatch {
 public:
  static constexpr std::size_t size = 17;  // P = 3 x 4 + 3 + 2

  explicit CentredBatch(const CenteredShape& shape) : shape_(shape) {
    Random random(shape.seed);
    theta.reserve(3);
    for (const Table& table : {random.table(3, 4), random.table(3, 1), random.table(2, 1)}) {
      theta.emplace_back(table);
      segments_.push_back(parameters.add(theta.back().view()));
    }
    terms_ = shape.rowed == Rowed::terms ? 3 : 1;
    input_ = Tensor<T>(about_a_mean(terms_ * shape.samples, 4, random));
    first_ = Tensor<T>(about_a_mean(terms_ * shape.samples, 3, random));
    second_ = Tensor<T>(about_a_mean(shape.samples, 2, random));
    Numbers w = random.numbers(shape.samples);
    for (double& value : w) value = (1.2 + value) / static_cast<double>(shape.samples);
    weights = Tensor<T>(w);
    coefficients = Tensor<T>(random.numbers(shape.samples));
    form_rows();
  }
  CentredBatch(const CentredBatch&) = delete;
  CentredBatch& operator=(const CentredBatch&) = delete;

  /// Samples [first, first + count) as a part of the batch.
  template <class Body>
  void with_scores(Centering centering, std::size_t first, std::size_t count, FisherKind kind,
                   const Body& body) {
    const auto begin = static_cast<std::int64_t>(first);
    const auto n = static_cast<std::int64_t>(count);
    RowSet set{.samples = n,
               .batch_samples = static_cast<std::int64_t>(shape_.samples),
               .weights = weights.view().row_range(begin, n),
               .centering = centering};
    if (centering == Centering::fisher_only)
      kind = FisherKind::empirical;  // maximum likelihood, which goes with no other
    else
      set.coefficients = coefficients.view().row_range(begin, n);
    // Parts with factors of their own, as gradients of mean losses have them.
    set.scale = first % 2 == 0 ? 1 : -4;
    const auto scaled = [&](const Tensor<T>& from) {
      Tensor<T> to = from;
      const auto rows = static_cast<std::size_t>(to.view().rows());
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < from.table().columns; ++j)
          to(i, j) /= static_cast<T>(set.scale);
      }
      return to;
    };
    if (shape_.rowed == Rowed::dense) {
      Tensor<T> part = scaled(Tensor<T>(row_range(rows, first, count)));
      DenseScores scores(parameters, {.kind = kind});
      scores.begin(part.view(), set);
      return body(scores);
    }
    const auto t = static_cast<std::int64_t>(terms_);
    Tensor<T> first_score = scaled(first_);
    Tensor<T> second_score = scaled(second_);
    LayerScores scores(parameters, {.kind = kind});
    scores.begin(set);
    scores.add({.weight = segments_[0],
                .bias = segments_[1],
                .input = input_.view().row_range(begin * t, n * t),
                .output_score = first_score.view().row_range(begin * t, n * t),
                .terms = t});
    scores.add({.bias = segments_[2], .output_score = second_score.view().row_range(begin, n)});
    body(scores);
  }
  template <class Body>
  void with_scores(Centering centering, const Body& body) {
    with_scores(centering, 0, shape_.samples, FisherKind::exact, body);
  }

  /// g of this kind of centring.
  Numbers gradient(Centering centering) const {
    if (centering == Centering::rows) return multiply(transposed(C), r);
    return multiply(transposed(S), roots);
  }
  std::size_t samples() const { return shape_.samples; }
  Numbers theta_numbers() const {
    Numbers all;
    for (const Tensor<T>& tensor : theta) {
      const Numbers part = tensor.numbers();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  Parameters parameters{test_context()};
  std::vector<Tensor<T>> theta;
  Tensor<T> weights;
  Tensor<T> coefficients;
  Table rows;     // s_n
  Table S;        // sqrt(w_n) s_n
  Table C;        // centred
  Table F;        // C^T C
  Numbers r;      // sqrt(w_n) c_n
  Numbers roots;  // sqrt(w_n)

 private:
  Table about_a_mean(std::size_t n, std::size_t columns, Random& random) const {
    const Numbers mean = random.numbers(columns);
    Table values = random.table(n, columns);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        values(i, j) = mean[j] + shape_.spread * values(i, j);
      }
    }
    return values;
  }
  void form_rows() {
    const std::size_t n = shape_.samples;
    const Table input = input_.table();
    const Table first = first_.table();
    const Table second = second_.table();
    rows = Table(n, size);
    for (std::size_t i = 0; i < n * terms_; ++i) {
      for (std::size_t o = 0; o < 3; ++o) {
        for (std::size_t k = 0; k < 4; ++k)
          rows(i / terms_, o * 4 + k) += first(i, o) * input(i, k);
        rows(i / terms_, 12 + o) += first(i, o);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t o = 0; o < 2; ++o) rows(i, 15 + o) = second(i, o);
    }
    if (shape_.rowed == Rowed::dense) rows = Tensor<T>(rows).table();
    const Numbers w = weights.numbers();
    r = right_hand_side(w, coefficients.numbers());
    roots = right_hand_side(w, Numbers(n, 1.0));
    S = weighted(rows, w);
    Table centred = rows;
    const double total = dot(roots, roots);
    for (std::size_t j = 0; j < size; ++j) {
      double mean = 0;
      for (std::size_t i = 0; i < n; ++i) mean += w[i] * rows(i, j) / total;
      for (std::size_t i = 0; i < n; ++i) centred(i, j) -= mean;
    }
    C = weighted(centred, w);
    F = gram(transposed(C));
  }

  CenteredShape shape_;
  std::size_t terms_ = 1;
  std::vector<Segment> segments_;
  Tensor<T> input_;
  Tensor<T> first_;
  Tensor<T> second_;
};

}  // namespace natgrad::tests
