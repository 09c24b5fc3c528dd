#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/activations.hpp"
#include "kernels/categorical.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace natgrad {

using cpu::at;
using cpu::with_float_type;

namespace {

struct Identity {
  template <class T>
  static T value(T z) {
    return z;
  }
  template <class T>
  static T derivative(T, T) {
    return T{1};
  }
};

struct Tanh {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::tanh(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::tanh_derivative_from_output(a);
  }
};

struct Relu {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::relu(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::relu_derivative_from_output(a);
  }
};

struct Sigmoid {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::sigmoid(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::sigmoid_derivative_from_output(a);
  }
};

struct Gelu {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::gelu(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T z, T) {
    return formulas::gelu_derivative_from_input(z);
  }
};

template <class Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::identity:
      return body(Identity{});
    case Activation::tanh:
      return body(Tanh{});
    case Activation::relu:
      return body(Relu{});
    case Activation::sigmoid:
      return body(Sigmoid{});
    case Activation::gelu:
      return body(Gelu{});
  }
}

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

template <class T>
T largest_of(const T* z, std::int64_t count) {
  return *std::max_element(z, z + count);
}

template <class T>
void softmax_score_row(const T* z, std::int64_t label, std::int64_t classes, T* score) {
  if (label < 0 || label >= classes) {
    std::fill_n(score, classes, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const T largest = largest_of(z, classes);
  T sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    score[c] = formulas::exp(z[c] - largest);
    sum += score[c];
  }
  for (std::int64_t c = 0; c < classes; ++c) score[c] = -score[c] / sum;
  score[label] += 1;
}

template <class T>
bool all_finite(const T* z, std::int64_t count) {
  T sum = 0;  // of zeros, and of NaN for what is not finite
  for (std::int64_t i = 0; i < count; ++i) sum += z[i] * 0;
  return sum == 0;
}

/// Draws of one row; `uniform(k)` is the number that draw k follows from. Weights are computed
/// again for every draw: there is no room for them, and the labels are few beside the net's
/// products.
template <class T, class Uniform>
void sample_row(const T* z, std::int64_t classes, std::int64_t draws, const Uniform& uniform,
                std::int32_t* labels) {
  if (!all_finite(z, classes)) {
    std::fill_n(labels, draws, -1);
    return;
  }
  const auto largest = static_cast<double>(largest_of(z, classes));
  const auto weight = [&](std::int64_t c) {
    return formulas::exp(static_cast<double>(z[c]) - largest);
  };
  double total = 0;
  for (std::int64_t c = 0; c < classes; ++c) total += weight(c);
  for (std::int64_t k = 0; k < draws; ++k) {
    labels[k] = static_cast<std::int32_t>(formulas::pick_class(classes, total, uniform(k), weight));
  }
}

template <class T>
double log_softmax(const T* z, std::int64_t label, std::int64_t classes) {
  if (label < 0 || label >= classes) return std::numeric_limits<double>::quiet_NaN();
  const double largest = static_cast<double>(largest_of(z, classes));
  double sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    sum += formulas::exp(static_cast<double>(z[c]) - largest);
  }
  return static_cast<double>(z[label]) - largest - std::log(sum);
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
    cpu::parallel_blocks(
        score.rows(), cpu::row_grain(16 * z.columns()), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t n = begin; n < end; ++n) {
            softmax_score_row(at<T>(z, n / shared, 0), label[n], z.columns(), at<T>(score, n, 0));
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
                             const auto uniform = [&](std::int64_t k) {
                               return formulas::label_uniform(
                                   key, drawing, static_cast<std::uint64_t>(n * draws + k));
                             };
                             sample_row(at<T>(z, n, 0), z.columns(), draws, uniform,
                                        label + n * draws);
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
    cpu::parallel_blocks(z.rows(), cpu::row_grain(16 * z.columns()),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             result[n] = log_softmax(at<T>(z, n, 0), label[n], z.columns());
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
      log_likelihood += log_softmax(row, label[n], classes);
      correct += std::max_element(row, row + classes) - row == label[n] ? 1 : 0;
    }
  });
  result.as<double>()[0] = log_likelihood;
  result.as<double>()[1] = correct;
}

}  // namespace natgrad
