#include "kernels/cuda/arrays.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/formulas/damping_units.hpp"

#include <cmath>

namespace natgrad::kernels {

namespace {

template <class From, class To>
struct Copy {
  static constexpr int widest = pack_width<From, To>;
  Matrix<const From> from;
  Matrix<To> to;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(from, elements) && begins_with_packs<widest>(to, elements);
  }
  template <int width>
  NATGRAD_DEVICE Pack<From, width> read(std::int64_t i, std::int64_t j) const {
    return read_pack<width>(from, i, j);
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Pack<From, width>& own) const {
    Pack<To, width> result;
    for (int k = 0; k < width; ++k) result.elements[k] = static_cast<To>(own.elements[k]);
    write_pack<width>(to, i, j, result);
  }
};

/// Calls body(Copy{}) for the types of two arrays.
template <class Body>
void with_copy(const ConstView& from, const View& to, const Body& body) {
  const auto with_types = [&]<class From, class To>(From, To) {
    body(Copy<From, To>{matrix<From>(from), matrix<To>(to)});
  };
  if (from.type() == ElementType::int32) return with_types(std::int32_t{}, std::int32_t{});
  with_float_type(from.type(), [&](auto source) {
    with_float_type(to.type(), [&](auto target) { with_types(source, target); });
  });
}

}  // namespace

void copy(Stream stream, const ConstView& from, const View& to) {
  with_copy(from, to, [&](const auto& copy) { map(stream, elements_of({from, to}), copy); });
}

namespace {

/// The functor for every element where *flag > 0, and for none where it is not.
template <class Functor>
struct If {
  static constexpr int widest = Functor::widest;
  const double* flag;
  Functor functor;

  bool packs(const Elements& elements) const { return functor.packs(elements); }
  NATGRAD_DEVICE bool skips() const { return !(*flag > 0); }
  NATGRAD_DEVICE const Functor& load() const { return functor; }
};

}  // namespace

void commit(Stream stream, const ConstView& flag, const ConstView& from, const View& to) {
  with_copy(from, to, [&]<class Functor>(const Functor& copy) {
    map(stream, elements_of({from, to}), If<Functor>{flag.as<double>(), copy});
  });
}

namespace {

template <class T>
struct Fill {
  static constexpr int widest = pack_width<T>;
  T value;
  Matrix<T> to;

  bool packs(const Elements& elements) const { return begins_with_packs<widest>(to, elements); }
  template <int width>
  NATGRAD_DEVICE Pack<T, width> read(std::int64_t, std::int64_t) const {
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) result.elements[k] = value;
    return result;
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Pack<T, width>& own) const {
    write_pack<width>(to, i, j, own);
  }
};

}  // namespace

void fill(Stream stream, double value, const View& to) {
  with_element_type(to.type(), [&]<class T>(T) {
    map(stream, elements_of({to}), Fill<T>{static_cast<T>(value), matrix<T>(to)});
  });
}

namespace {

template <class T>
struct Gather {
  Matrix<const T> from;
  const std::int32_t* rows;
  Matrix<T> to;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    to(i, j) = from(rows[i], j);
  }
};

}  // namespace

void gather_rows(Stream stream, const ConstView& from, const ConstView& rows, const View& to) {
  with_element_type(to.type(), [&]<class T>(T) {
    map(stream, {to.rows(), to.columns()},
        Gather<T>{matrix<T>(from), rows.as<std::int32_t>(), matrix<T>(to)});
  });
}

namespace {

template <class X, class T>
struct AddScaled {
  template <int width>
  struct Own {
    Pack<X, width> x;
    Pack<T, width> y;  // not read where b = 0
  };
  T a;
  Matrix<const X> x;
  T b;
  Matrix<T> y;

  template <int width>
  NATGRAD_DEVICE Own<width> read(std::int64_t i, std::int64_t j) const {
    Own<width> own = {};
    own.x = read_pack<width>(x, i, j);
    if (b != 0) own.y = read_pack<width>(y, i, j);
    return own;
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Own<width>& own) const {
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) {
      const T added = a * static_cast<T>(own.x.elements[k]);
      result.elements[k] = b == 0 ? added : added + b * own.y.elements[k];
    }
    write_pack<width>(y, i, j, result);
  }
};

template <class X, class T>
struct Axpby {
  static constexpr int widest = pack_width<X, T>;
  DeviceScalar a;
  Matrix<const X> x;
  DeviceScalar b;
  Matrix<T> y;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(x, elements) && begins_with_packs<widest>(y, elements);
  }
  NATGRAD_DEVICE AddScaled<X, T> load() const {
    return {static_cast<T>(a.value()), x, static_cast<T>(b.value()), y};
  }
};

}  // namespace

