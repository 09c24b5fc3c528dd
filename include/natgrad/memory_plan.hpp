#pragma once

#include "natgrad/export.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/structure.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad {

/// The shape of a batch: all that memory and form follow from.
struct ScoresShape {
  /// One `LayerScores::add`; {d_in, d_out, terms, rows, rows_per_input}.
  struct Layer {
    std::int64_t inputs = 0;   ///< d_in; 0: no weight
    std::int64_t outputs = 1;  ///< d_out
    std::int64_t terms = 1;
    std::int64_t rows = 0;  ///< 0: all rows of the set
    std::int64_t rows_per_input = 1;
    /// An embedding: the input is int32 indices, the weight (d_in, d_out).
    bool lookup = false;
  };
  /// Where the gradient comes from.
  enum class Source : std::uint8_t {
    rows,        ///< S^T r of the rows themselves
    numbers,     ///< `Gradient`: P numbers
    other_rows,  ///< other rows: one for each input of these
  };

  std::int64_t samples = 0;  ///< N > 0, samples of a set
  /// M >= N, samples of the whole batch. 0: N. Larger: the batch is accumulated from such sets.
  std::int64_t batch_samples = 0;
  /// None: dense rows. For `Structure::block_diagonal` and `diagonal` a layer stands for the next
  /// segment of shape (outputs, inputs), and the one behind as its bias where that has `outputs`
  /// numbers: list the layers in the order of their segments. Behind the last segment comes the
  /// first again.
  std::vector<Layer> layers = {};
  Source gradient = Source::rows;
  Centering centering = Centering::none;
  std::int64_t parts = 1;  ///< rows of a sample, 1 or 2; a layer's `rows` counts rows
};

/// What a step of a batch of some shape needs, known before anything runs.
struct MemoryPlan {
  struct Item {
    std::string name;
    std::int64_t bytes = 0;
  };
  ScoresShape shape;
  Structure structure = Structure::full;
  Form form = Form::dual;  ///< `automatic` where the blocks of a matrix differ
  std::vector<Item> items;
  std::int64_t bytes = 0;          ///< of all items: the most that is held at once
  std::int64_t scratch_bytes = 0;  ///< of these in the context's scratch, which all share

  /// A line an item, and their sum.
  NATGRAD_EXPORT std::string text() const;
};

}  // namespace natgrad
