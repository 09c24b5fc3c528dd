#include "support/fenced.hpp"

#include "core/message.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace natgrad::tests {

namespace {

// Quiet NaNs as float, and two in a row as double.
constexpr std::uint32_t fence_word = 0x7ffcfe17;
constexpr std::uint32_t poison_word = 0x7ffdead1;
constexpr std::int64_t fence_words = 32;

}  // namespace

FencedArray::FencedArray(Backend& backend, const Allocator& memory, const FencedShape& s)
    : backend_(backend),
      memory_(memory),
      part_(s.part),
      front_(fence_words + (s.aligned ? 0 : size_of(s.type) / 4)) {
  const std::int64_t between = s.leading_dimension == 0 ? s.shape.columns : s.leading_dimension;
  const std::int64_t inside = s.shape.rows * between * (size_of(s.type) / 4);
  words_.assign(static_cast<std::size_t>(front_ + inside + fence_words), fence_word);
  block_ = memory_.allocate(words_.size() * sizeof(std::uint32_t), nullptr);
  view_ = View(static_cast<std::uint32_t*>(block_) + front_, s.type, s.shape,
               {.leading_dimension = between, .device = backend_.device()});
  send();
}

FencedArray::~FencedArray() {
  memory_.deallocate(block_, words_.size() * sizeof(std::uint32_t), nullptr);
}

View FencedArray::whole() const {
  return {block_,
          ElementType::int32,
          {static_cast<std::int64_t>(words_.size()), 1},
          {.device = backend_.device()}};
}

void FencedArray::send() { backend_.upload(words_.data(), whole()); }

void FencedArray::fetch() { backend_.download(whole(), words_.data()); }

bool FencedArray::has(std::int64_t i, std::int64_t j) const {
  return part_ == Part::all || (part_ == Part::lower ? j <= i : j >= i);
}

std::int64_t FencedArray::word_of(std::int64_t i, std::int64_t j) const {
  return front_ + (i * view_.leading_dimension() + j) * element_words();
}

template <class Body>
void FencedArray::for_each_element(const Body& body) const {
  for (std::int64_t i = 0; i < view_.rows(); ++i) {
    for (std::int64_t j = 0; j < view_.columns(); ++j) {
      if (has(i, j)) body(i, j, i * view_.columns() + j);
    }
  }
}

/// Calls body(first word, words) for runs of adjacent elements.
template <class Body>
void FencedArray::for_each_run(const Body& body) const {
  if (part_ == Part::all && view_.leading_dimension() == view_.columns()) {
    return body(front_, view_.size() * element_words());
  }
  for (std::int64_t i = 0; i < view_.rows(); ++i) {
    const std::int64_t begin = part_ == Part::upper ? std::min(i, view_.columns()) : 0;
    const std::int64_t end =
        part_ == Part::lower ? std::min(i + 1, view_.columns()) : view_.columns();
    body(word_of(i, begin), (end - begin) * element_words());
  }
}

void FencedArray::write(const std::vector<double>& elements) {
  for_each_element([&](std::int64_t i, std::int64_t j, std::int64_t index) {
    std::uint32_t* to = &words_.at(word_of(i, j));
    const double value = elements.at(index);
    const auto as_float = static_cast<float>(value);
    switch (view_.type()) {
      case ElementType::int32:
        *to = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
        break;
      case ElementType::float32:
        std::memcpy(to, &as_float, sizeof(float));
        break;
      case ElementType::float64:
        std::memcpy(to, &value, sizeof(double));
        break;
    }
  });
  send();
}

void FencedArray::poison() {
  for_each_run([&](std::int64_t first, std::int64_t words) {
    std::fill_n(words_.begin() + first, words, poison_word);
  });
  send();
}

bool FencedArray::is_poison(std::int64_t i, std::int64_t j) const {
  const auto first = words_.begin() + word_of(i, j);
  return std::all_of(first, first + element_words(),
                     [](std::uint32_t word) { return word == poison_word; });
}

std::vector<double> FencedArray::elements() const {
  std::vector<double> result(static_cast<std::size_t>(view_.size()));
  for_each_element([&](std::int64_t i, std::int64_t j, std::int64_t index) {
    const std::uint32_t* from = &words_.at(word_of(i, j));
    float as_float;
    switch (view_.type()) {
      case ElementType::int32:
        result.at(index) = static_cast<std::int32_t>(*from);
        break;
      case ElementType::float32:
        std::memcpy(&as_float, from, sizeof(float));
        result.at(index) = as_float;
        break;
      case ElementType::float64:
        std::memcpy(&result.at(index), from, sizeof(double));
        break;
    }
  });
  return result;
}

std::string FencedArray::broken_fence() const {
  std::string broken;
  std::int64_t next = 0;  // the first word that is not yet looked at
  const auto look = [&](std::int64_t end) {
    const auto last = words_.begin() + end;
    const auto word = std::find_if(words_.begin() + std::min(next, end), last,
                                   [](std::uint32_t w) { return w != fence_word; });
    if (word == last || !broken.empty()) return;
    const std::int64_t inside = (word - words_.begin()) - front_;
    if (inside < 0) {
      broken = detail::message(-inside, " words before the array");
      return;
    }
    const std::int64_t element = inside / element_words();
    const std::int64_t between = std::max<std::int64_t>(1, view_.leading_dimension());
    broken = detail::message("row ", element / between, ", column ", element % between);
  };
  for_each_run([&](std::int64_t first, std::int64_t words) {
    look(first);
    next = first + words;
  });
  look(static_cast<std::int64_t>(words_.size()));
  return broken;
}

}  // namespace natgrad::tests
