#include "natgrad/models/restricted_boltzmann.hpp"

#include "core/context_state.hpp"
#include "core/growing_array.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/option_errors.hpp"
#include "core/overlap.hpp"
#include "kernels/formulas/inverse_normal.hpp"
#include "kernels/formulas/random.hpp"
#include "models/boltzmann_sizes.hpp"
#include "models/byte_count.hpp"
#include "models/spin_checks.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t last_counter = std::int64_t{1} << 53;  // exact in double
/// Configurations whose hidden units are computed at a time where only log psi is wanted.
constexpr std::int64_t psi_tile_rows = 8192;

using BoltzmannOptions = RestrictedBoltzmann::Options;

BoltzmannOptions checked(const BoltzmannOptions& options) {
  detail::OptionErrors errors("restricted Boltzmann machine");
  const auto check = [&](const char* name, std::int64_t value, std::int64_t least,
                         const char* range) {
    errors.check(name, static_cast<double>(value), value >= least && value <= 1024, range);
  };
  check(".sites", options.sites, 2, ">= 2 and <= 1024");
  check(".density", options.density, 1, ">= 1 and <= 1024");
  errors.check_enumerator(".type", options.type);
  errors.check(".type", static_cast<double>(options.type), options.type != ElementType::int32,
               "float32 or float64");
  errors.check(".initial_scale", options.initial_scale,
               std::isfinite(options.initial_scale) && options.initial_scale >= 0,
               "finite and >= 0");
  errors.throw_if_any();
  return options;
}

/// Columns [first, first + columns) of a contiguous array.
View columns_of(const View& array, std::int64_t first, std::int64_t columns) {
  char* const data = static_cast<char*>(array.data()) + first * size_of(array.type());
  return {data,
          array.type(),
          {array.rows(), columns},
          {.leading_dimension = array.leading_dimension(), .device = array.device()}};
}

View contiguous_part(const View& array, std::int64_t first, Shape shape) {
  char* const data = static_cast<char*>(array.data()) + first * size_of(array.type());
  return {data, array.type(), shape, {.device = array.device()}};
}

}  // namespace

/// The parameters, the machine that they expand to, and what was computed last.
struct RestrictedBoltzmann::State {
  Options options;
  Context context;
  Backend& backend;
  BoltzmannSizes sizes;
  Array values;  // (P): a, b, W
  Parameters parameters;
  Segment visible, bias, weights;
  Array sources;   // (n M + n + M) int32
  Array expanded;  // W (n, M), a (n), b (M) of all units
  BoltzmannMachine machine;
  Array counter;                  // (1) float64: how many times chains were moved
  detail::GrowingArray theta;     // (N, M)
  detail::GrowingArray tanh;      // (N, M)
  detail::GrowingArray rows;      // (N, P), of a symmetric machine
  detail::GrowingArray psi;       // (N) float64
  detail::GrowingArray numbers;   // (N) float64
  detail::GrowingArray products;  // (N) float64
  detail::GrowingArray tile;      // (tile, M)
  ConstView spins;                // of `compute`

  State(const Context& where, const Options& wanted)
      : options(checked(wanted)),
        context(where),
        backend(where.state().backend()),
        sizes(options),
        parameters(where) {
    values = context.array({sizes.parameters(), 1}, options.type);
    visible = parameters.add(contiguous_part(values, 0, {sizes.a, 1}), "visible");
    bias = parameters.add(contiguous_part(values, sizes.a, {sizes.b, 1}), "hidden");
    weights =
        parameters.add(contiguous_part(values, sizes.a + sizes.b, {sizes.b, sizes.n}), "weights");
    const std::vector<std::int32_t> from = sizes.sources();
    sources = context.array({sizes.expanded(), 1}, ElementType::int32);
    backend.upload(from.data(), sources);
    expanded = context.array({sizes.expanded(), 1}, options.type);
    machine = {.weights = contiguous_part(expanded, 0, {sizes.n, sizes.M}),
               .visible = contiguous_part(expanded, sizes.n * sizes.M, {sizes.n, 1}),
               .bias = contiguous_part(expanded, sizes.n * (sizes.M + 1), {sizes.M, 1})};
    counter = context.array({1, 1}, real);
    backend.fill(0, counter);
    write(initial());
  }

