#pragma once

#include "core/growing_array.hpp"
#include "core/operands.hpp"
#include "curvature/curvature.hpp"
#include "kernels/formulas/step.hpp"
#include "natgrad/fisher_matrix.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace natgrad {

/// What a Fisher matrix keeps between calls. The curvature lays out its memory anew before every
/// call: what lasts in the arrays `kept_` and `system_`, the rest in the context's scratch.
struct FisherMatrix::State {
  /// What a solve brings.
  struct Call {
    bool gradient_given = false;
    bool coefficients_given = false;
    bool inverts = false;
    std::int64_t gradients = 1;
  };

  State(Parameters given, const Options& wanted);

  void accumulate(const detail::ScoreSet& rows);
  void reset();
  void upload_damping();
  void lay_out(const Call& call);
  void factorize();
  /// For the gradients in the rows of a matrix, after `factorize`.
  void solve_several(const Gradient& gradient, const View& directions);
  /// Judges, and hands out the direction where all went well.
  void finish(const View& direction);
  /// The same for one of several right-hand sides.
  void finish(const View& direction, bool first);
  /// Copies a result (P) float64 where it was accepted and is finite in the type of `to`. Waits.
  Outcome hand_out(Outcome outcome, const View& result, const View& to);
  /// Eigenvalues and eigenvectors of the rows so far, after `lay_out`. Waits.
  const detail::Eigensystem& decompose();

  void require_rows(const char* caller) const;
  void require_numbers(const char* name, const ConstView& view) const;
  /// P numbers each, or several in the rows of both; how many, 0 for one that is no row.
  std::int64_t require_right_hand_sides(const ConstView& gradient, const View& direction) const;
  void require_scale(const char* caller, const Gradient& gradient) const;
  void require_own_gradient(const Coefficients& coefficients) const;

  const detail::DeviceMemory& memory() const;
  View result() const;         // one element
  View solve_scalars() const;  // a SolveScalars: of the last solve
  const DampingState* damping() const;
  double value(const View& element) const;

  Parameters parameters;
  Options options;
  Backend& backend;
  std::vector<detail::ParameterTensor> tensors;
  std::unique_ptr<detail::Curvature> curvature;
  std::int64_t size = 0;      // P at the first accumulate
  std::int64_t capacity = 0;  // rows in all
  std::int64_t samples = 0;
  Centering centering = Centering::none;
  bool factorized = false;
  const char* no_gradient = nullptr;  // why the rows' coefficients make none
  bool solved = false;
  detail::Eigensystem eigensystem;  // of the rows so far, as far as anybody asked

 private:
  struct Scalars {
    View damping;  // a DampingState
    View step;     // a StepScalars, for the verdict of a direction
    View solve;    // a SolveScalars, of the last solve
    View row;      // a SolveScalars, of one of several right-hand sides
    View result;   // one element
    Scalars() = default;
    explicit Scalars(detail::Carver& carver);
  };

  void require_size(const char* caller) const;
  void begin(const detail::ScoreSet& rows);
  void make_curvature();
  void take_memory(const detail::BatchShape& wanted);
  detail::BatchShape shape(detail::Phase phase, std::int64_t rows) const;

  Array scalar_memory_;
  Scalars scalars_;
  detail::GrowingArray kept_;
  detail::GrowingArray system_;
};

}  // namespace natgrad
