#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/models.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/formulas/activation_functors.hpp"
#include "kernels/formulas/likelihoods/categorical.hpp"

namespace natgrad::kernels {

namespace {

template <class F, class T>
struct BiasActivation {
  static constexpr bool synchronizes = false;
  Elements elements;
  const T* bias;
  Matrix<T> z;
  Matrix<T> a;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) {
      const T sum = z(i, j) + bias[j];
      z(i, j) = sum;
      a(i, j) = F::value(sum);  // last, for a may be z
    });
  }
};

template <class F, class T>
struct ActivationBackward {
  static constexpr bool synchronizes = false;
  Elements elements;
  Matrix<const T> z;
  Matrix<const T> a;
  Matrix<T> delta;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) {
      delta(i, j) *= F::derivative(z(i, j), a(i, j));
    });
  }
};

// A thread takes a row of outputs: there are many rows and few classes. Small blocks spread them
// over the device.
constexpr unsigned row_threads = 64;

template <class T>
struct CategoricalScore {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  const std::int32_t* labels;
  Matrix<T> score;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t shared = z.rows == 0 ? 1 : score.rows / z.rows;
    for (std::int64_t n = thread.column(); n < score.rows; n += thread.columns()) {
      formulas::softmax_score_row(&z(n / shared, 0), labels[n], z.columns, &score(n, 0));
    }
  }
};

template <class T>
struct SampleCategorical {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  std::uint64_t key;
  std::int64_t draws;
  const double* counter;
  std::int32_t* labels;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const auto drawing = static_cast<std::uint64_t>(*counter);
    for (std::int64_t n = thread.column(); n < z.rows; n += thread.columns()) {
      formulas::sample_row(&z(n, 0), z.columns, key, drawing, n, draws, labels + n * draws);
    }
  }
};

/// In a launch of its own, because every thread of the drawing reads the counter.
struct CountDrawing {
  static constexpr bool synchronizes = false;
  double* counter;
  NATGRAD_DEVICE void operator()(const Thread&) const { *counter += 1; }
};

template <class T>
struct CategoricalLogLikelihood {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  const std::int32_t* labels;
  double* log_p;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    for (std::int64_t n = thread.column(); n < z.rows; n += thread.columns()) {
      log_p[n] = formulas::log_softmax(&z(n, 0), labels[n], z.columns);
    }
  }
};

template <class T>
struct CategoricalEvaluation {
  static constexpr int sums = 2;
  static constexpr int together = 1;
  static constexpr bool heavy = true;
  Matrix<const T> z;
  const std::int32_t* labels;

  NATGRAD_DEVICE void term(std::int64_t n, double* log_likelihood_and_correct) const {
    const T* row = &z(n, 0);
    log_likelihood_and_correct[0] = formulas::log_softmax(row, labels[n], z.columns);
    const bool correct = formulas::largest_class(row, z.columns) == labels[n];
    log_likelihood_and_correct[1] = correct ? 1 : 0;
  }
};

}  // namespace

void bias_activation(Stream stream, Activation activation, const ConstView& bias, const View& z,
                     const View& a) {
  const Elements elements{z.rows(), z.columns()};
  with_float_type(z.type(), [&]<class T>(T) {
    formulas::with_activation(activation, [&]<class F>(F) {
      launch_over(stream, elements,
                  BiasActivation<F, T>{elements, matrix<T>(bias).data, matrix<T>(z), matrix<T>(a)});
    });
  });
}

void activation_backward(Stream stream, Activation activation, const ConstView& z,
                         const ConstView& a, const View& delta) {
  const Elements elements = elements_of({delta, z, a});
  with_float_type(delta.type(), [&]<class T>(T) {
    formulas::with_activation(activation, [&]<class F>(F) {
      launch_over(stream, elements,
                  ActivationBackward<F, T>{elements, matrix<T>(z), matrix<T>(a), matrix<T>(delta)});
    });
  });
}

void categorical_score(Stream stream, const ConstView& z, const ConstView& labels,
                       const View& score) {
  with_float_type(z.type(), [&]<class T>(T) {
    launch(stream, {blocks_for(score.rows(), row_threads)}, {row_threads},
           CategoricalScore<T>{matrix<T>(z), labels.as<std::int32_t>(), matrix<T>(score)});
  });
}

void sample_categorical(Stream stream, const ConstView& z, std::uint64_t key, std::int64_t draws,
                        const View& counter, const View& labels) {
  double* const drawing = counter.as<double>();
  with_float_type(z.type(), [&]<class T>(T) {
    launch(stream, {blocks_for(z.rows(), row_threads)}, {row_threads},
           SampleCategorical<T>{matrix<T>(z), key, draws, drawing, labels.as<std::int32_t>()});
  });
  launch(stream, {}, {}, CountDrawing{drawing});
}

void categorical_log_likelihood(Stream stream, const ConstView& z, const ConstView& labels,
                                const View& log_p) {
  with_float_type(z.type(), [&]<class T>(T) {
    launch(
        stream, {blocks_for(z.rows(), row_threads)}, {row_threads},
        CategoricalLogLikelihood<T>{matrix<T>(z), labels.as<std::int32_t>(), log_p.as<double>()});
  });
}

void categorical_evaluate(Stream stream, const ConstView& z, const ConstView& labels,
                          const View& result, double* partials) {
  with_float_type(z.type(), [&]<class T>(T) {
    sum(stream, z.rows(), CategoricalEvaluation<T>{matrix<T>(z), labels.as<std::int32_t>()},
        partials, result.as<double>());
  });
}

}  // namespace natgrad::kernels
