#include "kernels/formulas/random.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>
#include <variant>
#include <vector>

// Rows of S, models, and the scalars of a step.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

/// Row n of S: P numbers, zero where no block writes.
Vector formed_row(const RowBatch& rows, std::int64_t n, std::int64_t parameters) {
  Vector row(parameters);
  const Real scale = load(rows.scale, n);
  for (const LayerUse& block : rows.blocks) {
    if (n < block.first || n >= block.first + block.rows) continue;
    const std::int64_t own = n - block.first;
    for (std::int64_t t = 0; t < block.terms; ++t) {
      for (std::int64_t o = 0; o < block.outputs; ++o) {
        const Real score = scale * load(block.output_score, own * block.terms + t, o);
        if (block.bias_offset >= 0 && (t == 0 || !block.bias_first_term)) {
          row[block.bias_offset + o] += score;
        }
        if (block.weight_offset < 0) continue;
        const std::int64_t input = own / block.rows_per_input * block.terms + t;
        for (std::int64_t i = 0; i < block.inputs; ++i) {
          row[block.weight_offset + o * block.inputs + i] += score * load(block.input, input, i);
        }
      }
    }
  }
  return row;
}

/// One past the last parameter that a block covers.
std::int64_t parameters_of(const RowBatch& rows) {
  std::int64_t end = 0;
  for (const LayerUse& block : rows.blocks) {
    if (block.weight_offset >= 0) {
      end = std::max(end, block.weight_offset + block.outputs * block.inputs);
    }
    if (block.bias_offset >= 0) end = std::max(end, block.bias_offset + block.outputs);
  }
  return end;
}

std::vector<Vector> formed_rows(const RowBatch& rows, std::int64_t parameters) {
  std::vector<Vector> formed;
  for (std::int64_t n = 0; n < rows.rows(); ++n) {
    formed.push_back(formed_row(rows, n, parameters));
  }
  return formed;
}

Real activated(Activation activation, Real z) {
  switch (activation) {
    case Activation::identity:
      return z;
    case Activation::tanh:
      return std::tanh(z);
    case Activation::relu:
      return z <= 0 ? 0 : z;
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::gelu:
      return z * std::erfc(-z / std::sqrt(Real{2})) / 2;
  }
  return not_a_number;
}

Real derivative(Activation activation, Real z, Real a) {
  const Real sqrt_two_pi = std::sqrt(8 * std::atan(Real{1}));
  switch (activation) {
    case Activation::identity:
      return 1;
    case Activation::tanh:
      return 1 - a * a;
    case Activation::relu:
      return a > 0 ? 1 : 0;
    case Activation::sigmoid:
      return a * (1 - a);
    case Activation::gelu:
      return std::erfc(-z / std::sqrt(Real{2})) / 2 + z * std::exp(-z * z / 2) / sqrt_two_pi;
  }
  return not_a_number;
}

/// log softmax(z_n), with the largest output taken out so that exp cannot overflow.
Vector log_softmax(const ConstView& z, std::int64_t n) {
  Vector row;
  for (std::int64_t c = 0; c < z.columns(); ++c) row.push_back(load(z, n, c));
  const Real largest = *std::max_element(row.begin(), row.end());
  Real sum = 0;
  for (Real output : row) sum += std::exp(output - largest);
  for (Real& output : row) output -= largest + std::log(sum);
  return row;
}

bool is_class(std::int64_t label, const ConstView& z) { return label >= 0 && label < z.columns(); }

}  // namespace

void ReferenceBackend::row_scaling(const ConstView& weights, double uniform,
                                   const ConstView& coefficients, Scalar reference, double factor,
                                   const View& scale, const View& rhs) {
  for (std::int64_t n = 0; n < scale.rows(); ++n) {
    const Real root = std::sqrt(weights.empty() ? Real{uniform} : load(weights, n));
    store(factor * root, scale, n);
    const Real coefficient = coefficients.empty() ? 1 : load(coefficients, n);
    store(root * (coefficient - value_of(reference)), rhs, n);
  }
}

void ReferenceBackend::gram(const RowBatch& rows, const View& K, Scratch) {
  const std::int64_t parameters = parameters_of(rows);
  const std::vector<Vector> S = formed_rows(rows, parameters);
  for_each(K, [&](auto i, auto j) {
    if (j > i) return;
    Real sum = 0;
    for (std::int64_t p = 0; p < parameters; ++p) sum += S[i][p] * S[j][p];
    store(sum, K, i, j);
  });
}

