#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/models.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/formulas/activation_functors.hpp"
#include "kernels/formulas/likelihoods/table.hpp"

namespace natgrad::kernels {

using formulas::Target;
using formulas::with_likelihood;

namespace {

/// z = z + bias, a = activation(z).
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

namespace {

/// delta = delta activation'(z), where a = activation(z).
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

}  // namespace

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

namespace {

/// Threads of a block where one thread takes a row of outputs: there are many rows and few outputs,
/// and small blocks spread them over the device.
constexpr unsigned row_threads = 64;

template <class Kernel>
void launch_over_rows(Stream stream, std::int64_t rows, const Kernel& kernel) {
  launch(stream, {blocks_for(rows, row_threads)}, {row_threads}, kernel);
}

/// Row n of scores is that of targets n at outputs n / R, where R rows of targets share one.
template <class L, class T>
struct LikelihoodScore {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  Matrix<T> score;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const std::int64_t shared = z.rows == 0 ? 1 : score.rows / z.rows;
    for (std::int64_t n = thread.column(); n < score.rows; n += thread.columns()) {
      L::score(&z(n / shared, 0), z.columns, &targets(n, 0), &score(n, 0));
    }
  }
};

}  // namespace

void likelihood_score(Stream stream, Likelihood likelihood, const ConstView& z,
                      const ConstView& targets, const View& score) {
  with_likelihood(likelihood, z.type(), [&]<class L, class T>(L, T) {
    launch_over_rows(
        stream, score.rows(),
        LikelihoodScore<L, T>{matrix<T>(z), matrix<Target<L, T>>(targets), matrix<T>(score)});
  });
}

namespace {

/// Rows n draws to (n + 1) draws of targets are drawn at outputs n.
template <class L, class T>
struct LikelihoodSample {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  std::uint64_t key;
  std::int64_t draws;
  const double* counter;
  Matrix<Target<L, T>> targets;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const auto drawing = static_cast<std::uint64_t>(*counter);
    const std::int64_t of_row = draws * L::targets(z.columns);
    for (std::int64_t n = thread.column(); n < z.rows; n += thread.columns()) {
      L::sample(&z(n, 0), z.columns, {key, drawing, n * of_row}, draws, &targets(n * draws, 0));
    }
  }
};

/// Launched after the drawing, because every thread of the drawing reads the counter.
struct CountDrawing {
  static constexpr bool synchronizes = false;
  double* counter;
  NATGRAD_DEVICE void operator()(const Thread&) const { *counter += 1; }
};

}  // namespace

void likelihood_sample(Stream stream, Likelihood likelihood, const ConstView& z, std::uint64_t key,
                       std::int64_t draws, const View& counter, const View& targets) {
  double* const drawing = counter.as<double>();
  with_likelihood(likelihood, z.type(), [&]<class L, class T>(L, T) {
    launch_over_rows(
        stream, z.rows(),
        LikelihoodSample<L, T>{matrix<T>(z), key, draws, drawing, matrix<Target<L, T>>(targets)});
  });
  launch(stream, {}, {}, CountDrawing{drawing});
}

namespace {

template <class L, class T>
struct LogLikelihood {
  static constexpr bool synchronizes = false;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  double* log_p;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    for (std::int64_t n = thread.column(); n < z.rows; n += thread.columns()) {
      log_p[n] = L::log_p(&z(n, 0), z.columns, &targets(n, 0));
    }
  }
};

}  // namespace

void log_likelihood(Stream stream, Likelihood likelihood, const ConstView& z,
                    const ConstView& targets, const View& log_p) {
  with_likelihood(likelihood, z.type(), [&]<class L, class T>(L, T) {
    launch_over_rows(
        stream, z.rows(),
        LogLikelihood<L, T>{matrix<T>(z), matrix<Target<L, T>>(targets), log_p.as<double>()});
  });
}

namespace {

/// The terms of the two sums of `evaluate`, as kernels/cuda/reduce.hpp takes them.
template <class L, class T>
struct Evaluation {
  static constexpr int sums = 2;
  static constexpr int together = 1;
  static constexpr bool heavy = true;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;

  NATGRAD_DEVICE void term(std::int64_t n, double* log_p_and_figure) const {
    log_p_and_figure[0] = L::log_p(&z(n, 0), z.columns, &targets(n, 0));
    log_p_and_figure[1] = L::figure(&z(n, 0), z.columns, &targets(n, 0));
  }
};

}  // namespace

void evaluate(Stream stream, Likelihood likelihood, const ConstView& z, const ConstView& targets,
              const View& result, double* partials) {
  with_likelihood(likelihood, z.type(), [&]<class L, class T>(L, T) {
    sum(stream, z.rows(), Evaluation<L, T>{matrix<T>(z), matrix<Target<L, T>>(targets)}, partials,
        result.as<double>());
  });
}

}  // namespace natgrad::kernels
