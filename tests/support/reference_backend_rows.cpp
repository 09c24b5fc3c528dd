#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>
#include <variant>
#include <vector>

// Rows of S, and the scalars of a step.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

/// Row n of S: P numbers, zero where no block writes, and all of them where the scale is 0.
Vector row_of(const RowBatch& rows, std::int64_t n, std::int64_t parameters) {
  Vector row(parameters);
  const Real scale = load(rows.scale, n);
  if (scale == 0) return row;
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

std::vector<Vector> all_rows(const RowBatch& rows, std::int64_t parameters) {
  std::vector<Vector> all;
  for (std::int64_t n = 0; n < rows.rows(); ++n) {
    all.push_back(row_of(rows, n, parameters));
  }
  return all;
}

}  // namespace

void ReferenceBackend::row_scaling(const ConstView& weights, double uniform,
                                   const ConstView& coefficients, Scalar reference, double factor,
                                   const View& scale, const View& rhs) {
  for (std::int64_t n = 0; n < scale.rows(); ++n) {
    const Real root = std::sqrt(weights.empty() ? Real{uniform} : load(weights, n));
    store(factor * root, scale, n);
    const Real coefficient = coefficients.empty() ? 1 : load(coefficients, n);
    store(root == 0 ? 0 : root * (coefficient - value_of(reference)), rhs, n);
  }
}

void ReferenceBackend::gram(const RowBatch& rows, const View& K, Scratch) {
  const std::int64_t parameters = parameters_of(rows);
  const std::vector<Vector> S = all_rows(rows, parameters);
  for_each(K, [&](auto i, auto j) {
    if (j > i) return;
    Real sum = 0;
    for (std::int64_t p = 0; p < parameters; ++p) sum += S[i][p] * S[j][p];
    store(sum, K, i, j);
  });
}

void ReferenceBackend::apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch) {
  for (std::int64_t n = 0; n < rows.rows(); ++n) {
    const Vector row = row_of(rows, n, v.rows());
    Real sum = 0;
    for (std::int64_t p = 0; p < v.rows(); ++p) sum += row[p] * load(v, p);
    store(sum, z, n);
  }
}

void ReferenceBackend::adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                               Scratch) {
  const std::vector<Vector> S = all_rows(rows, g.rows());
  for (std::int64_t p = 0; p < g.rows(); ++p) {
    Real sum = scaled_old(b, g, p);
    for (std::int64_t n = 0; n < rows.rows(); ++n) sum += S[n][p] * load(y, n);
    store(sum, g, p);
  }
}

void ReferenceBackend::materialize(const RowBatch& rows, std::int64_t first, const View& out) {
  for (std::int64_t n = 0; n < out.rows(); ++n) {
    const Vector row = row_of(rows, first + n, out.columns());
    for (std::int64_t p = 0; p < out.columns(); ++p) store(row[p], out, n, p);
  }
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
