#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/damping_units.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/update.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <variant>

namespace natgrad {

using cpu::at;
using cpu::parallel_runs;
using cpu::value_of;

namespace {

template <class X, class T>
NATGRAD_MULTIVERSION void axpby_run(T a, const X* x, T b, T* y, std::int64_t count) {
  if (b == 0) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = a * static_cast<T>(x[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = a * static_cast<T>(x[i]) + b * y[i];
  }
}

template <class X, class T>
NATGRAD_MULTIVERSION void multiply_run(const X* x, const X* y, T* z, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) z[i] = static_cast<T>(x[i]) * static_cast<T>(y[i]);
}

/// Returns the number of divisors that are not positive.
template <class T>
NATGRAD_MULTIVERSION std::int64_t divide_run(const T* f, T shift, const T* b, T* x,
                                             std::int64_t count) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const T divisor = f[i] + shift;
    const bool positive = divisor > 0;
    x[i] = positive ? b[i] / divisor : T{0};
    bad += positive ? 0 : 1;
  }
  return bad;
}

/// Partial sums side by side, because a compiler may not reorder a floating-point sum.
template <class T>
NATGRAD_MULTIVERSION double run_dot(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t lanes = 16;
  std::array<double, lanes> sums{};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      sums[lane] += static_cast<double>(x[i + lane]) * static_cast<double>(y[i + lane]);
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

template <class T>
NATGRAD_MULTIVERSION void residual_run(const T* b, const T* product, T shift, const T* x, T* result,
                                       std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) result[i] = shift * x[i] - (b[i] - product[i]);
}

template <class T>
NATGRAD_MULTIVERSION bool update_is_finite(const T* theta, const T* d, T rate, T keep,
                                           std::int64_t count) {
  std::uint32_t bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = formulas::updated(theta[i], d[i], rate, keep);
    bad |= static_cast<std::uint32_t>(!(value * 0 == 0));
  }
  return bad == 0;
}

template <class T>
NATGRAD_MULTIVERSION void update_run(const T* d, T rate, T keep, T* theta, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    theta[i] = formulas::updated(theta[i], d[i], rate, keep);
  }
}

template <class T>
struct AdamConstants {
  T rate, beta1, rest1, beta2, rest2, epsilon, square_correction;  // rest = 1 - beta
};

template <class T>
NATGRAD_MULTIVERSION void adam_run(const AdamConstants<T>& c, const T* g, T* mean, T* square,
                                   T* theta, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    mean[i] = c.beta1 * mean[i] + c.rest1 * g[i];
    square[i] = c.beta2 * square[i] + c.rest2 * g[i] * g[i];
    theta[i] += c.rate * mean[i] / (std::sqrt(square[i]) * c.square_correction + c.epsilon);
  }
}

}  // namespace

void CpuBackend::axpby(Scalar a, const ConstView& x, Scalar b, const View& y) {
  with_float_type(y.type(), [&]<class T>(T) {
    const T alpha = static_cast<T>(value_of(a));
    const T beta = static_cast<T>(value_of(b));
    with_float_type(x.type(), [&]<class X>(X) {
      parallel_runs({x, y}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        axpby_run(alpha, at<X>(x, row, column), beta, at<T>(y, row, column), count);
      });
    });
  });
}

void CpuBackend::multiply(const ConstView& x, const ConstView& y, const View& z) {
  with_float_type(z.type(), [&]<class T>(T) {
    with_float_type(x.type(), [&]<class X>(X) {
      parallel_runs({x, y, z}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        multiply_run(at<X>(x, row, column), at<X>(y, row, column), at<T>(z, row, column), count);
      });
    });
  });
}

void CpuBackend::divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
                        const View& info) {
  std::int64_t bad = 0;
  with_float_type(x.type(), [&]<class T>(T) {
    const T added = static_cast<T>(value_of(shift));
    parallel_runs({f, b, x}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
      const std::int64_t own = divide_run(at<T>(f, row, column), added, at<T>(b, row, column),
                                          at<T>(x, row, column), count);
#pragma omp atomic
      bad += own;
    });
  });
  *info.as<double>() = static_cast<double>(bad);
}

