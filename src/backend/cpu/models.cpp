#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/activation_functors.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/likelihoods/lanes.hpp"
#include "kernels/formulas/likelihoods/table.hpp"

namespace natgrad {

using cpu::at;
using formulas::OneLane;
using formulas::Target;
using formulas::with_activation;
using formulas::with_likelihood;

namespace {

/// z = z + bias, a = activation(z).
template <class F, class T>
NATGRAD_MULTIVERSION void forward_row(const T* bias, T* z, T* a, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T sum = z[i] + bias[i];
    z[i] = sum;
    a[i] = F::value(sum);
  }
}

/// z = a = activation(z + bias) in one array: with two pointers the compiler must assume overlap.
template <class F, class T>
NATGRAD_MULTIVERSION void forward_row_in_place(const T* bias, T* a, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) a[i] = F::value(a[i] + bias[i]);
}

/// delta = delta activation'(z), where a = activation(z).
template <class F, class T>
NATGRAD_MULTIVERSION void backward_run(const T* z, const T* a, T* delta, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) delta[i] *= F::derivative(z[i], a[i]);
}

/// Rows that make one thread's share: an exponential or a logarithm of each output costs about as
/// much as 16 elements of other elementwise work.
std::int64_t likelihood_grain(std::int64_t outputs) { return cpu::row_grain(16 * outputs); }

}  // namespace

void CpuBackend::bias_activation(Activation activation, const ConstView& bias, const View& z,
                                 const View& a) {
  with_float_type(z.type(), [&]<class T>(T) {
    with_activation(activation, [&]<class F>(F) {
      const std::int64_t columns = z.columns();
      cpu::parallel_blocks(z.rows(), cpu::row_grain(columns),
                           [&](std::int64_t begin, std::int64_t end) {
                             for (std::int64_t row = begin; row < end; ++row) {
                               T* input = at<T>(z, row, 0);
                               T* output = at<T>(a, row, 0);
                               if (input == output)
                                 forward_row_in_place<F>(bias.as<T>(), output, columns);
                               else
                                 forward_row<F>(bias.as<T>(), input, output, columns);
                             }
                           });
    });
  });
}

void CpuBackend::activation_backward(Activation activation, const ConstView& z, const ConstView& a,
                                     const View& delta) {
  with_float_type(delta.type(), [&]<class T>(T) {
    with_activation(activation, [&]<class F>(F) {
      cpu::parallel_runs({delta, z, a},
                         [&](std::int64_t row, std::int64_t column, std::int64_t count) {
                           backward_run<F>(at<T>(z, row, column), at<T>(a, row, column),
                                           at<T>(delta, row, column), count);
                         });
    });
  });
}

void CpuBackend::likelihood_score(const OutputDistribution& distribution, const ConstView& z,
                                  const ConstView& targets, const View& score) {
  const std::int64_t shared = z.rows() == 0 ? 1 : score.rows() / z.rows();
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    cpu::parallel_blocks(score.rows(), likelihood_grain(z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             likelihood.score(OneLane{}, at<T>(z, n / shared, 0), z.columns(),
                                              at<Target<L, T>>(targets, n, 0), at<T>(score, n, 0));
                           }
                         });
  });
}

void CpuBackend::likelihood_sample(const OutputDistribution& distribution, const ConstView& z,
                                   std::uint64_t key, std::int64_t draws, const View& counter,
                                   const View& targets) {
  const auto drawing = static_cast<std::uint64_t>(cpu::value_of(counter));
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    const std::int64_t of_row = draws * L::targets(z.columns());
    cpu::parallel_blocks(z.rows(), likelihood_grain((draws + 1) * z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             likelihood.sample(OneLane{}, at<T>(z, n, 0), z.columns(),
                                               {key, drawing, n * of_row}, draws,
                                               at<Target<L, T>>(targets, n * draws, 0));
                           }
                         });
  });
  *counter.as<double>() += 1;
}

void CpuBackend::log_likelihood(const OutputDistribution& distribution, const ConstView& z,
                                const ConstView& targets, const View& log_p) {
  double* result = log_p.as<double>();
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    cpu::parallel_blocks(z.rows(), likelihood_grain(z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             result[n] = likelihood.log_p(OneLane{}, at<T>(z, n, 0), z.columns(),
                                                          at<Target<L, T>>(targets, n, 0));
                           }
                         });
  });
}

void CpuBackend::likelihood_evaluate(const OutputDistribution& distribution, const ConstView& z,
                                     const ConstView& targets, const View& result) {
  double log_p = 0;
  double figure = 0;
  // In the order of rows: a sum by several threads would depend on their number.
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    for (std::int64_t n = 0; n < z.rows(); ++n) {
      const T* outputs = at<T>(z, n, 0);
      const auto* target = at<Target<L, T>>(targets, n, 0);
      log_p += likelihood.log_p(OneLane{}, outputs, z.columns(), target);
      figure += likelihood.figure(OneLane{}, outputs, z.columns(), target);
    }
  });
  result.as<double>()[0] = log_p;
  result.as<double>()[1] = figure;
}

void CpuBackend::likelihood_exact(const OutputDistribution& distribution, const ConstView& z,
                                  const ConstView& targets, const View& rows, const View& r) {
  const std::int64_t outputs = z.columns();
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    cpu::parallel_blocks(
        z.rows(), likelihood_grain(outputs * outputs), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t n = begin; n < end; ++n) {
            likelihood.exact(OneLane{}, at<T>(z, n, 0), outputs, at<Target<L, T>>(targets, n, 0),
                             at<T>(rows, n * outputs, 0), rows.leading_dimension(),
                             r.as<double>() + n * outputs);
          }
        });
  });
}

void CpuBackend::likelihood_kl(const OutputDistribution& distribution, const ConstView& z,
                               const ConstView& now, const View& kl) {
  double* result = kl.as<double>();
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    cpu::parallel_blocks(
        z.rows(), likelihood_grain(2 * z.columns()), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t n = begin; n < end; ++n) {
            result[n] = likelihood.kl(OneLane{}, at<T>(z, n, 0), at<T>(now, n, 0), z.columns());
          }
        });
  });
}

}  // namespace natgrad
