#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace natgrad::kernels {

namespace {

template <class From, class To>
struct Copy {
  static constexpr bool synchronizes = false;
  Elements elements;
  Matrix<const From> from;
  Matrix<To> to;
  const double* flag;  // null: always

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    if (flag != nullptr && !(*flag > 0)) return;
    elements.for_each(
        thread, [&](std::int64_t i, std::int64_t j) { to(i, j) = static_cast<To>(from(i, j)); });
  }
};

template <class T>
struct Fill {
  static constexpr bool synchronizes = false;
  Elements elements;
  T value;
  Matrix<T> to;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) { to(i, j) = value; });
  }
};

template <class T>
struct GatherRows {
  static constexpr bool synchronizes = false;
  Elements elements;
  Matrix<const T> from;
  const std::int32_t* rows;
  Matrix<T> to;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) { to(i, j) = from(rows[i], j); });
  }
};

template <class X, class T>
struct Axpby {
  static constexpr bool synchronizes = false;
  Elements elements;
  DeviceScalar a;
  Matrix<const X> x;
  DeviceScalar b;
  Matrix<T> y;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const T alpha = static_cast<T>(a.value());
    const T beta = static_cast<T>(b.value());
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) {
      const T added = alpha * static_cast<T>(x(i, j));
      y(i, j) = beta == 0 ? added : added + beta * y(i, j);
    });
  }
};

template <class X, class T>
struct Multiply {
  static constexpr bool synchronizes = false;
  Elements elements;
  Matrix<const X> x;
  Matrix<const X> y;
  Matrix<T> z;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) {
      z(i, j) = static_cast<T>(x(i, j)) * static_cast<T>(y(i, j));
    });
  }
};

/// Counts the divisors that are not positive.
template <class T>
struct Quotients {
  static constexpr int sums = 1;
  static constexpr int together = 1;  // each stores between its loads and the next one's
  static constexpr bool heavy = false;
  const T* f;
  DeviceScalar shift;
  const T* b;
  T* x;

  NATGRAD_DEVICE void term(std::int64_t i, double* own) const {
    const T divisor = f[i] + static_cast<T>(shift.value());
    const bool positive = divisor > 0;
    x[i] = positive ? b[i] / divisor : T{0};
    own[0] = positive ? 0 : 1;
  }
};

template <class T>
struct Products {
  static constexpr int sums = 1;
  static constexpr int together = 4;
  static constexpr bool heavy = false;
  const T* x;
  const T* y;

  NATGRAD_DEVICE void term(std::int64_t i, double* own) const {
    own[0] = static_cast<double>(x[i]) * static_cast<double>(y[i]);
  }
};

template <class T>
struct ResidualTerms {
  static constexpr int sums = 1;
  static constexpr int together = 1;  // each stores between its loads and the next one's
  static constexpr bool heavy = false;
  const T* b;
  const T* product;
  DeviceScalar shift;
  const T* x;
  T* result;

  NATGRAD_DEVICE void term(std::int64_t i, double* own) const {
    const T left = static_cast<T>(shift.value()) * x[i] - (b[i] - product[i]);
    result[i] = left;
    own[0] = static_cast<double>(left) * static_cast<double>(left);
  }
};

/// Tensors as one launch takes them: a row of blocks for each.
template <class T>
struct Tensors {
  static constexpr int most = 32;
  struct Tensor {
    Matrix<T> theta;  // contiguous ones are one long row
    Matrix<const T> d;
    double decay;
  };
  Tensor tensors[most];

  /// body(theta's element, d's element, 1 - decay shrink) for those of one thread.
  template <class Body>
  NATGRAD_DEVICE void for_each(const Thread& thread, double shrink, const Body& body) const {
    const Tensor& tensor = tensors[thread.block.y];
    const T keep = static_cast<T>(1 - tensor.decay * shrink);
    const std::int64_t columns = tensor.theta.columns;
    const std::int64_t size = tensor.theta.rows * columns;
    for (std::int64_t at = thread.column(); at < size; at += thread.columns()) {
      const std::int64_t i = tensor.theta.rows == 1 ? 0 : at / columns;
      const std::int64_t j = at - i * columns;
      body(tensor.theta(i, j), tensor.d(i, j), keep);
    }
  }
};

