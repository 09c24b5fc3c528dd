#pragma once

#include "fisher/accumulation.hpp"
#include "fisher/damped_system.hpp"
#include "fisher/kept_rows.hpp"
#include "fisher/solver.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "scores/rows.hpp"

#include <cstdint>

namespace natgrad {

/// What a Fisher matrix keeps between calls, and the scratch of each.
struct FisherMatrix::State {
  /// The system of its form, and in the primal form the sums over rows.
  struct Storage {
    detail::SystemBuffers system;
    detail::PrimalSums sums;
    Storage() = default;
    Storage(detail::Carver& carver, const detail::SolveShape& shape);
  };
  /// Scratch of a solve, and of what is looked at.
  struct Buffers {
    detail::SolveBuffers solve;
    View rows;   // dual: (N), of the parameters' type
    View wide;   // primal: (P) float64
    View roots;  // dual: (N) float64, as is the next
    View rhs;
    View mean;  // centred: (P) float64, as is the next
    View squares;
    Buffers(detail::Carver& carver, const detail::SolveShape& shape,
            const detail::SystemBuffers& system, std::int64_t work_bytes);
  };

  State(Parameters given, const Options& wanted);

  bool primal() const { return shape.form == Form::primal; }
  bool empty() const { return samples == 0; }
  RowBlocks rows() const { return primal() ? RowBlocks{} : kept.blocks(); }
  View field(double StepScalars::*name) const { return detail::scalar(scalars.view(), name); }

  void begin(const detail::Rows& rows);
  void add(const detail::Rows& rows);
  void forget();
  void store();
  void upload_damping();
  Buffers buffers(bool general) const;
  void assemble();
  void factorize();
  void finish(const detail::Solver& solver, const View& direction);
  View tile(std::int64_t rows, ElementType type) const;
  /// Calls body(rows formed, whether they are the first) for all rows kept, a tile at a time.
  template <class Body>
  void for_each_tile(ElementType type, const Body& body) const {
    const View whole = tile(samples, type);
    for (std::int64_t first = 0; first < samples; first += whole.rows()) {
      const View part = whole.row_range(0, std::min(whole.rows(), samples - first));
      backend.materialize(kept.blocks(), first, part);
      body(part, first == 0);
    }
  }
  /// S v of the rows kept, centred where they are.
  View apply_rows(const ConstView& v, const Buffers& b) const;
  /// q / |u| of centred rows kept, q = S^T u, in the buffers' mean.
  View mean(const Buffers& b) const;

  void require_size(const char* caller) const;
  void require_rows(const char* caller) const;
  void require_gradient(const Coefficients& coefficients) const;
  void require_direction(const char* name, const View& view) const;

  Parameters parameters;
  Options options;
  Backend& backend;
  std::int64_t size = 0;      // P at the first accumulate
  std::int64_t capacity = 0;  // rows in all
  std::int64_t samples = 0;
  detail::SolveShape shape;
  bool assembled = false;  // K is of all rows kept; F is centred
  bool factorized = false;
  bool has_gradient = true;  // of the rows' own coefficients
  bool solved = false;
  detail::KeptRows kept;  // dual
  Array memory;           // of `storage`
  Storage storage;
  Array scalars;
};

}  // namespace natgrad
