#pragma once

#include "backend/models.hpp"
#include "core/operands.hpp"
#include "kernels/formulas/step_scalars.hpp"
#include "kernels/formulas/updated_tensor.hpp"
#include "natgrad/array.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace natgrad {

/// A scalar operand: a constant, or a one-element float64 view that earlier work of the stream
/// wrote.
class Scalar {
 public:
  Scalar(double constant) : constant_(constant) {}         // NOLINT(google-explicit-constructor)
  Scalar(const ConstView& element) : element_(element) {}  // NOLINT(google-explicit-constructor)
  Scalar(const View& element) : element_(element) {}       // NOLINT(google-explicit-constructor)
  bool is_constant() const { return element_.empty(); }
  double constant() const { return constant_; }
  const ConstView& element() const { return element_; }

 private:
  double constant_ = 0;
  ConstView element_;
};

enum class Transpose : std::uint8_t { no, yes };
enum class Triangle : std::uint8_t { lower, upper };

/// How products of floats are computed; those of doubles are always strict.
enum class MathMode : std::uint8_t {
  strict,
  tf32,  ///< allowed: of factors with eleven significant bits (NVIDIA's TF32), summed in float;
         ///< strict where a device has no such units
};
/// What a factor loses at most, relative to it, whether it is rounded to TF32 or cut.
inline constexpr double tf32_epsilon = 0x1p-10;

/// One use of a layer: its share of rows [first, first + rows) of S. With T terms a row and R rows
/// an input, row n (counted from `first`) and term t read row n T + t of D and row (n / R) T + t of
/// A, and add to the P numbers of row n
///   [weight_offset, + d_out d_in)   sum_t D_nt (x) A_nt, row-major (d_out, d_in)
///   [bias_offset,   + d_out)        sum_t D_nt, or D_n0 with `bias_first_term`
/// An offset of -1 means that there is no such part; without a weight there is no input. Blocks
/// with the same offset share that parameter: the parts of a row add up, and K holds their
/// products. The views are all that a plan does not know.
struct LayerUse {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;   // d_in, 0 without a weight
  std::int64_t outputs = 0;  // d_out
  std::int64_t terms = 1;
  std::int64_t rows_per_input = 1;  // divides `rows`
  bool bias_first_term = false;
  /// How the Gram is computed: from this block's part of the rows, formed some columns at a time,
  /// or from products of the factors of pairs of terms (T at most `most_paired_terms`). Blocks that
  /// share a parameter agree.
  bool formed = false;
  std::int64_t weight_offset = -1;
  std::int64_t bias_offset = -1;
  ConstView input = {};         // A (rows / R T, d_in)
  ConstView output_score = {};  // D (rows T, d_out)
};

inline constexpr std::int64_t most_paired_terms = 64;

inline bool share_weight(const LayerUse& a, const LayerUse& b) {
  return a.weight_offset >= 0 && a.weight_offset == b.weight_offset;
}
inline bool share_bias(const LayerUse& a, const LayerUse& b) {
  return a.bias_offset >= 0 && a.bias_offset == b.bias_offset;
}

/// N rows of S as blocks; row n is multiplied by scale[n], float64.
struct RowBatch {
  std::span<const LayerUse> blocks;
  ConstView scale;                   // (N) float64
  MathMode mode = MathMode::strict;  // of gram, apply and adjoint
  std::int64_t rows() const { return scale.rows(); }
};

/// Memory that an operation may use while it runs; its content is nobody's.
struct Scratch {
  void* data = nullptr;
  std::int64_t bytes = 0;
};

/// The seam: the array operations that the library is written on, over views on one device, ordered
/// as called. Operands were validated above the seam: shapes fit, types are the ones named here.
/// T is float or double, the same for all operands of a call unless said. Matrices are row-major;
/// vectors are contiguous unless said. One-element results are float64. The same operands give the
/// same bits with the same number of threads.
///
/// Every operation has a naive twin in tests/support and a case in the operation table.
class Backend : public detail::DeviceMemory, public ModelOperations {
 public:
  /// The CUDA stream that work is ordered on, null on the CPU.
  virtual void* stream() const { return nullptr; }
  /// Whether `MathMode::tf32` is another arithmetic than `strict` here.
  virtual bool has_tf32() const { return false; }
  MathMode math_mode(bool allow_tf32) const {
    return allow_tf32 && has_tf32() ? MathMode::tf32 : MathMode::strict;
  }
  /// Where arrays lie that queued work writes and the host reads without a call; null: where all
  /// others lie.
  virtual std::shared_ptr<const Allocator> visible_memory() const { return nullptr; }

  // Memory.
  virtual void synchronize() = 0;
  /// Host to device and back, contiguous arrays. Both wait.
  virtual void upload(const void* host, const View& to) = 0;
  virtual void download(const ConstView& from, void* host) = 0;
  /// to = from, with leading dimensions and between T of two types (int32 only to int32).
  virtual void copy(const ConstView& from, const View& to) = 0;
  virtual void fill(double value, const View& to) = 0;
  /// to[i] = from[rows[i]]: rows (n) int32 within [0, from.rows()); from and to of any one type.
  virtual void gather_rows(const ConstView& from, const ConstView& rows, const View& to) = 0;
  /// to = flag > 0 ? from : to, never a product with zero.
  virtual void commit(const ConstView& flag, const ConstView& from, const View& to) = 0;

