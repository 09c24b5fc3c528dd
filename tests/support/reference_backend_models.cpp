#include "kernels/formulas/likelihoods/draws.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"
#include "support/reference_likelihood.hpp"

#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

// Activations and likelihoods.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

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

Vector row_of(const ConstView& view, std::int64_t n) {
  Vector row;
  for (std::int64_t j = 0; j < view.columns(); ++j) row.push_back(load(view, n, j));
  return row;
}

/// Filled before main() by the files in tests/backend/likelihoods.
std::map<Likelihood, std::unique_ptr<const ReferenceLikelihood>>& references() {
  static std::map<Likelihood, std::unique_ptr<const ReferenceLikelihood>> all;
  return all;
}

/// The definition, of the fixed numbers that it has.
const ReferenceLikelihood& reference_of(const OutputDistribution& distribution) {
  const ReferenceLikelihood& reference = reference_likelihood(distribution.likelihood);
  if (reference.sigma() != distribution.sigma) throw std::logic_error("a sigma without reference");
  return reference;
}

}  // namespace

ReferenceLikelihood::Registration::Registration(
    Likelihood likelihood, std::unique_ptr<const ReferenceLikelihood> reference) {
  references().emplace(likelihood, std::move(reference));
}

const ReferenceLikelihood& reference_likelihood(Likelihood likelihood) {
  return *references().at(likelihood);
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

void ReferenceBackend::likelihood_score(const OutputDistribution& distribution, const ConstView& z,
                                        const ConstView& targets, const View& score) {
  for (std::int64_t n = 0; n < score.rows(); ++n) {
    const Vector row = reference_of(distribution)
                           .score(row_of(z, n * z.rows() / score.rows()), row_of(targets, n));
    for (std::int64_t c = 0; c < z.columns(); ++c) store(row[c], score, n, c);
  }
}

void ReferenceBackend::likelihood_sample(const OutputDistribution& distribution, const ConstView& z,
                                         std::uint64_t key, std::int64_t draws, const View& counter,
                                         const View& targets) {
  const auto drawing = static_cast<std::uint64_t>(load(counter, 0));
  const std::int64_t columns = targets.columns();
  for (std::int64_t i = 0; i < targets.rows(); ++i) {
    const auto uniform = [&](std::int64_t j) {
      return formulas::draw_uniform(key, drawing, static_cast<std::uint64_t>(i * columns + j));
    };
    const Vector row = reference_of(distribution).sample(row_of(z, i / draws), uniform);
    for (std::int64_t j = 0; j < columns; ++j) store(row[j], targets, i, j);
  }
  store(load(counter, 0) + 1, counter, 0);
}

void ReferenceBackend::log_likelihood(const OutputDistribution& distribution, const ConstView& z,
                                      const ConstView& targets, const View& log_p) {
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    store(reference_of(distribution).log_p(row_of(z, n), row_of(targets, n)), log_p, n);
  }
}

void ReferenceBackend::likelihood_evaluate(const OutputDistribution& distribution,
                                           const ConstView& z, const ConstView& targets,
                                           const View& result) {
  const ReferenceLikelihood& reference = reference_of(distribution);
  Real log_p = 0;
  Real figure = 0;
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    log_p += reference.log_p(row_of(z, n), row_of(targets, n));
    figure += reference.figure(row_of(z, n), row_of(targets, n));
  }
  store(log_p, result, 0);
  store(figure, result, 1);
}

void ReferenceBackend::likelihood_exact(const OutputDistribution& distribution, const ConstView& z,
                                        const ConstView& targets, const View& rows, const View& r) {
  const std::int64_t outputs = z.columns();
  const Real least = z.type() == ElementType::float64 ? 0x1p-52L : 0x1p-23L;
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    const ReferenceLikelihood::Exact exact =
        reference_of(distribution).exact(row_of(z, n), row_of(targets, n), least);
    for (std::int64_t c = 0; c < outputs; ++c) {
      store(exact.r[c], r, n * outputs + c);
      for (std::int64_t j = 0; j < outputs; ++j) {
        store(exact.rows[c][j], rows, n * outputs + c, j);
      }
    }
  }
}

void ReferenceBackend::likelihood_kl(const OutputDistribution& distribution, const ConstView& z,
                                     const ConstView& now, const View& kl) {
  for (std::int64_t n = 0; n < z.rows(); ++n) {
    store(reference_of(distribution).kl(row_of(z, n), row_of(now, n)), kl, n);
  }
}

}  // namespace natgrad::tests
