#pragma once

#include "backend/types.hpp"
#include "core/operands.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

namespace natgrad {

/// Arrays of any shape: transfers, selection of rows, elementwise work and inner products.
class ArrayOperations : public detail::DeviceMemory {
 public:
  /// Waits for all work that was enqueued.
  virtual void synchronize() = 0;

  /// Copies `to.size()` elements from the host to a contiguous array; waits.
  virtual void upload(const void* host, const View& to) = 0;

  /// Copies a contiguous array to the host; waits for all work enqueued before.
  virtual void download(const ConstView& from, void* host) = 0;

  /// to = from, elementwise, of one shape; both may be strided. Converts between float and double;
  /// int32 is copied only to int32.
  virtual void copy(const ConstView& from, const View& to) = 0;

  /// to_ij = value; `to` may be strided and of any type.
  virtual void fill(double value, const View& to) = 0;

  /// Gathers rows: to_i = from_rows[i]. `from` (m, d), `to` (n, d) of any one type; `rows` (n)
  /// int32, each within [0, m).
  virtual void gather_rows(const ConstView& from, const ConstView& rows, const View& to) = 0;

  /// y = a x + b y, elementwise, of one shape; both may be strided. b = 0 ignores what y held. x
  /// and y may be of different float types; the arithmetic is that of y.
  virtual void axpby(Scalar a, const ConstView& x, Scalar b, const View& y) = 0;

  /// z_i = x_i y_i, elementwise, of one shape; all may be strided, and z may be x or y. x and y are
  /// of one float type, z of the same or double; the arithmetic is that of z.
  virtual void multiply(const ConstView& x, const ConstView& y, const View& z) = 0;

  /// Solves a shifted diagonal system: x_i = b_i / (f_i + shift), and 0 where the divisor is not
  /// positive or NaN; info (1) float64 = the number of these. Vectors (n) of one float type; x may
  /// be b.
  virtual void divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
                      const View& info) = 0;

  /// y_i = 1 / sqrt(x_i), 0 where x_i < smallest, NaN where x_i is not finite. Vectors (n) of one
  /// float type; y may be x.
  virtual void inverse_roots(const ConstView& x, double smallest, const View& y) = 0;

  /// Inner product: result = sum_i x_i y_i over contiguous arrays of one shape and type,
  /// accumulated in double.
  virtual void dot(const ConstView& x, const ConstView& y, const View& result) = 0;

  /// Residual of a shifted system (A + shift I) x = b: result = (A x + shift x) - b and
  /// square = |result|^2, accumulated in double. The caller passes A x as `product`. All vectors
  /// (n), of one type.
  virtual void residual(const ConstView& b, const ConstView& product, Scalar shift,
                        const ConstView& x, const View& result, const View& square) = 0;
};

}  // namespace natgrad