  // Vectors and elementwise work; also over matrices of one shape.
  /// y = a x + b y; b = 0 ignores what y held. x may be of the other T.
  virtual void axpby(Scalar a, const ConstView& x, Scalar b, const View& y) = 0;
  /// result = sum x_i y_i, accumulated in double; also over whole contiguous matrices.
  virtual void dot(const ConstView& x, const ConstView& y, const View& result) = 0;
  /// result = product + shift x - b, what an x leaves of (A + shift I) x = b when product = A x;
  /// all (n). square = result . result, accumulated in double.
  virtual void residual(const ConstView& b, const ConstView& product, Scalar shift,
                        const ConstView& x, const View& result, const View& square) = 0;
  /// finite = 0 when an element of (1 - decay shrink) theta + rate d of any tensor is not finite;
  /// else it keeps its value, so that several calls make one verdict. Tensors of one T.
  virtual void check_update(std::span<const UpdatedTensor> tensors, Scalar rate, Scalar shrink,
                            const View& finite) = 0;
  /// theta = accept > 0 ? (1 - decay shrink) theta + rate d : theta of every tensor.
  virtual void update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
                      Scalar shrink) = 0;
  /// One step of Adam (Kingma, Ba 2015) uphill along g: both averages and theta, `step` from 1.
  virtual void adam(const ConstView& g, double rate, double beta1, double beta2, double epsilon,
                    std::int64_t step, const View& mean, const View& square, const View& theta) = 0;

  // Matrices.
  /// C = a op(A) op(B) + b C.
  virtual void gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
                    const ConstView& B, double b, const View& C,
                    MathMode mode = MathMode::strict) = 0;
  /// C = a op(A) op(A)^T + b C, one triangle; transpose: A^T A of A (k, n).
  virtual void syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A, double b,
                    const View& C) = 0;
  /// y = A x for symmetric A of which one triangle is read.
  virtual void symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) = 0;
  /// Cholesky factor of one triangle of symmetric A in its place (lower: A = L L^T, upper: A = U^T
  /// U); info = 0, or > 0 when a pivot is not positive. What NaN gives is unspecified: check
  /// before.
  virtual void potrf(Triangle triangle, const View& A, const View& info, Scratch scratch) = 0;
  /// Bytes of scratch that it takes for (n, n) numbers of this type.
  virtual std::int64_t potrf_scratch(Triangle triangle, std::int64_t n,
                                     std::int64_t leading_dimension, ElementType type) const = 0;
  /// b = A^-1 b with the factor that `potrf` left in that triangle; b (n).
  virtual void potrs(Triangle triangle, const ConstView& factor, const View& b) = 0;
  /// A_ii += value.
  virtual void add_to_diagonal(Scalar value, const View& A) = 0;
  /// d_i = A_ii.
  virtual void diagonal(const ConstView& A, const View& d) = 0;
  /// upper_ij = lower_ji for j >= i: copies a lower triangle to the upper one of another (or the
  /// same) array.
  virtual void mirror(const ConstView& lower, const View& upper) = 0;
  /// Infinity norm (not finite when an element is not) and trace of a symmetric A, of which `lower`
  /// holds one triangle and `upper` the other, diagonals in both; they may be one full array.
  virtual void norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                              const View& trace) = 0;
  /// y = P y with P = I - u u^T / |u|^2, and I where u is 0.
  virtual void project(const ConstView& u, const View& y) = 0;
  /// A = P A P of symmetric A, product = A u; one triangle of A.
  virtual void project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                              const View& A) = 0;
  /// One triangle of A = flag > 0 ? A : identity.
  virtual void identity_unless(const ConstView& flag, Triangle triangle, const View& A) = 0;
  /// result_j = factor sum_i A_ij.
  virtual void column_sums(double factor, const ConstView& A, const View& result) = 0;
  /// result_j = sum_i A_ij^2 (+ result_j when `add`).
  virtual void column_squares(const ConstView& A, bool add, const View& result) = 0;

  // Rows of S. Float rows with double results are the mixed form.
  /// scale_n = factor sqrt(w_n), rhs_n = sqrt(w_n) c_n, in float64; weights and coefficients each
  /// of a type of its own. Without `weights` w_n = uniform, without `coefficients` c_n = 1.
  virtual void row_scaling(const ConstView& weights, double uniform, const ConstView& coefficients,
                           double factor, const View& scale, const View& rhs) = 0;
  /// K = S S^T, lower triangle; K (N, N) of the rows' type, or double over float rows.
  virtual void gram(const RowBatch& rows, const View& K, Scratch scratch) = 0;
  /// z = S v; v (P), z (N): of the rows' type, or both double over float rows. z = 0 without
  /// blocks.
  virtual void apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) = 0;
  /// g = S^T y + b g, also where no block writes; y (N), g (P): of the rows' type, or both double
  /// over float rows. b = 0 ignores what g held.
  virtual void adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
                       Scratch scratch) = 0;
  /// Rows [first, first + out.rows()) of S, formed; out (n, P) of the rows' type or double.
  virtual void materialize(const RowBatch& rows, std::int64_t first, const View& out) = 0;
  /// Bytes of scratch that gram, apply and adjoint take for N such rows, whose factors have type
  /// `factors`, when the results have type `result`. Reads no view, no offset and not `formed`.
  virtual std::int64_t rows_scratch(std::span<const LayerUse> blocks, std::int64_t rows,
                                    ElementType factors, ElementType result) const = 0;

  // Scalars of a solve and a step.
  /// Runs one of the formulas of kernels/formulas/step_scalars.hpp on the scalars of a solve or a
  /// step.
  virtual void update_scalars(ScalarRule rule, const ScalarArguments& arguments,
                              const View& scalars) = 0;
  /// Copies the scalars to slots[(step - 1) % count] in memory that the host reads without a call.
  virtual void publish(const ConstView& scalars, const View& slots) = 0;
};

}  // namespace natgrad
