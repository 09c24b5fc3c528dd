#include "kernels/formulas/random.hpp"
#include "support/reference_backend.hpp"
#include "support/reference_elements.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

// Rows of S, models, and the scalars of a step.

namespace natgrad::tests {

using namespace naive;  // NOLINT(google-build-using-namespace)

namespace {

/// Row n of S: P numbers, zero where no block writes.
Vector row_of(const RowBatch& rows, std::int64_t n, std::int64_t parameters) {
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

std::vector<Vector> all_rows(const RowBatch& rows, std::int64_t parameters) {
  std::vector<Vector> all;
  for (std::int64_t n = 0; n < rows.rows(); ++n) {
    all.push_back(row_of(rows, n, parameters));
  }
  return all;
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

Real mean_part(const StepScalars& s) {
  return s.centre_square > 0 ? Real{s.centre_moment} / s.centre_square : 0;
}

Real bound_of(const StepScalars& s, const ScalarArguments& a) {
  if (s.shift == 0) return std::numeric_limits<Real>::infinity();
  const Real shift = s.shift;
  const Real direction = std::sqrt(Real{s.direction_square});
  Real norm = std::min(s.norm, s.trace);
  if (a.mean == MeanRule::removed) norm += mean_part(s);
  const Real rounding = a.epsilon * std::max(norm / shift, Real{1});
  Real general = 0;
  if (s.gradient_square > 0) {
    general = rounding * std::sqrt(Real{s.gradient_square}) / shift / direction;
  }
  if (a.bound == BoundRule::push_through) return a.rounding + rounding;
  if (a.bound == BoundRule::general) return a.rounding + general;
  if (a.bound == BoundRule::primal) return a.rounding + 4 * rounding;
  Real residual = 0;
  if (s.residual_square > 0) {
    residual = std::sqrt(Real{s.residual_square} / shift) / 2 / direction;
  }
  if (a.bound == BoundRule::refined_general) return a.rounding + residual / shift + general;
  const Real scale_error = a.bound == BoundRule::refined_centre ? s.centre_error : 0;
  return a.rounding + residual + rounding + scale_error;
}

bool is_class(std::int64_t label, const ConstView& z) { return label >= 0 && label < z.columns(); }

}  // namespace

void ReferenceBackend::row_scaling(const ConstView& weights, double uniform,
                                   const ConstView& coefficients, double factor, const View& scale,
                                   const View& rhs) {
  for (std::int64_t n = 0; n < scale.rows(); ++n) {
    const Real root = std::sqrt(weights.empty() ? Real{uniform} : load(weights, n));
    store(factor * root, scale, n);
    store(root * (coefficients.empty() ? 1 : load(coefficients, n)), rhs, n);
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

void ReferenceBackend::update_scalars(ScalarRule rule, const ScalarArguments& arguments,
                                      const View& scalars) {
  StepScalars s;
  download(scalars, &s);
  const auto decide = [&s](Outcome outcome) {
    s.outcome = static_cast<double>(outcome);
    s.accept = outcome == Outcome::accepted ? 1 : 0;
  };
  switch (rule) {
    case ScalarRule::damp: {
      Real trace = s.trace;
      if (arguments.mean == MeanRule::kept) trace -= mean_part(s);
      if (!(trace > 0)) trace = 0;
      s.damping =
          static_cast<double>(s.absolute_damping + s.relative_damping * (trace / arguments.rank));
      s.shift = s.l2 + s.damping;
      s.inverse_shift = 1 / s.shift;
      s.l2_share = s.l2 == 0 ? 0 : s.l2 / s.shift * -1;
      s.spring_shift = s.shift * s.spring;
      s.matrix_finite = 1;
      for (double number : {s.norm, s.trace, s.damping}) {
        if (!std::isfinite(number)) s.matrix_finite = 0;
      }
      break;
    }
    case ScalarRule::centre: {
      const Real length = std::sqrt(Real{s.centre_square});
      s.centre_scale = static_cast<double>(length > 0 ? 1 / length : 0);
      s.centre_shift = static_cast<double>(length > 0 ? -s.centre_product / length : 0);
      break;
    }
    case ScalarRule::centre_fisher: {
      Real scale = 1;
      if (s.centre_square > 0) scale = Real{s.centre_square} / s.shift / s.centre_product;
      s.centre_scale = static_cast<double>(scale);
      s.centre_shift = static_cast<double>(-scale * s.shift);
      s.centre_error = static_cast<double>(std::sqrt(Real{s.residual_square}) *
                                           std::sqrt(Real{s.solution_square}) / s.centre_product);
      break;
    }
    case ScalarRule::judge_solve: {
      s.residual = std::sqrt(s.residual_square);
      if (s.rhs_square > 0) s.residual /= std::sqrt(s.rhs_square);
      if (s.quadratic_form < 0) s.quadratic_form = 0;
      s.error_bound = static_cast<double>(bound_of(s, arguments));
      const bool system_finite = s.matrix_finite != 0 && std::isfinite(s.rhs_square);
      const bool solution_finite =
          std::isfinite(s.residual_square) && std::isfinite(s.quadratic_form);
      if (!system_finite)
        decide(Outcome::not_finite);
      else if (s.info != 0)
        decide(Outcome::not_positive_definite);
      else
        decide(solution_finite ? Outcome::accepted : Outcome::not_finite);
      break;
    }
    case ScalarRule::begin_step: {
      s.form = arguments.form;
      s.kind = arguments.kind;
      s.step = s.step + 1;
      const Real left = 1 - std::min(Real{1}, Real{s.taken} / s.schedule_steps);
      const Real pi = 4 * std::atan(Real{1});
      Real rate = s.rate;
      if (s.schedule == 1) rate *= left;
      if (s.schedule == 2) rate *= (1 - std::cos(pi * left)) / 2;
      if (s.kl_radius > 0 && s.quadratic_form > 0) {
        rate = std::min(rate, std::sqrt(2 * Real{s.kl_radius} / s.quadratic_form));
      }
      if (s.step_square > 0) rate = std::min(rate, s.max_norm / std::sqrt(Real{s.step_square}));
      s.step_rate = static_cast<double>(rate);
      s.shrink = static_cast<double>(s.weight_decay * rate);
      s.update_finite = 1;
      break;
    }
    case ScalarRule::judge_step: {
      auto outcome = static_cast<Outcome>(static_cast<int>(s.outcome));
      if (outcome == Outcome::accepted && s.update_finite == 0) outcome = Outcome::not_finite;
      decide(outcome);
      if (outcome == Outcome::accepted) s.taken = s.taken + 1;
      s.failures = outcome == Outcome::accepted ? 0 : s.failures + 1;
      break;
    }
  }
  upload(&s, scalars);
}

void ReferenceBackend::publish(const ConstView& scalars, const View& slots) {
  StepScalars s;
  download(scalars, &s);
  const std::int64_t slot = (static_cast<std::int64_t>(s.step) - 1) % slots.rows();
  for (std::int64_t i = 0; i < scalars.size(); ++i) store(load(scalars, i), slots, slot, i);
}

}  // namespace natgrad::tests