void ReferenceBackend::apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch) {
  for (std::int64_t n = 0; n < rows.rows(); ++n) {
    const Vector row = formed_row(rows, n, v.rows());
    Real sum = 0;
    for (std::int64_t p = 0; p < v.rows(); ++p) sum += row[p] * load(v, p);
    store(sum, z, n);
  }
}

void ReferenceBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                               Scratch) {
  const std::vector<Vector> S = formed_rows(rows, g.rows());
  for (std::int64_t p = 0; p < g.rows(); ++p) {
    Real sum = scaled_old(b, g, p);
    for (std::int64_t n = 0; n < rows.rows(); ++n) sum += S[n][p] * load(y, n);
    store(sum, g, p);
  }
}

void ReferenceBackend::materialize(const RowBatch& rows, std::int64_t first, const View& out) {
  for (std::int64_t n = 0; n < out.rows(); ++n) {
    const Vector row = formed_row(rows, first + n, out.columns());
    for (std::int64_t p = 0; p < out.columns(); ++p) store(row[p], out, n, p);
  }
}

void ReferenceBackend::bias_activation(Activation activation, const ConstView& bias, const View& z,
                                       const View& a) {
  for_each(z, [&](auto i, auto j) {
    const Real sum = rounded(load(z, i, j) + load(bias, j), z);
    store(sum, z, i, j);
    store(activated(activation, sum), a, i, j);
  });
}

void ReferenceBackend::activation_backward(Activation activation, const ConstView& z,
                                           const ConstView& a, const View& delta) {
  for_each(delta, [&](auto i, auto j) {
    store(load(delta, i, j) * derivative(activation, load(z, i, j), load(a, i, j)), delta, i, j);
  });
}

void ReferenceBackend::categorical_score(const ConstView& z, const ConstView& labels,
                                         const View& score) {
  for (std::int64_t n = 0; n < score.rows(); ++n) {
    const auto label = static_cast<std::int64_t>(load(labels, n));
    const Vector log_p = log_softmax(z, n * z.rows() / score.rows());
    for (std::int64_t c = 0; c < z.columns(); ++c) {
      const Real difference = (c == label ? 1 : 0) - std::exp(log_p[c]);
      store(is_class(label, z) ? difference : not_a_number, score, n, c);
    }
  }
}

void ReferenceBackend::sample_categorical(const ConstView& z, std::uint64_t key, std::int64_t draws,
                                          const View& counter, const View& labels) {
  const auto part = static_cast<std::uint32_t>(static_cast<std::uint64_t>(load(counter, 0)));
  for (std::int64_t i = 0; i < labels.rows(); ++i) {
    const std::int64_t n = i / draws;
    const double u = formulas::uniform(formulas::random_bits(key, formulas::RandomStream::labels,
                                                             part, static_cast<std::uint64_t>(i)));
    const Vector log_p = log_softmax(z, n);
    std::int64_t label = 0;
    Real below = std::exp(log_p[0]);
    while (below <= u && label + 1 < z.columns()) below += std::exp(log_p[++label]);
    for (std::int64_t c = 0; c < z.columns(); ++c) {
      if (!std::isfinite(load(z, n, c))) label = -1;
    }
    store(static_cast<Real>(label), labels, i);
  }
  store(load(counter, 0) + 1, counter, 0);
}

void ReferenceBackend::categorical_log_likelihood(const ConstView& z, const ConstView& labels,
                                                  const View& log_p) {
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    const auto label = static_cast<std::int64_t>(load(labels, n));
    store(is_class(label, z) ? log_softmax(z, n)[label] : not_a_number, log_p, n);
  }
}

void ReferenceBackend::categorical_evaluate(const ConstView& z, const ConstView& labels,
                                            const View& result) {
  Real log_likelihood = 0;
  std::int64_t correct = 0;
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    const auto label = static_cast<std::int64_t>(load(labels, n));
    const Vector log_p = log_softmax(z, n);
    log_likelihood += is_class(label, z) ? log_p[label] : not_a_number;
    if (std::max_element(log_p.begin(), log_p.end()) - log_p.begin() == label) ++correct;
  }
  store(log_likelihood, result, 0);
  store(correct, result, 1);
}

// The formulas are not written a second time here: what they must give stands, worked out by hand,
// in operations_scalars.cpp.
void ReferenceBackend::evaluate(const ScalarFormula& formula) {
  std::visit([](const auto& run) { run(); }, formula);
}

void ReferenceBackend::publish(const ConstView& record, const View& slots) {
  const std::int64_t slot = (static_cast<std::int64_t>(load(record, 0)) - 1) % slots.rows();
  for (std::int64_t i = 0; i < record.size(); ++i) store(load(record, i), slots, slot, i);
}

}  // namespace natgrad::tests
