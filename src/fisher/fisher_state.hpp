#pragma once

#include "fisher/accumulation.hpp"
#include "fisher/damped_system.hpp"
#include "fisher/solver.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "scores/row_store.hpp"
#include "scores/score_set.hpp"

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
    View mean;  // centred: (P) float64
    Buffers(detail::Carver& carver, const detail::SolveShape& shape,
            const detail::SystemBuffers& system, std::int64_t work_bytes);
  };

  State(Parameters given, const Options& wanted);

  bool primal() const { return shape.form == Form::primal; }
  bool empty() const { return samples == 0; }
  RowBatch rows() const { return primal() ? RowBatch{} : kept.blocks(); }
  View field(double StepScalars::*name) const { return detail::scalar(scalars.view(), name); }

  void begin(const detail::ScoreSet& rows);
  void add(const detail::ScoreSet& rows);
  void reset();
  void forget();
  void store();
  void upload_damping();
  Buffers buffers(bool general) const;
  void assemble();
  void factorize();
  void finish(const detail::Solver& solver, const View& direction);
  /// Rows kept, formed a tile at a time, and centred in double where they are.
  struct Tiles {
    View tile;    // (tile rows, P), of the type asked for
    View wide;    // centred: the same in float64
    View mean;    // centred: (P) float64, q / |u| with q = S^T u
    View centre;  // centred: (N) float64, u / |u|
    View unused;  // (N) float64
    Scratch work;
    Tiles(detail::Carver& carver, const State& state, ElementType type, std::int64_t work_bytes);
  };
  Tiles tiles(ElementType type) const;
  View form_tile(const Tiles& tiles, std::int64_t first) const;
  /// Calls body(rows formed, whether they are the first) for all rows kept.
  template <class Body>
  void for_each_tile(ElementType type, const Body& body) const {
    const Tiles t = tiles(type);
    for (std::int64_t first = 0; first < samples; first += t.tile.rows()) {
      body(form_tile(t, first), first == 0);
    }
  }
  /// S v of the rows kept, centred where they are.
  View apply_rows(const ConstView& v, const Buffers& b) const;
  void load_centre(const detail::Solver& solver) const;

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
  const char* no_gradient = nullptr;  // why the rows have none
  bool solved = false;
  detail::RowStore kept;  // dual
  Array memory;           // of `storage`
  Storage storage;
  Array scalars;
};

}  // namespace natgrad
