#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/activation_functors.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/likelihoods/categorical.hpp"

namespace natgrad {

using cpu::at;
using formulas::with_activation;

namespace {

template <class F, class T>
NATGRAD_MULTIVERSION void forward_row(const T* bias, T* z, T* a, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T sum = z[i] + bias[i];
    z[i] = sum;
    a[i] = F::value(sum);
  }
}

/// The same where z and a are one array: with two pointers the compiler must assume overlap.
template <class F, class T>
NATGRAD_MULTIVERSION void forward_row_in_place(const T* bias, T* a, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) a[i] = F::value(a[i] + bias[i]);
}

template <class F, class T>
NATGRAD_MULTIVERSION void backward_run(const T* z, const T* a, T* delta, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) delta[i] *= F::derivative(z[i], a[i]);
}

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

void CpuBackend::categorical_score(const ConstView& z, const ConstView& labels, const View& score) {
  const std::int32_t* label = labels.as<std::int32_t>();
  const std::int64_t shared = z.rows() == 0 ? 1 : score.rows() / z.rows();
  with_float_type(z.type(), [&]<class T>(T) {
    cpu::parallel_blocks(score.rows(), cpu::row_grain(16 * z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             formulas::softmax_score_row(at<T>(z, n / shared, 0), label[n],
                                                         z.columns(), at<T>(score, n, 0));
                           }
                         });
  });
}

void CpuBackend::sample_categorical(const ConstView& z, std::uint64_t key, std::int64_t draws,
                                    const View& counter, const View& labels) {
  std::int32_t* label = labels.as<std::int32_t>();
  const auto drawing = static_cast<std::uint64_t>(cpu::value_of(counter));
  with_float_type(z.type(), [&]<class T>(T) {
    cpu::parallel_blocks(z.rows(), cpu::row_grain(16 * (draws + 1) * z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             formulas::sample_row(at<T>(z, n, 0), z.columns(), key, drawing, n,
                                                  draws, label + n * draws);
                           }
                         });
  });
  *counter.as<double>() += 1;
}

void CpuBackend::categorical_log_likelihood(const ConstView& z, const ConstView& labels,
                                            const View& log_p) {
  const std::int32_t* label = labels.as<std::int32_t>();
  double* result = log_p.as<double>();
  with_float_type(z.type(), [&]<class T>(T) {
    cpu::parallel_blocks(
        z.rows(), cpu::row_grain(16 * z.columns()), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t n = begin; n < end; ++n) {
            result[n] = formulas::log_softmax(at<T>(z, n, 0), label[n], z.columns());
          }
        });
  });
}

void CpuBackend::categorical_evaluate(const ConstView& z, const ConstView& labels,
                                      const View& result) {
  const std::int32_t* label = labels.as<std::int32_t>();
  double log_likelihood = 0;
  double correct = 0;
  with_float_type(z.type(), [&]<class T>(T) {
    const std::int64_t classes = z.columns();
    for (std::int64_t n = 0; n < z.rows(); ++n) {
      const T* row = at<T>(z, n, 0);
      log_likelihood += formulas::log_softmax(row, label[n], classes);
      correct += formulas::largest_class(row, classes) == label[n] ? 1 : 0;
    }
  });
  result.as<double>()[0] = log_likelihood;
  result.as<double>()[1] = correct;
}

}  // namespace natgrad
