#pragma once

#include "backend/backend.hpp"
#include "core/arena.hpp"
#include "natgrad/natural_gradient.hpp"
#include "optimizer/active_parameters.hpp"
#include "scores/score_set.hpp"

#include <array>
#include <cstdint>
#include <span>

namespace natgrad::detail {

/// What the memory of a `LocalModel` follows from.
struct ModelShape {
  int products = 0;      // vectors v whose S v are kept side by side; 0: there is no model
  bool numbers = false;  // the gradient is P numbers
  bool centred = false;
  std::int64_t parameters = 0;  // P
  std::int64_t rows = 0;        // N
  std::int64_t gradient_rows = 0;
  std::int64_t work_bytes = 0;
};

struct ModelBuffers {
  View vector;                   // v (P) float64, as are the others
  View gradient;                 // g (P) where it is numbers
  std::array<View, 2> products;  // S v (N)
  View gradient_product;         // S' v of the gradient's rows
  View roots;                    // u (N), where rows are centred
  Scratch work;                  // of row operations

  ModelBuffers() = default;
  ModelBuffers(Carver& carver, const ModelShape& shape);
};

/// The quadratic model of the loss at the parameters, g^T v and v^T F v of vectors v, from the rows
/// of a batch at hand: F = S^T S of all of them, whatever structure the direction is solved in. In
/// double; a product with the rows costs one pass over the layers.
class LocalModel {
 public:
  struct Rows {
    const ScoreSet& set;
    std::span<const LayerUse> uses;
    const GradientSource& gradient;
    std::span<const LayerUse> gradient_uses;  // of other rows
  };

  LocalModel(Backend& backend, const ActiveParameters& active, const ModelBuffers& buffers,
             const Rows& rows)
      : backend_(backend), active_(active), buffers_(buffers), rows_(rows) {}

  /// Returns S v (N) float64 of centred rows where they are, kept until the next call for this
  /// `place`, 0 or 1; `slope` = g^T v without any penalty. v (P) of the parameters' type.
  View multiply(const ConstView& v, std::size_t place, const View& slope) const;

 private:
  void measure_slope(const View& product, const View& slope) const;

  Backend& backend_;
  const ActiveParameters& active_;
  const ModelBuffers& buffers_;
  Rows rows_;
};

}  // namespace natgrad::detail