  std::vector<double> initial() const {
    std::vector<double> numbers_of_all(static_cast<std::size_t>(sizes.parameters()));
    for (auto i = static_cast<std::size_t>(sizes.a + sizes.b); i < numbers_of_all.size(); ++i) {
      const std::uint64_t bits =
          formulas::random_bits(options.key, formulas::RandomStream::weights, 0, i);
      numbers_of_all[i] = options.initial_scale * formulas::inverse_normal(formulas::uniform(bits));
    }
    return numbers_of_all;
  }

  void write(std::span<const double> theta_values) {
    if (options.type == real) return backend.upload(theta_values.data(), values);
    const std::vector<float> narrow(theta_values.begin(), theta_values.end());
    backend.upload(narrow.data(), values);
  }

  const Backend& memory() const { return context.state().memory(); }

  void require_spins(const char* caller, const ConstView& given) const {
    const detail::Operand name{caller, "spins"};
    detail::require_contiguous(name, given, memory());
    detail::require_type(name, given, options.type);
    detail::require_shape(name, given, {given.rows() > 0 ? given.rows() : 1, sizes.n});
  }
  void require_column(const char* caller, const char* name, const ConstView& column,
                      std::int64_t rows_wanted) const {
    detail::require_operand({caller, name}, column, {rows_wanted, 1}, real, memory());
  }
  void require_computed(const char* caller) const {
    if (spins.empty()) throw ArgumentError(message(caller, ": call compute first"));
  }

  /// Rows [0, count) of an array that takes the place of a smaller one.
  View grown(detail::GrowingArray& array, std::int64_t count, std::int64_t columns,
             ElementType type) const {
    if (array.empty() || array.rows() < count) {
      array.replace(backend);  // first: the old and the new together would be twice the memory
      array.replace(backend, context.array({count, columns}, type));
    }
    return array.view().row_range(0, count);
  }

  void expand() const { backend.gather_rows(values, sources, expanded); }
  void multiply(const ConstView& s, const View& to) const {
    backend.gemm(Transpose::no, Transpose::no, 1, s, machine.weights, 0, to);
  }

  void log_psi(const ConstView& s, const View& result) {
    expand();
    const std::int64_t count = std::min(s.rows(), psi_tile_rows);
    const View room = grown(tile, count, sizes.M, options.type);
    for (std::int64_t first = 0; first < s.rows(); first += count) {
      const std::int64_t part = std::min(count, s.rows() - first);
      const View units = room.row_range(0, part);
      const ConstView part_of = s.row_range(first, part);
      multiply(part_of, units);
      backend.spin_amplitudes(machine, part_of, units, units, result.row_range(first, part));
    }
  }

  void compute(const ConstView& s) {
    spins = {};
    const View units = grown(theta, s.rows(), sizes.M, options.type);
    const View activations = grown(tanh, s.rows(), sizes.M, options.type);
    const View result = grown(psi, s.rows(), 1, real);
    if (sizes.symmetric) grown(rows, s.rows(), sizes.parameters(), options.type);
    spins = s;
    expand();
    multiply(s, units);
    backend.spin_amplitudes(machine, s, units, activations, result);
    if (sizes.symmetric) backend.translated_rows(s, activations, computed(rows));
  }
  View computed(const detail::GrowingArray& array) const {
    return array.view().row_range(0, spins.rows());
  }

  void metropolis(const View& chains, std::int64_t proposals, const View& acceptance) {
    spins = {};
    const View units = grown(theta, chains.rows(), sizes.M, options.type);
    const View accepted = grown(numbers, chains.rows(), 1, real);
    expand();
    multiply(chains, units);
    backend.bias_activation(Activation::identity, machine.bias, units, units);
    backend.metropolis(machine, options.key, counter, proposals, chains, units, accepted);
    const double tried = static_cast<double>(chains.rows()) * static_cast<double>(proposals);
    backend.column_sums(1 / tried, accepted, acceptance);
  }

