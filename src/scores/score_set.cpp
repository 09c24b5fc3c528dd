#include "scores/score_set.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "natgrad/error.hpp"
#include "scores/gram_way.hpp"
#include "scores/score_checks.hpp"

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

void ScoreSet::begin(const RowSet& set) {
  check_row_set(parameters_, kind_, set);
  const Context& context = parameters_.context();
  if (scale_.rows() < set.samples) {
    Array new_scale = context.array({set.samples, 1}, ElementType::float64);
    Array new_rhs = context.array({set.samples, 1}, ElementType::float64);
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
  owners_.add(set.owner);
  set_ = set;
  set_.owner = nullptr;
  if (set_.batch_samples == 0) set_.batch_samples = set.samples;
  parameters_size_ = parameters_.size();
  blocks_.clear();
  dense_ = false;
  context.state().backend().row_scaling(set_.weights, uniform_weight(), set_.coefficients, 0.0,
                                        set_.scale, scale_.view().row_range(0, set_.samples),
                                        rhs_.view().row_range(0, set_.samples));
}

void ScoreSet::clear() {
  owners_.release();
  set_ = {};
  blocks_.clear();
  dense_ = false;
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