template <class T>
struct CheckUpdate {
  static constexpr bool synchronizes = false;
  Tensors<T> tensors;
  DeviceScalar rate;
  DeviceScalar shrink;
  double* finite;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const T step = static_cast<T>(rate.value());
    bool bad = false;
    tensors.for_each(thread, shrink.value(), [&](const T& theta, const T& d, T keep) {
      const T value = keep * theta + step * d;
      bad = bad || !(value * 0 == 0);
    });
    if (bad) *finite = 0;  // by any number of threads: they agree
  }
};

template <class T>
struct Update {
  static constexpr bool synchronizes = false;
  DeviceScalar accept;
  Tensors<T> tensors;
  DeviceScalar rate;
  DeviceScalar shrink;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    if (!(accept.value() > 0)) return;
    const T step = static_cast<T>(rate.value());
    tensors.for_each(thread, shrink.value(),
                     [&](T& theta, const T& d, T keep) { theta = keep * theta + step * d; });
  }
};

template <class T>
struct Adam {
  static constexpr bool synchronizes = false;
  Elements elements;
  T rate, beta1, rest1, beta2, rest2, epsilon, square_correction;  // rest = 1 - beta
  Matrix<const T> g;
  Matrix<T> mean;
  Matrix<T> square;
  Matrix<T> theta;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    elements.for_each(thread, [&](std::int64_t i, std::int64_t j) {
      const T gradient = g(i, j);
      const T m = beta1 * mean(i, j) + rest1 * gradient;
      const T s = beta2 * square(i, j) + rest2 * gradient * gradient;
      mean(i, j) = m;
      square(i, j) = s;
      theta(i, j) += rate * m / (std::sqrt(s) * square_correction + epsilon);
    });
  }
};

void copy_if(Stream stream, const double* flag, const ConstView& from, const View& to) {
  const Elements elements = elements_of({from, to});
  const auto run_copy = [&]<class From, class To>(From, To) {
    launch_over(stream, elements,
                Copy<From, To>{elements, matrix<From>(from), matrix<To>(to), flag});
  };
  if (from.type() == ElementType::int32) return run_copy(std::int32_t{}, std::int32_t{});
  with_float_type(from.type(), [&](auto source) {
    with_float_type(to.type(), [&](auto target) { run_copy(source, target); });
  });
}

template <class T>
typename Tensors<T>::Tensor tensor_argument(const UpdatedTensor& tensor) {
  Matrix<T> theta = matrix<T>(tensor.theta);
  Matrix<const T> d = matrix<T>(tensor.d);
  const Elements elements = elements_of({tensor.theta, tensor.d});
  theta.rows = d.rows = elements.rows;
  theta.columns = d.columns = elements.columns;
  return {theta, d, tensor.decay};
}

// What devices of any generation take as a kernel's arguments.
static_assert(sizeof(CheckUpdate<double>) <= 4096 && sizeof(Update<double>) <= 4096);

/// Launches kernel(Tensors<T>) for as many tensors at a time as fit.
template <class Kernel>
void launch_over_tensors(Stream stream, std::span<const UpdatedTensor> tensors,
                         const Kernel& kernel) {
  if (tensors.empty()) return;
  constexpr std::int64_t numbers_of_a_thread = 4;
  with_float_type(tensors.front().theta.type(), [&]<class T>(T) {
    while (!tensors.empty()) {
      const std::size_t count = std::min<std::size_t>(tensors.size(), Tensors<T>::most);
      Tensors<T> some{};
      std::int64_t largest = 0;
      for (std::size_t i = 0; i < count; ++i) {
        some.tensors[i] = tensor_argument<T>(tensors[i]);
        largest = std::max(largest, tensors[i].theta.size());
      }
      launch(
          stream,
          {blocks_for(largest, numbers_of_a_thread * block_threads), static_cast<unsigned>(count)},
          {block_threads}, kernel(some));
      tensors = tensors.subspan(count);
    }
  });
}

}  // namespace

cudaError_t loadable() {
#ifdef __CUDACC__
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&run<Fill<double>>));
#else
  return cudaSuccess;
#endif
}

void copy(Stream stream, const ConstView& from, const View& to) {
  copy_if(stream, nullptr, from, to);
}

void commit(Stream stream, const ConstView& flag, const ConstView& from, const View& to) {
  copy_if(stream, flag.as<double>(), from, to);
}