  void moments(const ConstView& energies, const ConstView& given, const View& result) {
    const View square = grown(products, energies.rows(), 1, real);
    ConstView weight = given;
    if (given.empty()) {
      const View equal = grown(numbers, energies.rows(), 1, real);
      backend.fill(1 / static_cast<double>(energies.rows()), equal);
      weight = equal;
    }
    backend.dot(weight, energies, result.row_range(0, 1));
    backend.multiply(weight, energies, square);
    backend.dot(square, energies, result.row_range(1, 1));
  }

  void add_dense(LayerScores& scores) const {
    const View all = computed(rows);
    scores.add({.bias = visible, .output_score = columns_of(all, 0, 1)});
    scores.add({.bias = bias, .output_score = columns_of(all, 1, sizes.b)});
    scores.add({.bias = weights, .output_score = columns_of(all, 1 + sizes.b, sizes.b * sizes.n)});
  }
  void add_factors(LayerScores& scores) const {
    scores.add({.bias = visible, .output_score = spins});
    scores.add({.weight = weights, .bias = bias, .input = spins, .output_score = computed(tanh)});
  }
};

RestrictedBoltzmann::RestrictedBoltzmann(const Context& context, Options options)
    : state_(
          detail::with_memory_errors([&] { return std::make_unique<State>(context, options); })) {}

RestrictedBoltzmann::~RestrictedBoltzmann() = default;
RestrictedBoltzmann::RestrictedBoltzmann(RestrictedBoltzmann&&) noexcept = default;
RestrictedBoltzmann& RestrictedBoltzmann::operator=(RestrictedBoltzmann&&) noexcept = default;

const Parameters& RestrictedBoltzmann::parameters() const { return state_->parameters; }
const RestrictedBoltzmann::Options& RestrictedBoltzmann::options() const { return state_->options; }
std::int64_t RestrictedBoltzmann::hidden() const { return state_->sizes.M; }

void RestrictedBoltzmann::write(std::span<const double> values) {
  detail::with_memory_errors([&] {
    const std::int64_t P = state_->sizes.parameters();
    if (static_cast<std::int64_t>(values.size()) != P) {
      throw ShapeError(message("write: ", values.size(), " numbers, expected ", P));
    }
    state_->write(values);
  });
}

std::vector<double> RestrictedBoltzmann::read() const {
  return detail::with_memory_errors([&] {
    const auto count = static_cast<std::size_t>(state_->sizes.parameters());
    std::vector<double> wide(count);
    if (state_->options.type == real) {
      state_->backend.download(state_->values, wide.data());
      return wide;
    }
    std::vector<float> narrow(count);
    state_->backend.download(state_->values, narrow.data());
    wide.assign(narrow.begin(), narrow.end());
    return wide;
  });
}

void RestrictedBoltzmann::log_psi(const ConstView& spins, const View& log_psi) {
  detail::with_memory_errors([&] {
    state_->require_spins("log_psi", spins);
    state_->require_column("log_psi", "log_psi", log_psi, spins.rows());
    detail::require_disjoint("log_psi: log_psi", log_psi, "spins", spins);
    state_->log_psi(spins, log_psi);
  });
}

void RestrictedBoltzmann::compute(const ConstView& spins) {
  detail::with_memory_errors([&] {
    state_->require_spins("compute", spins);
    state_->compute(spins);
  });
}

ConstView RestrictedBoltzmann::log_psi() const {
  state_->require_computed("log_psi");
  return state_->computed(state_->psi);
}

void RestrictedBoltzmann::add_to(LayerScores& scores, RowSet set) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.require_computed("add_to");
    if (!(scores.parameters() == s.parameters)) {
      throw ArgumentError("add_to: the scores are of other parameters");
    }
    if (set.samples == 0) set.samples = s.spins.rows();
    if (set.samples != s.spins.rows()) {
      throw ShapeError(message("add_to: .samples = ", set.samples, ", compute had ", s.spins.rows(),
                               " configurations"));
    }
    set.scale *= 2;
    scores.begin(set);
    if (s.sizes.symmetric)
      s.add_dense(scores);
    else
      s.add_factors(scores);
  });
}