void CpuBackend::inverse_roots(const ConstView& x, double smallest, const View& y) {
  with_float_type(y.type(), [&]<class T>(T) {
    parallel_runs({x, y}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
      const T* from = at<T>(x, row, column);
      T* to = at<T>(y, row, column);
      for (std::int64_t i = 0; i < count; ++i) {
        to[i] = formulas::inverse_root(from[i], static_cast<T>(smallest));
      }
    });
  });
}

void CpuBackend::dot(const ConstView& x, const ConstView& y, const View& result) {
  constexpr std::int64_t most_blocks = 1024;
  std::array<double, most_blocks> sums;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::int64_t size = x.size();
  const std::int64_t block = std::max(cpu::grain, (size + most_blocks - 1) / most_blocks);
  with_float_type(x.type(), [&]<class T>(T) {
    cpu::parallel_blocks(size, block, [&](std::int64_t begin, std::int64_t end) {
      sums[static_cast<std::size_t>(begin / block)] =
          run_dot(at<T>(x, 0, begin), at<T>(y, 0, begin), end - begin);
    });
  });
  double sum = 0;
  for (std::int64_t i = 0; i < (size + block - 1) / block; ++i) sum += sums[i];
  *result.as<double>() = sum;
}

void CpuBackend::residual(const ConstView& b, const ConstView& product, Scalar shift,
                          const ConstView& x, const View& result, const View& square) {
  with_float_type(result.type(), [&]<class T>(T) {
    const T factor = static_cast<T>(value_of(shift));
    parallel_runs({b, product, x, result},
                  [&](std::int64_t row, std::int64_t column, std::int64_t count) {
                    residual_run(at<T>(b, row, column), at<T>(product, row, column), factor,
                                 at<T>(x, row, column), at<T>(result, row, column), count);
                  });
  });
  dot(result, result, square);
}

void CpuBackend::check_update(std::span<const UpdatedTensor> tensors, Scalar rate, Scalar shrink,
                              const View& finite) {
  if (tensors.empty()) return;
  bool all_finite = true;
  with_float_type(tensors.front().theta.type(), [&]<class T>(T) {
    const T step = static_cast<T>(value_of(rate));
    for (const UpdatedTensor& tensor : tensors) {
      const ConstView theta = tensor.theta;
      const T keep = static_cast<T>(1 - tensor.decay * value_of(shrink));
      parallel_runs({theta, tensor.d},
                    [&](std::int64_t row, std::int64_t column, std::int64_t count) {
                      if (!update_is_finite(at<T>(theta, row, column), at<T>(tensor.d, row, column),
                                            step, keep, count)) {
#pragma omp atomic write
                        all_finite = false;
                      }
                    });
    }
  });
  if (!all_finite) *finite.as<double>() = 0;
}

void CpuBackend::update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
                        Scalar shrink) {
  if (tensors.empty() || !(value_of(accept) > 0)) return;
  with_float_type(tensors.front().theta.type(), [&]<class T>(T) {
    const T step = static_cast<T>(value_of(rate));
    for (const UpdatedTensor& tensor : tensors) {
      const T keep = static_cast<T>(1 - tensor.decay * value_of(shrink));
      parallel_runs({tensor.theta, tensor.d},
                    [&](std::int64_t row, std::int64_t column, std::int64_t count) {
                      update_run(at<T>(tensor.d, row, column), step, keep,
                                 at<T>(tensor.theta, row, column), count);
                    });
    }
  });
}

void CpuBackend::adam(const ConstView& g, double rate, double beta1, double beta2, double epsilon,
                      std::int64_t step, const View& mean, const View& square, const View& theta) {
  with_float_type(theta.type(), [&]<class T>(T) {
    const double power = static_cast<double>(step);
    const AdamConstants<T> constants = {
        .rate = static_cast<T>(rate / (1 - std::pow(beta1, power))),
        .beta1 = static_cast<T>(beta1),
        .rest1 = static_cast<T>(1 - beta1),
        .beta2 = static_cast<T>(beta2),
        .rest2 = static_cast<T>(1 - beta2),
        .epsilon = static_cast<T>(epsilon),
        .square_correction = static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, power)))};
    parallel_runs({g, mean, square, theta},
                  [&](std::int64_t row, std::int64_t column, std::int64_t count) {
                    adam_run(constants, at<T>(g, row, column), at<T>(mean, row, column),
                             at<T>(square, row, column), at<T>(theta, row, column), count);
                  });
  });
}

}  // namespace natgrad
