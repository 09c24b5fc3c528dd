#include "kernels/formulas/fields.hpp"

#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/multiversion.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/float_type.hpp"

#include <algorithm>
#include <array>

namespace natgrad {

using cpu::at;
using formulas::TanhUnit;

namespace {

/// Units of one point whose sums over the coordinates fit a few registers' worth of the stack.
constexpr std::int64_t units_at_a_time = 64;

template <class T>
using Units = std::array<T, units_at_a_time>;

// Loops over a few units of one point; `next` is the distance of its rows. Each is vectorized.

template <class T>
NATGRAD_MULTIVERSION void forward_value(const T* bias, T* z, T* a, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    const T sum = z[j] + bias[j];
    z[j] = sum;
    a[j] = formulas::tanh(sum);
  }
}

template <class T>
NATGRAD_MULTIVERSION void forward_derivative(const T* value, const T* z, T* a, T* squares,
                                             std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    const T derivative = z[j];
    squares[j] += derivative * derivative;
    a[j] = TanhUnit<T>{value[j]}.slope() * derivative;
  }
}

template <class T>
NATGRAD_MULTIVERSION void forward_laplacian(const T* value, const T* squares, const T* z, T* a,
                                            std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    a[j] = TanhUnit<T>{value[j]}.laplacian(z[j], squares[j]);
  }
}

/// Adds up what the value's score takes, and replaces that of a derivative.
template <class T>
NATGRAD_MULTIVERSION void backward_derivative(const T* value, const T* z, const T* last, T* delta,
                                              T* products, T* squares, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    const T score = delta[j];
    squares[j] += z[j] * z[j];
    products[j] += z[j] * score;
    delta[j] = TanhUnit<T>{value[j]}.derivative_score(z[j], score, last[j]);
  }
}

template <class T>
NATGRAD_MULTIVERSION void backward_ends(const T* value, const T* z_last, const T* products,
                                        const T* squares, T* first, T* last, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    const TanhUnit<T> unit{value[j]};
    const T all = products[j] + z_last[j] * last[j];
    first[j] = unit.value_score(first[j], all, squares[j], last[j]);
    last[j] = unit.slope() * last[j];
  }
}

template <class T>
NATGRAD_MULTIVERSION void backward_value(const T* value, T* delta, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) delta[j] *= TanhUnit<T>{value[j]}.slope();
}

/// body(first row of a point, first unit, number of units) for all points and their units.
template <class Body>
void over_units(std::int64_t terms, const View& rows, const Body& body) {
  const std::int64_t columns = rows.columns();
  cpu::parallel_blocks(rows.rows() / terms, cpu::row_grain(terms * columns),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t n = begin; n < end; ++n) {
                           for (std::int64_t j = 0; j < columns; j += units_at_a_time) {
                             body(n * terms, j, std::min(units_at_a_time, columns - j));
                           }
                         }
                       });
}

}  // namespace

void CpuBackend::tanh_terms(std::int64_t terms, const ConstView& bias, const View& z,
                            const View& a) {
  with_float_type(z.type(), [&]<class T>(T) {
    over_units(terms, z, [&](std::int64_t row, std::int64_t j, std::int64_t count) {
      T* value = at<T>(a, row, j);
      forward_value(bias.as<T>() + j, at<T>(z, row, j), value, count);
      if (terms == 1) return;
      Units<T> squares{};
      const std::int64_t last = row + terms - 1;
      for (std::int64_t i = row + 1; i < last; ++i) {
        forward_derivative(value, at<T>(z, i, j), at<T>(a, i, j), squares.data(), count);
      }
      forward_laplacian(value, squares.data(), at<T>(z, last, j), at<T>(a, last, j), count);
    });
  });
}

void CpuBackend::tanh_terms_backward(std::int64_t terms, const ConstView& z, const ConstView& a,
                                     const View& delta) {
  with_float_type(delta.type(), [&]<class T>(T) {
    over_units(terms, delta, [&](std::int64_t row, std::int64_t j, std::int64_t count) {
      const T* value = at<T>(a, row, j);
      if (terms == 1) return backward_value(value, at<T>(delta, row, j), count);
      Units<T> squares{};
      Units<T> products{};
      const std::int64_t end = row + terms - 1;
      T* last = at<T>(delta, end, j);
      for (std::int64_t i = row + 1; i < end; ++i) {
        backward_derivative(value, at<T>(z, i, j), last, at<T>(delta, i, j), products.data(),
                            squares.data(), count);
      }
      backward_ends(value, at<T>(z, end, j), products.data(), squares.data(), at<T>(delta, row, j),
                    last, count);
    });
  });
}

void CpuBackend::draw_points(std::uint64_t key, const ConstView& counter, bool on_faces,
                             const View& x) {
  const formulas::DrawnPoint point{key, static_cast<std::uint64_t>(cpu::value_of(counter)),
                                   on_faces};
  with_float_type(x.type(), [&]<class T>(T) {
    const std::int64_t d = x.columns();
    cpu::parallel_blocks(x.rows(), cpu::row_grain(16 * d),
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t n = begin; n < end; ++n) {
                             for (std::int64_t j = 0; j < d; ++j) {
                               *at<T>(x, n, j) = static_cast<T>(point.coordinate(n, j, d));
                             }
                           }
                         });
  });
}

void CpuBackend::solution_at(PoissonSolution solution, bool laplacian, const ConstView& x,
                             const View& value) {
  auto* result = value.as<double>();
  const std::int64_t d = x.columns();
  with_float_type(x.type(), [&]<class T>(T) {
    formulas::with_solution(solution, [&]<class U>(U) {
      cpu::parallel_blocks(x.rows(), cpu::row_grain(16 * d),
                           [&](std::int64_t begin, std::int64_t end) {
                             for (std::int64_t n = begin; n < end; ++n) {
                               const T* point = at<T>(x, n, 0);
                               result[n] = laplacian ? U::laplacian(point, d) : U::value(point, d);
                             }
                           });
    });
  });
}

}  // namespace natgrad
