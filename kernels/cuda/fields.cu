#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/fields.hpp"
#include "kernels/formulas/fields.hpp"

namespace natgrad::kernels {

using formulas::TanhUnit;

namespace {

// A thread has a unit of a point, and goes through its terms.

template <class T>
struct TanhTerms {
  std::int64_t terms;
  const T* bias;
  Matrix<T> z;
  Matrix<T> a;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t j) const {
    const std::int64_t first = n * terms;
    const std::int64_t last = first + terms - 1;
    const T sum = z(first, j) + bias[j];
    const TanhUnit<T> unit{formulas::tanh(sum)};
    z(first, j) = sum;
    a(first, j) = unit.a;
    if (terms == 1) return;
    T squares = 0;
    for (std::int64_t i = first + 1; i < last; ++i) {
      const T derivative = z(i, j);
      squares += derivative * derivative;
      a(i, j) = unit.slope() * derivative;
    }
    a(last, j) = unit.laplacian(z(last, j), squares);
  }
};

template <class T>
struct TanhTermsBackward {
  std::int64_t terms;
  Matrix<const T> z;
  Matrix<const T> a;
  Matrix<T> delta;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t j) const {
    const std::int64_t first = n * terms;
    const std::int64_t last = first + terms - 1;
    const TanhUnit<T> unit{a(first, j)};
    const T value_score = delta(first, j);
    if (terms == 1) {
      delta(first, j) = unit.slope() * value_score;
      return;
    }
    const T laplacian_score = delta(last, j);
    T squares = 0;
    T products = 0;
    for (std::int64_t i = first + 1; i < last; ++i) {
      const T derivative = z(i, j);
      const T score = delta(i, j);
      squares += derivative * derivative;
      products += derivative * score;
      delta(i, j) = unit.derivative_score(derivative, score, laplacian_score);
    }
    products += z(last, j) * laplacian_score;
    delta(first, j) = unit.value_score(value_score, products, squares, laplacian_score);
    delta(last, j) = unit.slope() * laplacian_score;
  }
};

template <class T>
struct DrawPoints {
  std::uint64_t key;
  const double* counter;
  bool on_faces;
  Matrix<T> x;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t j) const {
    const formulas::DrawnPoint point{key, static_cast<std::uint64_t>(*counter), on_faces};
    x(n, j) = static_cast<T>(point.coordinate(n, j, x.columns));
  }
};

template <class U, class T>
struct SolutionAt {
  bool laplacian;
  Matrix<const T> x;
  double* value;
  NATGRAD_DEVICE void operator()(std::int64_t n, std::int64_t) const {
    const T* point = &x(n, 0);
    value[n] = laplacian ? U::laplacian(point, x.columns) : U::value(point, x.columns);
  }
};

}  // namespace

void tanh_terms(Stream stream, std::int64_t terms, const ConstView& bias, const View& z,
                const View& a) {
  with_float_type(z.type(), [&]<class T>(T) {
    map(stream, {z.rows() / terms, z.columns()},
        TanhTerms<T>{terms, bias.as<T>(), matrix<T>(z), matrix<T>(a)});
  });
}

void tanh_terms_backward(Stream stream, std::int64_t terms, const ConstView& z, const ConstView& a,
                         const View& delta) {
  with_float_type(delta.type(), [&]<class T>(T) {
    map(stream, {delta.rows() / terms, delta.columns()},
        TanhTermsBackward<T>{terms, matrix<T>(z), matrix<T>(a), matrix<T>(delta)});
  });
}

void draw_points(Stream stream, std::uint64_t key, const ConstView& counter, bool on_faces,
                 const View& x) {
  with_float_type(x.type(), [&]<class T>(T) {
    map(stream, {x.rows(), x.columns()},
        DrawPoints<T>{key, counter.as<double>(), on_faces, matrix<T>(x)});
  });
}

void solution_at(Stream stream, PoissonSolution solution, bool laplacian, const ConstView& x,
                 const View& value) {
  with_float_type(x.type(), [&]<class T>(T) {
    formulas::with_solution(solution, [&]<class U>(U) {
      map(stream, {x.rows(), 1}, SolutionAt<U, T>{laplacian, matrix<T>(x), value.as<double>()});
    });
  });
}

}  // namespace natgrad::kernels