void RestrictedBoltzmann::local_energies(const IsingChain& chain, const View& energies) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    s.require_computed("local_energies");
    detail::check_chain(chain);
    s.require_column("local_energies", "energies", energies, s.spins.rows());
    s.backend.local_energies(s.machine, chain, s.spins, s.computed(s.theta), energies);
  });
}

void RestrictedBoltzmann::class_energies(const SpinClasses& classes, const IsingChain& chain,
                                         const ConstView& log_psi, const View& probabilities,
                                         const View& energies) const {
  detail::with_memory_errors([&] {
    const State& s = *state_;
    const char* const caller = "class_energies";
    detail::check_chain(chain);
    if (classes.sites() != s.sizes.n) {
      throw OptionError(
          message(caller, ": classes of ", classes.sites(), " sites, the machine has ", s.sizes.n));
    }
    if (!s.sizes.symmetric && !classes.neighbours().empty()) {
      throw OptionError(
          message(caller, ": the machine is not symmetric, whose classes hold one configuration"));
    }
    s.require_column(caller, "log_psi", log_psi, classes.count());
    s.require_column(caller, "probabilities", probabilities, classes.count());
    s.require_column(caller, "energies", energies, classes.count());
    detail::require_disjoint("class_energies: probabilities", probabilities, "log_psi", log_psi);
    detail::require_disjoint("class_energies: energies", energies, "log_psi", log_psi);
    detail::require_disjoint("class_energies: energies", energies, "probabilities", probabilities);
    s.backend.class_energies({.codes = classes.codes(),
                              .multiplicities = classes.multiplicities(),
                              .neighbours = classes.neighbours()},
                             chain, s.sizes.n, log_psi, probabilities, energies);
  });
}

void RestrictedBoltzmann::moments(const ConstView& energies, const ConstView& weights,
                                  const View& result) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    const std::int64_t count = energies.rows() > 0 ? energies.rows() : 1;
    s.require_column("moments", "energies", energies, count);
    if (!weights.empty()) s.require_column("moments", "weights", weights, count);
    s.require_column("moments", "result", result, 2);
    s.moments(energies, weights, result);
  });
}

void RestrictedBoltzmann::metropolis(const View& spins, std::int64_t proposals,
                                     const View& acceptance) {
  detail::with_memory_errors([&] {
    State& s = *state_;
    s.require_spins("metropolis", spins);
    if (proposals < 1) {
      throw OptionError(message("metropolis: proposals = ", proposals, ", must be > 0"));
    }
    s.require_column("metropolis", "acceptance", acceptance, 1);
    s.metropolis(spins, proposals, acceptance);
  });
}

std::int64_t RestrictedBoltzmann::draw_counter() const {
  double counter = 0;
  state_->backend.download(state_->counter, &counter);
  return static_cast<std::int64_t>(counter);
}

void RestrictedBoltzmann::set_draw_counter(std::int64_t counter) {
  if (counter < 0 || counter > last_counter) {
    throw OptionError(message("set_draw_counter: ", counter, ", must be >= 0 and <= 2^53"));
  }
  state_->backend.fill(static_cast<double>(counter), state_->counter);
}

std::int64_t RestrictedBoltzmann::bytes(const Options& options, std::int64_t samples) {
  return detail::with_memory_errors([&] {
    const BoltzmannSizes sizes(checked(options));
    if (samples < 0) throw OptionError(message("bytes: samples = ", samples, ", must be >= 0"));
    const std::int64_t element = size_of(options.type);
    ByteCount bytes("restricted Boltzmann machine: .sites, .density and samples");
    bytes.add(sizes.parameters() + sizes.expanded(), 1, element);
    bytes.add(sizes.expanded(), 1, size_of(ElementType::int32));
    bytes.add(1, 1, size_of(real));
    bytes.add(samples, 2 * sizes.M, element);
    bytes.add(samples, 3, size_of(real));
    bytes.add(std::min(samples, psi_tile_rows), sizes.M, element);
    if (sizes.symmetric) bytes.add(samples, sizes.parameters(), element);
    return bytes.bytes();
  });
}

}  // namespace natgrad
