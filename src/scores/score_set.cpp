#include "scores/score_set.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "natgrad/error.hpp"
#include "scores/gram_way.hpp"
#include "scores/score_checks.hpp"

#include <algorithm>
#include <utility>

namespace natgrad::detail {

ScoreSet::ScoreSet(Parameters parameters, FisherKind kind)
    : parameters_(std::move(parameters)), kind_(kind), owners_(parameters_.context()) {
  require_enumerator("scores", ".kind", kind);
}

void ScoreSet::require_rows(const Operand& caller, const Parameters& parameters) const {
  if (!(parameters_ == parameters)) {
    throw ArgumentError(message(caller, ": the scores are of other parameters"));
  }
  if (size() == 0) throw ArgumentError(message(caller, ": the scores have no rows; begin a set"));
  if (parameters_size_ != parameters_.size()) {
    throw ArgumentError(message(caller, ": the parameters have grown from ", parameters_size_,
                                " to ", parameters_.size(), " since the set's begin"));
  }
  if (blocks_.empty()) throw ArgumentError(message(caller, ": the set has no layers; add them"));
  std::int64_t covered = 0;
  for (bool grows = true; grows && covered < size();) {
    grows = false;
    for (const LayerUse& block : blocks_) {
      const std::int64_t end = block.first + block.rows;
      if (block.first > covered || end <= covered) continue;
      covered = end;
      grows = true;
    }
  }
  if (covered < size()) {
    throw ArgumentError(
        message(caller, ": no layer of the set covers row ", covered, " of ", size()));
  }
}

void ScoreSet::require_gradient(const char* caller) const {
  const char* reason = missing_gradient(*this);
  if (reason != nullptr) throw ArgumentError(message(caller, ": ", reason));
}

namespace {

/// Rows of parts that are centred at a time.
constexpr std::int64_t centring_rows = 256;

/// Scratch of what centres one part of N rows.
struct PartBuffers {
  View mean;     // (P) float64
  View zeros;    // (P) float64
  View ones;     // (rows of a tile) float64
  View tile;     // (rows of a tile, P) float64
  View square;   // (1)
  View unknown;  // (1): how many divisors were 0
  Scratch work;
  PartBuffers(Carver& carver, const Backend& backend, std::span<const LayerUse> uses,
              ElementType type) {
    const std::int64_t parameters = uses.front().outputs;
    const std::int64_t rows = std::min(centring_rows, uses.front().rows);
    mean = carver.take({parameters, 1}, real);
    zeros = carver.take({parameters, 1}, real);
    ones = carver.take({rows, 1}, real);
    tile = carver.take({rows, parameters}, real);
    square = carver.take({1, 1}, real);
    unknown = carver.take({1, 1}, real);
    work.bytes = backend.rows_scratch(uses, uses.front().rows, type, real);
    work.data = carver.take_bytes(work.bytes);
  }
};

void grow(const Context& context, GrowingArray& array, Shape shape, ElementType type) {
  if (!array.empty() && array.rows() >= shape.rows && array.view().columns() == shape.columns) {
    return;
  }
  array.prepare();
  Array larger = context.array(shape, type);
  array.replace(context.state().memory(), std::move(larger));
}

}  // namespace

void ScoreSet::begin(const RowSet& set) {
  check_row_set(parameters_, kind_, set);
  if (set.parts > 1 && set.centering == Centering::rows) {
    throw OptionError(
        "scores: .parts = 2 with .centering = Centering::rows: takes dense rows (DenseScores), of "
        "which it keeps a centred copy; layers have no mean of a part");
  }
  start(set);
}

void ScoreSet::begin_dense(const RowSet& set, const ConstView& rows) {
  check_row_set(parameters_, kind_, set);
  const LayerUse use = {
      .rows = rows.rows(), .outputs = rows.columns(), .bias_offset = 0, .output_score = rows};
  const bool centres = set.parts > 1 && set.centering == Centering::rows;
  if (centres) grow(parameters_.context(), centred_, rows.shape(), parameters_.type());
  start(set);
  if (centres)
    centre_parts(use);
  else
    add(use, true);
}

/// Starts a set that was checked, as one of single rows.
void ScoreSet::start(const RowSet& set) {
  const Context& context = parameters_.context();
  const std::int64_t rows = set.samples * set.parts;
  const bool repeats = set.parts > 1 && !set.weights.empty();
  if (repeats) grow(context, weights_, {rows, 1}, real);
  if (scale_.rows() < rows) {
    Array new_scale = context.array({rows, 1}, ElementType::float64);
    Array new_rhs = context.array({rows, 1}, ElementType::float64);
    const DeviceMemory& memory = context.state().memory();
    scale_.prepare();
    rhs_.prepare();
    scale_.replace(memory, std::move(new_scale));
    rhs_.replace(memory, std::move(new_rhs));
  }
  if (blocks_.capacity() == 0) blocks_.reserve(1);  // so that dense rows can be added for certain
  owners_.release();
  owners_.reserve_one();
  // Nothing throws from here on.
  Backend& backend = context.state().backend();
  owners_.add(set.owner);
  set_ = set;
  set_.owner = nullptr;
  if (set_.batch_samples == 0) set_.batch_samples = set.samples;
  const double uniform = uniform_weight();
  if (set.parts > 1) {
    set_.samples *= set.parts;
    set_.batch_samples *= set.parts;
    set_.centering = Centering::none;
    if (repeats) {
      for (std::int64_t part = 0; part < set.parts; ++part) {
        backend.copy(set.weights, weights_.view().row_range(part * set.samples, set.samples));
      }
      set_.weights = weights_.view().row_range(0, rows);
    } else {
      set_.weight = uniform;
    }
  }
  parameters_size_ = parameters_.size();
  blocks_.clear();
  dense_ = false;
  centred_parts_ = false;
  backend.row_scaling(set_.weights, uniform, set_.coefficients, 0.0, set_.scale,
                      scale_.view().row_range(0, rows), rhs_.view().row_range(0, rows));
}

/// Adds a copy of dense rows, each part less its own weighted mean, and takes the coefficients'
/// mean out of r.
void ScoreSet::centre_parts(const LayerUse& use) {
  ContextState& context = parameters_.context().state();
  Backend& backend = context.backend();
  const std::int64_t samples = size() / parts();
  const View centred = centred_.view().row_range(0, size());
  LayerUse own = use;
  own.rows = samples;
  own.materialized = true;
  const auto buffers = context.arena().buffers<PartBuffers>(
      backend, std::span<const LayerUse>(&own, 1), parameters_.type());
  backend.fill(0, buffers.zeros);
  backend.fill(1, buffers.ones);
  for (std::int64_t part = 0; part < parts(); ++part) {
    const std::int64_t first = part * samples;
    const View u = scale_.view().row_range(first, samples);
    backend.project(u, rhs_.view().row_range(first, samples));
    own.output_score = use.output_score.row_range(first, samples);
    backend.adjoint({.blocks = {&own, 1}, .scale = u, .weighted = !set_.weights.empty()}, u, 0,
                    buffers.mean, buffers.work);
    backend.dot(u, u, buffers.square);
    backend.divide(buffers.zeros, buffers.square, buffers.mean, buffers.mean, buffers.unknown);
    for (std::int64_t at = 0; at < samples; at += buffers.tile.rows()) {
      const std::int64_t rows = std::min(buffers.tile.rows(), samples - at);
      const View tile = buffers.tile.row_range(0, rows);
      const ConstView mean(buffers.mean.as<double>(), {1, use.outputs},
                           {.device = buffers.mean.device()});
      backend.copy(own.output_score.row_range(at, rows), tile);
      backend.gemm(Transpose::no, Transpose::no, -1, buffers.ones.row_range(0, rows), mean, 1,
                   tile);
      backend.copy(tile, centred.row_range(first + at, rows));
    }
  }
  given_ = use;
  given_.materialized = true;
  LayerUse copy = use;
  copy.output_score = centred;
  add(copy, true);
  centred_parts_ = true;
}

void ScoreSet::clear() {
  owners_.release();
  set_ = {};
  blocks_.clear();
  dense_ = false;
  centred_parts_ = false;
}

void ScoreSet::add(const LayerUse& use, bool dense, const Owner& owner) {
  owners_.reserve_one();
  blocks_.push_back(use);
  dense_ = dense;
  if (dense) {
    blocks_.back().materialized = true;
    return;
  }
  try {
    choose_gram_way(blocks_, size(), parameters_.context().state().backend().row_costs());
  } catch (...) {
    blocks_.pop_back();
    throw;
  }
  owners_.add(owner);
}

}  // namespace natgrad::detail
