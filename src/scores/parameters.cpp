#include "natgrad/parameters.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/overlap.hpp"

#include <utility>
#include <vector>

namespace natgrad {

using detail::message;

struct Parameters::State {
  struct Tensor {
    View view;
    std::string name;
    std::int64_t offset;
  };
  Context context;
  std::vector<Tensor> tensors = {};
  std::int64_t size = 0;
  std::int64_t rebinds = 0;
};

Parameters::Parameters(Context context)
    : state_(detail::with_memory_errors(
          [&] { return std::make_shared<State>(State{.context = std::move(context)}); })) {}

void Parameters::check_tensor(const std::string& name, const View& tensor, Segment replaced) const {
  const State& state = *state_;
  const std::string operand = message("parameters: ", name);
  detail::require_given(operand, tensor, state.context.state().memory());
  if (tensor.size() == 0) {
    throw ArgumentError(
        message(operand, " is ", to_string(tensor.shape()), ": it has no elements"));
  }
  if (tensor.type() == ElementType::int32) {
    throw TypeError(message(operand, " is int32, expected float32 or float64"));
  }
  if (!state.tensors.empty()) detail::require_type(operand, tensor, type());
  for (const State::Tensor& other : state.tensors) {
    if (replaced && &other == &state.tensors[static_cast<std::size_t>(replaced.index)]) continue;
    detail::require_disjoint(operand, tensor, other.name, other.view);
  }
}

Segment Parameters::add(const View& tensor, std::string name) {
  return detail::with_memory_errors([&] {
    State& state = *state_;
    const int index = segments();
    if (name.empty()) name = message("segment ", index);
    check_tensor(name, tensor);
    state.tensors.push_back({tensor, std::move(name), state.size});
    state.size += tensor.size();
    return Segment{index};
  });
}

void Parameters::rebind(Segment segment, const View& tensor) {
  detail::with_memory_errors([&] {
    const std::string& name = this->name(segment);
    check_tensor(name, tensor, segment);
    View& view = state_->tensors[static_cast<std::size_t>(segment.index)].view;
    detail::require_shape(message("parameters: ", name), tensor, view.shape());
    view = tensor;
    ++state_->rebinds;
  });
}

std::int64_t Parameters::rebinds() const { return state_->rebinds; }

const Context& Parameters::context() const { return state_->context; }

ElementType Parameters::type() const {
  return state_->tensors.empty() ? ElementType::float32 : state_->tensors.front().view.type();
}

std::int64_t Parameters::size() const { return state_->size; }
int Parameters::segments() const { return static_cast<int>(state_->tensors.size()); }

const Parameters::State& Parameters::checked(Segment segment) const {
  if (segment.index < 0 || segment.index >= segments()) {
    throw ArgumentError(
        message("parameters: segment ", segment.index, " of ", segments(), " does not exist"));
  }
  return *state_;
}

const View& Parameters::tensor(Segment segment) const {
  return checked(segment).tensors[static_cast<std::size_t>(segment.index)].view;
}

const std::string& Parameters::name(Segment segment) const {
  return checked(segment).tensors[static_cast<std::size_t>(segment.index)].name;
}

std::int64_t Parameters::offset(Segment segment) const {
  return checked(segment).tensors[static_cast<std::size_t>(segment.index)].offset;
}

View Parameters::part(Segment segment, const View& array) const {
  const ConstView part = this->part(segment, static_cast<const ConstView&>(array));
  auto* start = static_cast<std::byte*>(array.data()) + offset(segment) * size_of(array.type());
  return {start, part.type(), part.shape(), {.device = part.device()}};
}

ConstView Parameters::part(Segment segment, const ConstView& array) const {
  detail::require_contiguous("part: array", array, state_->context.state().memory());
  detail::require_shape("part: array", array, {size(), 1});
  const auto* start =
      static_cast<const std::byte*>(array.data()) + offset(segment) * size_of(array.type());
  return {start, array.type(), tensor(segment).shape(), {.device = array.device()}};
}

void Parameters::require_flat(const char* name, const ConstView& array) const {
  detail::require_operand(name, array, {size(), 1}, type(), state_->context.state().memory());
  for (const State::Tensor& tensor : state_->tensors) {
    detail::require_disjoint(name, array, tensor.name, tensor.view);
  }
}

void Parameters::gather(const View& array) const {
  require_flat("gather: array", array);
  for (int i = 0; i < segments(); ++i) {
    state_->context.state().backend().copy(tensor({i}), part({i}, array));
  }
}

void Parameters::scatter(const ConstView& array) const {
  require_flat("scatter: array", array);
  for (int i = 0; i < segments(); ++i) {
    state_->context.state().backend().copy(part({i}, array), tensor({i}));
  }
}

}  // namespace natgrad
