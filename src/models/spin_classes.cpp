#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "natgrad/error.hpp"
#include "natgrad/models/restricted_boltzmann.hpp"

#include <algorithm>
#include <cstddef>

namespace natgrad {

using detail::message;

namespace {

/// The smallest of the configurations that translations lead to.
std::uint32_t smallest_translation(std::uint32_t code, std::int64_t sites) {
  const std::uint32_t all = (std::uint32_t{1} << sites) - 1;
  std::uint32_t smallest = code;
  for (std::int64_t t = 1; t < sites; ++t) {
    code = ((code << 1) | (code >> (sites - 1))) & all;
    smallest = std::min(smallest, code);
  }
  return smallest;
}

std::int64_t checked_sites(std::int64_t sites) {
  if (sites >= 2 && sites <= SpinClasses::most_sites) return sites;
  throw OptionError(
      message("spin classes: sites = ", sites, ", must be >= 2 and <= ", SpinClasses::most_sites));
}

/// Classes on the host.
struct ClassTable {
  std::vector<std::int32_t> codes;
  std::vector<double> multiplicities;
  std::vector<std::int32_t> neighbours;
};

ClassTable single_classes(std::int64_t sites) {
  const std::size_t count = std::size_t{1} << sites;
  ClassTable table;
  table.codes.resize(count);
  for (std::size_t c = 0; c < count; ++c) table.codes[c] = static_cast<std::int32_t>(c);
  table.multiplicities.assign(count, 1);
  return table;
}

ClassTable translation_classes(std::int64_t sites) {
  const std::size_t count = std::size_t{1} << sites;
  std::vector<std::int32_t> class_of(count);
  ClassTable table;
  for (std::size_t code = 0; code < count; ++code) {
    const std::size_t smallest = smallest_translation(static_cast<std::uint32_t>(code), sites);
    // The smallest of a class comes first.
    if (smallest == code) {
      class_of[code] = static_cast<std::int32_t>(table.codes.size());
      table.codes.push_back(static_cast<std::int32_t>(code));
      table.multiplicities.push_back(0);
    }
    class_of[code] = class_of[smallest];
    table.multiplicities[static_cast<std::size_t>(class_of[code])] += 1;
  }
  for (const std::int32_t code : table.codes) {
    for (std::int64_t i = 0; i < sites; ++i) {
      table.neighbours.push_back(
          class_of[static_cast<std::uint32_t>(code) ^ (std::uint32_t{1} << i)]);
    }
  }
  return table;
}

}  // namespace

struct SpinClasses::State {
  Context context;
  std::int64_t sites;
  std::vector<std::int32_t> codes_on_host;
  Array codes;           // (C) int32
  Array multiplicities;  // (C) float64
  Array neighbours;      // (C, n) int32, or none

  State(const Context& where, std::int64_t wanted, bool translations)
      : context(where), sites(checked_sites(wanted)) {
    ClassTable table = translations ? translation_classes(sites) : single_classes(sites);
    const auto count = static_cast<std::int64_t>(table.codes.size());
    codes = context.array({count, 1}, ElementType::int32);
    multiplicities = context.array({count, 1}, ElementType::float64);
    context.write(table.codes.data(), codes);
    context.write(table.multiplicities.data(), multiplicities);
    if (translations) {
      neighbours = context.array({count, sites}, ElementType::int32);
      context.write(table.neighbours.data(), neighbours);
    }
    codes_on_host = std::move(table.codes);
  }

  template <class T>
  void write_spins(std::int64_t first, const View& spins) const {
    std::vector<T> numbers(static_cast<std::size_t>(spins.size()));
    std::size_t at = 0;
    for (std::int64_t c = first; c < first + spins.rows(); ++c) {
      const auto code = static_cast<std::uint32_t>(codes_on_host[static_cast<std::size_t>(c)]);
      for (std::int64_t i = 0; i < sites; ++i)
        numbers[at++] = ((code >> i) & 1U) != 0 ? T{1} : T{-1};
    }
    context.write(numbers.data(), spins);
  }
};

SpinClasses::SpinClasses(const Context& context, std::int64_t sites, bool translations)
    : state_(detail::with_memory_errors(
          [&] { return std::make_unique<State>(context, sites, translations); })) {}

SpinClasses::~SpinClasses() = default;
SpinClasses::SpinClasses(SpinClasses&&) noexcept = default;
SpinClasses& SpinClasses::operator=(SpinClasses&&) noexcept = default;

std::int64_t SpinClasses::sites() const { return state_->sites; }
std::int64_t SpinClasses::count() const { return state_->codes.view().rows(); }
ConstView SpinClasses::codes() const { return state_->codes; }
ConstView SpinClasses::multiplicities() const { return state_->multiplicities; }
ConstView SpinClasses::neighbours() const {
  return state_->neighbours.empty() ? ConstView() : ConstView(state_->neighbours);
}

void SpinClasses::spins(std::int64_t first, const View& spins) const {
  detail::with_memory_errors([&] {
    const detail::Operand name{"spin classes", "spins"};
    detail::require_contiguous(name, spins, state_->context.state().memory());
    detail::require_shape(name, spins, {spins.rows(), sites()});
    if (first < 0 || first > count() || spins.rows() > count() - first) {
      throw ShapeError(
          message("spin classes: ", spins.rows(), " classes from ", first, " of ", count()));
    }
    if (spins.type() == ElementType::float32) return state_->write_spins<float>(first, spins);
    detail::require_type(name, spins, ElementType::float64);
    state_->write_spins<double>(first, spins);
  });
}

std::int64_t SpinClasses::bytes() const {
  const std::int64_t numbers = state_->neighbours.empty() ? 1 : 1 + sites();
  return count() * (numbers * size_of(ElementType::int32) + size_of(ElementType::float64));
}

}  // namespace natgrad