void axpby(Stream stream, DeviceScalar a, const ConstView& x, DeviceScalar b, const View& y) {
  with_float_type(y.type(), [&]<class T>(T) {
    with_float_type(x.type(), [&]<class X>(X) {
      map(stream, elements_of({x, y}), Axpby<X, T>{a, matrix<X>(x), b, matrix<T>(y)});
    });
  });
}

namespace {

template <class X, class T>
struct Multiply {
  static constexpr int widest = pack_width<X, T>;
  template <int width>
  struct Own {
    Pack<X, width> x;
    Pack<X, width> y;
  };
  Matrix<const X> x;
  Matrix<const X> y;
  Matrix<T> z;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(x, elements) && begins_with_packs<widest>(y, elements) &&
           begins_with_packs<widest>(z, elements);
  }
  template <int width>
  NATGRAD_DEVICE Own<width> read(std::int64_t i, std::int64_t j) const {
    return {read_pack<width>(x, i, j), read_pack<width>(y, i, j)};
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Own<width>& own) const {
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) {
      result.elements[k] = static_cast<T>(own.x.elements[k]) * static_cast<T>(own.y.elements[k]);
    }
    write_pack<width>(z, i, j, result);
  }
};

}  // namespace

void multiply(Stream stream, const ConstView& x, const ConstView& y, const View& z) {
  with_float_type(z.type(), [&]<class T>(T) {
    with_float_type(x.type(), [&]<class X>(X) {
      map(stream, elements_of({x, y, z}), Multiply<X, T>{matrix<X>(x), matrix<X>(y), matrix<T>(z)});
    });
  });
}

namespace {

/// Counts the divisors that are not positive.
template <class T>
struct Quotients {
  static constexpr int sums = 1;
  static constexpr int together = 1;  // each stores between its loads and the next one's
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

}  // namespace

void divide(Stream stream, const ConstView& f, DeviceScalar shift, const ConstView& b,
            const View& x, const View& info, double* partials) {
  with_float_type(x.type(), [&]<class T>(T) {
    const Quotients<T> terms{matrix<T>(f).data, shift, matrix<T>(b).data, matrix<T>(x).data};
    sum(stream, x.size(), terms, partials, info.as<double>());
  });
}

namespace {

template <class T>
struct InverseRoots {
  T smallest;
  Matrix<const T> x;
  Matrix<T> y;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    y(i, j) = formulas::inverse_root(x(i, j), smallest);
  }
};

}  // namespace

void inverse_roots(Stream stream, const ConstView& x, double smallest, const View& y) {
  with_float_type(y.type(), [&]<class T>(T) {
    map(stream, {y.rows(), y.columns()},
        InverseRoots<T>{static_cast<T>(smallest), matrix<T>(x), matrix<T>(y)});
  });
}

namespace {

template <class T>
struct Adam {
  T rate, beta1, rest1, beta2, rest2, epsilon, square_correction;  // rest = 1 - beta
  Matrix<const T> g;
  Matrix<T> mean;
  Matrix<T> square;
  Matrix<T> theta;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    const T gradient = g(i, j);
    const T m = beta1 * mean(i, j) + rest1 * gradient;
    const T s = beta2 * square(i, j) + rest2 * gradient * gradient;
    mean(i, j) = m;
    square(i, j) = s;
    theta(i, j) += rate * m / (std::sqrt(s) * square_correction + epsilon);
  }
};

}  // namespace

void adam(Stream stream, const ConstView& g, double rate, double beta1, double beta2,
          double epsilon, std::int64_t step, const View& mean, const View& square,
          const View& theta) {
  const double power = static_cast<double>(step);
  with_float_type(theta.type(), [&]<class T>(T) {
    const Adam<T> functor = {
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
    map(stream, elements_of({g, mean, square, theta}), functor);
  });
}

namespace {

template <class T>
struct Products {
  static constexpr int sums = 1;
  static constexpr int together = 4;
  const T* x;
  const T* y;

  NATGRAD_DEVICE void term(std::int64_t i, double* own) const {
    own[0] = static_cast<double>(x[i]) * static_cast<double>(y[i]);
  }
};

}  // namespace

void dot(Stream stream, const ConstView& x, const ConstView& y, const View& result,
         double* partials) {
  with_float_type(x.type(), [&]<class T>(T) {
    sum(stream, x.size(), Products<T>{matrix<T>(x).data, matrix<T>(y).data}, partials,
        result.as<double>());
  });
}

namespace {

template <class T>
struct ResidualTerms {
  static constexpr int sums = 1;
  static constexpr int together = 1;  // each stores between its loads and the next one's
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

}  // namespace

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

}  // namespace natgrad::kernels
