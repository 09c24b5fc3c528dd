#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/matrix_elements.hpp"
#include "kernels/cuda/triangle.hpp"

namespace natgrad::kernels {

namespace {

template <class T>
struct AddTo {
  T value;
  Matrix<T> to;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const { to(i, j) += value; }
};

template <class T>
struct AddScalar {
  DeviceScalar value;
  Matrix<T> to;
  NATGRAD_DEVICE AddTo<T> load() const { return {static_cast<T>(value.value()), to}; }
};

}  // namespace

void add_to_diagonal(Stream stream, DeviceScalar value, const View& A) {
  with_float_type(A.type(), [&]<class T>(T) {
    Matrix<T> diagonal = matrix<T>(A);
    diagonal.leading_dimension += 1;
    map(stream, {A.rows(), 1}, AddScalar<T>{value, diagonal});
  });
}

namespace {

template <class T>
struct IdentityUnless {
  const double* flag;
  Part part;
  Matrix<T> A;
  NATGRAD_DEVICE bool skips() const { return *flag > 0; }
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (within(part, i, j)) A(i, j) = i == j ? T{1} : T{0};
  }
};

}  // namespace

void identity_unless(Stream stream, const ConstView& flag, bool lower, const View& A) {
  with_float_type(A.type(), [&]<class T>(T) {
    map(stream, {A.rows(), A.columns()},
        IdentityUnless<T>{flag.as<double>(), triangle(lower), matrix<T>(A)});
  });
}

namespace {

template <class T>
struct ScaleSymmetric {
  Part part;
  const T* factors;
  Matrix<T> A;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (within(part, i, j)) A(i, j) *= factors[i] * factors[j];
  }
};

template <class T>
struct ScaleColumns {
  Matrix<const T> A;
  const T* factors;
  Matrix<T> B;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    B(i, j) = A(i, j) * factors[j];
  }
};

}  // namespace

void scale_symmetric(Stream stream, bool lower, const ConstView& factors, const View& A) {
  with_float_type(A.type(), [&]<class T>(T) {
    map(stream, {A.rows(), A.columns()},
        ScaleSymmetric<T>{triangle(lower), factors.as<T>(), matrix<T>(A)});
  });
}

void scale_columns(Stream stream, const ConstView& A, const ConstView& factors, const View& B) {
  with_float_type(A.type(), [&]<class T>(T) {
    map(stream, {A.rows(), A.columns()},
        ScaleColumns<T>{matrix<T>(A), factors.as<T>(), matrix<T>(B)});
  });
}

namespace {

template <class T>
struct Scale {
  Part part;
  T b;
  Matrix<T> C;
  NATGRAD_DEVICE void operator()(std::int64_t i, std::int64_t j) const {
    if (within(part, i, j)) C(i, j) = b == 0 ? T{0} : b * C(i, j);
  }
};

void scale(Stream stream, Part part, const Elements& elements, double b, const View& C) {
  with_float_type(C.type(), [&]<class T>(T) {
    map(stream, elements, Scale<T>{part, static_cast<T>(b), matrix<T>(C)});
  });
}

}  // namespace

void scale_matrix(Stream stream, double b, const View& C) {
  scale(stream, Part::all, elements_of({C}), b, C);
}

void scale_triangle(Stream stream, bool lower, double b, const View& C) {
  scale(stream, triangle(lower), {C.rows(), C.columns()}, b, C);
}

}  // namespace natgrad::kernels
