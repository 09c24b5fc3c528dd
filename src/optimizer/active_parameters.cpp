#include "optimizer/active_parameters.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "scores/gram_way.hpp"

#include <algorithm>

namespace natgrad::detail {

namespace {

double factor_of(const std::vector<SegmentFactor>& factors, Segment segment) {
  double factor = 1;
  for (const SegmentFactor& f : factors) {
    if (f.segment == segment) factor = f.factor;
  }
  return factor;
}

void check_segments(const std::vector<SegmentFactor>& factors, int segments, const char* name) {
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const Segment segment = factors[i].segment;
    if (segment.index < 0 || segment.index >= segments) {
      throw ArgumentError(message("optimizer: ", name, " names segment ", segment.index, " of ",
                                  segments, ", which does not exist"));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (!(factors[j].segment == segment)) continue;
      throw ArgumentError(message("optimizer: ", name, " names segment ", segment.index, " twice"));
    }
  }
}

}  // namespace

ActiveParameters::ActiveParameters(const Parameters& parameters,
                                   const NaturalGradient::Options& options)
    : parameters_(parameters), total_(parameters.size()), rebinds_(parameters.rebinds()) {
  check_segments(options.rate_factors, parameters.segments(), ".rate_factors");
  check_segments(options.weight_decay_factors, parameters.segments(), ".weight_decay_factors");
  check_segments(options.l2_factors, parameters.segments(), ".l2_factors");
  for (int i = 0; i < parameters.segments(); ++i) {
    const Segment segment{i};
    const double rate = factor_of(options.rate_factors, segment);
    if (rate == 0) {
      offsets_.push_back(-1);
      continue;
    }
    offsets_.push_back(size_);
    tensors_.push_back({.segment = segment, .offset = size_, .rate = rate});
    places_.push_back({.theta = parameters.tensor(segment),
                       .offset = size_,
                       .l2 = factor_of(options.l2_factors, segment)});
    updates_.push_back({.theta = parameters.tensor(segment),
                        .d = {},
                        .decay = factor_of(options.weight_decay_factors, segment)});
    size_ += parameters.tensor(segment).size();
    scaled_ = scaled_ || rate != 1;
  }
  if (size_ == 0) throw ArgumentError("optimizer: .rate_factors freeze every parameter");
}

void ActiveParameters::follow_tensors() {
  if (rebinds_ == parameters_.rebinds()) return;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const View& theta = parameters_.tensor(tensors_[i].segment);
    places_[i].theta = theta;
    updates_[i].theta = theta;
  }
  rebinds_ = parameters_.rebinds();
}

void ActiveParameters::take_factors(const ActiveParameters& other) noexcept {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    tensors_[i].rate = other.tensors_[i].rate;
    updates_[i].decay = other.updates_[i].decay;
  }
  scaled_ = other.scaled_;
}

View ActiveParameters::part(const Tensor& tensor, const View& array) const {
  auto* start = static_cast<std::byte*>(array.data()) + tensor.offset * size_of(array.type());
  return {
      start, array.type(), parameters_.tensor(tensor.segment).shape(), {.device = array.device()}};
}

std::int64_t ActiveParameters::moved(std::int64_t offset) const {
  if (offset < 0) return -1;
  for (int i = 0; i < parameters_.segments(); ++i) {
    if (parameters_.offset({i}) == offset) return offsets_[static_cast<std::size_t>(i)];
  }
  return -1;
}

/// A dense block is one block for every run of tensors that are not frozen.
void ActiveParameters::add_dense(const LayerUse& block, std::vector<LayerUse>& active_uses) const {
  const ConstView& rows = block.output_score;
  std::int64_t first = 0;  // of the run, among all numbers
  std::int64_t offset = 0;
  std::int64_t count = 0;
  const auto flush = [&] {
    if (count == 0) return;
    LayerUse run = block;
    run.outputs = count;
    run.bias_offset = offset;
    const auto* start = static_cast<const std::byte*>(rows.data()) + first * size_of(rows.type());
    run.output_score =
        ConstView(start, rows.type(), {rows.rows(), count},
                  {.leading_dimension = rows.leading_dimension(), .device = rows.device()});
    active_uses.push_back(run);
    count = 0;
  };
  for (int i = 0; i < parameters_.segments(); ++i) {
    const std::int64_t active = offsets_[static_cast<std::size_t>(i)];
    if (active < 0) {
      flush();
      continue;
    }
    if (count == 0) {
      first = parameters_.offset({i});
      offset = active;
    }
    count += parameters_.tensor({i}).size();
  }
  flush();
}

