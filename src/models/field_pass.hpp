#pragma once

#include "backend/backend.hpp"
#include "core/growing_array.hpp"
#include "models/byte_count.hpp"
#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/scores.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad {

/// One layer of a field's net as a pass reads it.
struct FieldLayer {
  View weight;  // (d_out, d_in)
  View bias;    // (d_out)
  Segment weight_segment;
  Segment bias_segment;
};

/// Points taken through a tanh net with one output: T = d + 2 rows a point, its value, derivatives
/// and Laplacian, of which the output is the Laplacian; or T = 1, whose output is the value. One
/// that goes back keeps what the rows of S view.
class FieldPass {
 public:
  struct Shape {
    std::int64_t dimension = 0;
    std::vector<std::int64_t> hidden;
    ElementType type = ElementType::float64;
    bool differentiates = false;  // T = d + 2
    bool goes_back = false;
    std::int64_t terms() const { return differentiates ? dimension + 2 : 1; }
    /// Adds the bytes of so many points.
    void count(std::int64_t points, ByteCount& bytes) const;
  };

  FieldPass(const Context& context, Shape shape);

  /// Allocates when there are more points than ever before. Throws `MemoryError`.
  void reserve(std::int64_t points);
  /// Points (n, d) as rows of the first layer: x, one row of the identity for each derivative, and
  /// zeros; x itself for T = 1, which must then stay. (n T, d)
  ConstView expand(const ConstView& points);
  /// The output at `rows` that some pass has expanded, (n, 1) of the net's type, valid until the
  /// next.
  View forward(const std::vector<FieldLayer>& layers, const ConstView& rows);
  /// After `forward`: the derivatives of every point's output by what the layers put out.
  void backward(const std::vector<FieldLayer>& layers);
  /// Adds the uses of all layers for rows [first, first + n) of S, after `backward`.
  void add_to(LayerScores& scores, const std::vector<FieldLayer>& layers, std::int64_t first) const;

 private:
  struct Layer {
    detail::GrowingArray z;      // (n T, d_out), and a where they are one
    detail::GrowingArray a;      // (n T, d_out), where it goes back
    detail::GrowingArray delta;  // (n T, d_out), derivatives by z
  };

  const detail::GrowingArray& activations(const Layer& layer) const {
    return shape_.goes_back ? layer.a : layer.z;
  }
  View rows_of(const detail::GrowingArray& array) const {
    return array.view().row_range(0, points_ * shape_.terms());
  }
  /// The last term of every point.
  View last_of(const View& rows) const;

  Context context_;
  Backend& backend_;
  Shape shape_;
  std::int64_t points_ = 0;
  std::int64_t capacity_ = 0;
  ConstView input_;                // of the first layer
  detail::GrowingArray expanded_;  // (n T, d), where T > 1
  std::vector<Layer> layers_;      // hidden ones
  detail::GrowingArray output_;    // (n)
  detail::GrowingArray ones_;      // (n), the derivative of the output by itself
};

}  // namespace natgrad
