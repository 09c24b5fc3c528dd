#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <memory>

namespace natgrad {

/// Poisson's equation with a known answer: points of the unit cube and of its faces, drawn on the
/// device, with the Laplacian and the values that the exact solution has there. What `LaplacianNet`
/// is trained on, and judged by.
class NATGRAD_EXPORT PoissonProblem {
 public:
  struct Options {
    std::int64_t dimension = 2;  ///< d, 1 to 1000
    PoissonSolution solution = PoissonSolution::sin;
    std::int64_t interior = 900;  ///< points in the cube, > 0
    std::int64_t boundary = 120;  ///< points on its faces, >= 0
    /// What the squares of the boundary's residuals count beside those of the interior, each group
    /// by its mean; finite, > 0.
    double boundary_weight = 1;
    ElementType type = ElementType::float64;  ///< of the points; float32 or float64
    std::uint64_t key = 0;                    ///< of the random numbers
    std::int64_t drawing = 0;                 ///< number of the first drawing; 0 to 2^32 - 1
  };

  /// Draws points. Throws `OptionError` for options out of range, `MemoryError` without room.
  PoissonProblem(const Context& context, const Options& options);
  ~PoissonProblem();
  PoissonProblem(PoissonProblem&&) noexcept;
  PoissonProblem& operator=(PoissonProblem&&) noexcept;
  PoissonProblem(const PoissonProblem&) = delete;
  PoissonProblem& operator=(const PoissonProblem&) = delete;

  const Options& options() const;
  std::int64_t samples() const;  ///< N, interior and boundary points

  /// Interior points (N_i, d), uniform in the cube; and what the Laplacian is there, (N_i) float64.
  ConstView interior() const;
  ConstView laplacian() const;
  /// Boundary points (N_b, d), uniform on the faces; and u there, (N_b) float64. Empty without.
  ConstView boundary() const;
  ConstView values() const;
  /// Weights of the rows, interior points first: 1 / N_i and `boundary_weight` / N_b; (N) float64.
  ConstView weights() const;

  /// Draws all points anew, into the same arrays, as a function of key and number of the drawing
  /// alone. Does not wait and allocates nothing.
  void resample();
  /// How many times points were drawn anew, for a checkpoint of the caller's. Waits.
  std::int64_t drawings() const;
  /// Goes back or forth to the points of that drawing. Does not wait. Throws `OptionError` outside
  /// of [0, 2^32).
  void set_drawings(std::int64_t drawings);

  /// Writes the exact u of points (M, d) of its type to `u` (M, 1) float64, both on the context's
  /// device. Does not wait. Throws `ShapeError`, `TypeError`, `DeviceError` or `ArgumentError` for
  /// views that do not fit.
  void solution_at(const ConstView& points, const View& u) const;

  /// Bytes on the device of such a problem. Throws as the constructor.
  static std::int64_t bytes(const Options& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace natgrad