void fill(Stream stream, double value, const View& to) {
  const Elements elements = elements_of({to});
  with_element_type(to.type(), [&]<class T>(T) {
    launch_over(stream, elements, Fill<T>{elements, static_cast<T>(value), matrix<T>(to)});
  });
}

void gather_rows(Stream stream, const ConstView& from, const ConstView& rows, const View& to) {
  const Elements elements{to.rows(), to.columns()};
  with_element_type(to.type(), [&]<class T>(T) {
    launch_over(stream, elements,
                GatherRows<T>{elements, matrix<T>(from), rows.as<std::int32_t>(), matrix<T>(to)});
  });
}

void axpby(Stream stream, DeviceScalar a, const ConstView& x, DeviceScalar b, const View& y) {
  const Elements elements = elements_of({x, y});
  with_float_type(y.type(), [&]<class T>(T) {
    with_float_type(x.type(), [&]<class X>(X) {
      launch_over(stream, elements, Axpby<X, T>{elements, a, matrix<X>(x), b, matrix<T>(y)});
    });
  });
}

void multiply(Stream stream, const ConstView& x, const ConstView& y, const View& z) {
  const Elements elements = elements_of({x, y, z});
  with_float_type(z.type(), [&]<class T>(T) {
    with_float_type(x.type(), [&]<class X>(X) {
      launch_over(stream, elements,
                  Multiply<X, T>{elements, matrix<X>(x), matrix<X>(y), matrix<T>(z)});
    });
  });
}

void divide(Stream stream, const ConstView& f, DeviceScalar shift, const ConstView& b,
            const View& x, const View& info, double* partials) {
  with_float_type(x.type(), [&]<class T>(T) {
    sum(stream, x.size(),
        Quotients<T>{matrix<T>(f).data, shift, matrix<T>(b).data, matrix<T>(x).data}, partials,
        info.as<double>());
  });
}

void dot(Stream stream, const ConstView& x, const ConstView& y, const View& result,
         double* partials) {
  with_float_type(x.type(), [&]<class T>(T) {
    sum(stream, x.size(), Products<T>{matrix<T>(x).data, matrix<T>(y).data}, partials,
        result.as<double>());
  });
}

void residual(Stream stream, const ConstView& b, const ConstView& product, DeviceScalar shift,
              const ConstView& x, const View& result, const View& square, double* partials) {
  with_float_type(result.type(), [&]<class T>(T) {
    const ResidualTerms<T> terms = {.b = matrix<T>(b).data,
                                    .product = matrix<T>(product).data,
                                    .shift = shift,
                                    .x = matrix<T>(x).data,
                                    .result = matrix<T>(result).data};
    sum(stream, result.size(), terms, partials, square.as<double>());
  });
}

void check_update(Stream stream, std::span<const UpdatedTensor> tensors, DeviceScalar rate,
                  DeviceScalar shrink, const View& finite) {
  launch_over_tensors(stream, tensors, [&]<class T>(const Tensors<T>& some) {
    return CheckUpdate<T>{some, rate, shrink, finite.as<double>()};
  });
}

void update(Stream stream, DeviceScalar accept, std::span<const UpdatedTensor> tensors,
            DeviceScalar rate, DeviceScalar shrink) {
  launch_over_tensors(stream, tensors, [&]<class T>(const Tensors<T>& some) {
    return Update<T>{accept, some, rate, shrink};
  });
}

void adam(Stream stream, const ConstView& g, double rate, double beta1, double beta2,
          double epsilon, std::int64_t step, const View& mean, const View& square,
          const View& theta) {
  const Elements elements = elements_of({g, mean, square, theta});
  const double power = static_cast<double>(step);
  with_float_type(theta.type(), [&]<class T>(T) {
    const Adam<T> kernel = {
        .elements = elements,
        .rate = static_cast<T>(rate / (1 - std::pow(beta1, power))),
        .beta1 = static_cast<T>(beta1),
        .rest1 = static_cast<T>(1 - beta1),
        .beta2 = static_cast<T>(beta2),
        .rest2 = static_cast<T>(1 - beta2),
        .epsilon = static_cast<T>(epsilon),
        .square_correction = static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, power))),
        .g = matrix<T>(g),
        .mean = matrix<T>(mean),
        .square = matrix<T>(square),
        .theta = matrix<T>(theta)};
    launch_over(stream, elements, kernel);
  });
}

}  // namespace natgrad::kernels