std::span<const UpdatedTensor> ActiveParameters::updates(const View& step) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) updates_[i].d = part(tensors_[i], step);
  return updates_;
}

std::span<const LayerUse> ActiveParameters::uses(const ScoreSet& rows,
                                                 std::vector<LayerUse>& active_uses) const {
  const auto all = rows.blocks().blocks;
  if (!frozen()) return all;
  active_uses.clear();
  const RowCosts costs = parameters_.context().state().backend().row_costs();
  for (const LayerUse& block : all) {
    if (rows.dense()) {
      add_dense(block, active_uses);
      continue;
    }
    LayerUse moving = block;
    moving.weight_offset = moved(block.weight_offset);
    moving.bias_offset = moved(block.bias_offset);
    if (moving.weight_offset < 0) {
      moving.inputs = 0;
      moving.lookup = false;
      moving.rows_per_input = 1;
      moving.input = {};
    }
    if (moving.weight_offset < 0 && moving.bias_offset < 0) continue;
    active_uses.push_back(moving);
    choose_gram_way(active_uses, rows.size(), costs);
  }
  return active_uses;
}

void ActiveParameters::axpby(Backend& backend, double a, const ConstView& from, double b,
                             const View& to) const {
  if (!frozen()) return backend.axpby(a, from, b, to);
  for (const Tensor& tensor : tensors_) {
    backend.axpby(a, parameters_.part(tensor.segment, from), b, part(tensor, to));
  }
}

View ActiveParameters::scale(Backend& backend, const View& direction, const View& scaled) const {
  if (!scaled_) return direction;
  backend.copy(direction, scaled);
  for (const Tensor& tensor : tensors_) {
    if (tensor.rate == 1) continue;
    const View part = this->part(tensor, scaled);
    backend.axpby(0.0, part, tensor.rate, part);
  }
  return scaled;
}

void ActiveParameters::keep(Backend& backend, const View& kept) const {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    backend.copy(places_[i].theta, part(tensors_[i], kept));
  }
}

void ActiveParameters::restore(Backend& backend, const View& flag, const View& kept) const {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    backend.commit(flag, part(tensors_[i], kept), places_[i].theta);
  }
}

void ActiveParameters::penalty_dot(Backend& backend, const View& x, const View& y,
                                   const View& element, const View& result) const {
  const bool plain = std::all_of(places_.begin(), places_.end(),
                                 [](const ParameterTensor& place) { return place.l2 == 1; });
  if (plain) return backend.dot(x, y, result);
  backend.fill(0, result);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    backend.dot(part(tensors_[i], x), part(tensors_[i], y), element);
    backend.axpby(places_[i].l2, element, 1.0, result);
  }
}

void ActiveParameters::add_decay(Backend& backend, double decay, const ConstView& step,
                                 const View& movement) const {
  backend.copy(step, movement);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    backend.axpby(-decay * updates_[i].decay, places_[i].theta, 1.0, part(tensors_[i], movement));
  }
}

std::vector<Segment> ActiveParameters::segments() const {
  std::vector<Segment> segments;
  for (const Tensor& tensor : tensors_) segments.push_back(tensor.segment);
  return segments;
}

void ActiveParameters::carry_over(Backend& backend, const ActiveParameters& before,
                                  const View& from, const View& to) const {
  backend.fill(0, to);
  for (const Tensor& tensor : tensors_) {
    for (const Tensor& old : before.tensors_) {
      if (old.segment == tensor.segment) backend.copy(part(old, from), part(tensor, to));
    }
  }
}

void ActiveParameters::scatter(Backend& backend, const View& from, const View& to) const {
  if (!frozen()) return backend.copy(from, to);
  backend.fill(0, to);
  for (const Tensor& tensor : tensors_) {
    backend.copy(part(tensor, from), parameters_.part(tensor.segment, to));
  }
}

}  // namespace natgrad::detail
