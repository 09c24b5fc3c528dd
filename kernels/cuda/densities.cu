#include "kernels/cuda/densities.hpp"
#include "kernels/cuda/drawing.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/formulas/densities/samples.hpp"
#include "kernels/formulas/densities/table.hpp"

namespace natgrad::kernels {

using formulas::with_density;

// A thread has a sample: P is small, N large.

namespace {

template <class F, class T>
struct DensityLogP {
  DensityAt at;
  Matrix<const T> x;
  double* log_p;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t) const {
    log_p[n] = F::log_p(at, &x(n, 0));
  }
};

template <class F, class T>
struct DensityScore {
  DensityAt at;
  Matrix<const T> x;
  const double* weights;
  Matrix<T> score;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t) const {
    formulas::density_row<F>(at, &x(n, 0), weights == nullptr ? weights : weights + n,
                             &score(n, 0));
  }
};

template <class F, class T>
struct DensitySample {
  DensityAt at;
  std::uint64_t key;
  const double* counter;
  Matrix<T> x;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t) const {
    const auto drawing = static_cast<std::uint64_t>(*counter);
    F::sample(at, {key, drawing, n * F::uniforms(at.shape)}, &x(n, 0));
  }
};

}  // namespace

void density_log_p(Stream stream, DensityFamily family, const DensityAt& at, const ConstView& x,
                   const View& log_p) {
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    map(stream, {x.rows(), 1}, DensityLogP<F, T>{at, matrix<T>(x), log_p.as<double>()});
  });
}

void density_score(Stream stream, DensityFamily family, const DensityAt& at, const ConstView& x,
                   const ConstView& weights, const View& score) {
  const double* weight = weights.empty() ? nullptr : weights.as<double>();
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    map(stream, {x.rows(), 1}, DensityScore<F, T>{at, matrix<T>(x), weight, matrix<T>(score)});
  });
}

void density_sample(Stream stream, DensityFamily family, const DensityAt& at, std::uint64_t key,
                    const View& counter, const View& x) {
  double* const drawing = counter.as<double>();
  with_density(family, x.type(), [&]<class F, class T>(F, T) {
    map(stream, {x.rows(), 1}, DensitySample<F, T>{at, key, drawing, matrix<T>(x)});
  });
  launch(stream, {}, {}, CountDrawing{drawing});
}

}  // namespace natgrad::kernels
