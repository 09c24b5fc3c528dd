#include "natgrad/error.hpp"
#include "natgrad/gather.hpp"
#include "natgrad/models/restricted_boltzmann.hpp"
#include "natgrad/scores.hpp"
#include "trainer/data/random.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"
#include "trainer/training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace natgrad::trainer {

TaskRow ising_task();

namespace {

const std::string state_blob = "natgrad-train ising";

/// Sites whose 65,536 configurations exact sums of a machine without symmetry hold; the 20 of a
/// symmetric one have 52,488 classes.
constexpr std::int64_t most_plain_sites = 16;
/// Configurations that an exact expectation takes through the machine at a time.
constexpr std::int64_t tile_rows = 8192;
/// Sweeps, a proposal a site, that carry chains from random spins to the first state.
constexpr std::int64_t first_sweeps = 20;

bool is_sampled(const Settings& settings) { return settings.has("--samples"); }

IsingChain chain_of(const Settings& settings) { return {.field = settings.get<double>("--field")}; }

RestrictedBoltzmann::Options machine_options(const Settings& settings) {
  return {.sites = settings.get<std::int64_t>("--sites"),
          .density = settings.get<std::int64_t>("--hidden-density"),
          .symmetric = !settings.is_on("--plain"),
          .type = settings.get<ElementType>("--precision"),
          .key = settings.get<std::uint64_t>("--seed")};
}

/// Where the chain is short enough to enumerate.
std::optional<SpinClasses> classes_of(const RestrictedBoltzmann::Options& options,
                                      const Context& context) {
  if (options.sites > SpinClasses::most_sites) return std::nullopt;
  return SpinClasses(context, options.sites, options.symmetric);
}

/// The expectation of the energy over all configurations.
class ExactExpectation {
 public:
  /// `resident`: the spins of all classes; none: they are taken to the device in tiles.
  ExactExpectation(const Context& context, const SpinClasses& classes, const ConstView& resident,
                   ElementType type)
      : classes_(classes),
        resident_(resident),
        log_psi_(context.array({classes.count(), 1}, ElementType::float64)),
        probabilities_(context.array({classes.count(), 1}, ElementType::float64)),
        energies_(context.array({classes.count(), 1}, ElementType::float64)) {
    if (!resident.empty()) return;
    tile_ = context.array({std::min(classes.count(), tile_rows), classes.sites()}, type);
  }

  /// Writes sum p E and sum p E^2, float64 (2). Waits unless the spins are resident.
  void operator()(RestrictedBoltzmann& machine, const IsingChain& chain, const View& moments) {
    if (resident_.empty())
      take_tiles(machine);
    else
      machine.log_psi(resident_, log_psi_);
    machine.class_energies(classes_, chain, log_psi_, probabilities_, energies_);
    machine.moments(energies_, probabilities_, moments);
  }

  static std::int64_t bytes(const SpinClasses& classes, bool resident, ElementType type) {
    const std::int64_t tile = std::min(classes.count(), tile_rows) * classes.sites();
    return 3 * classes.count() * size_of(ElementType::float64) +
           (resident ? 0 : tile * size_of(type));
  }

 private:
  void take_tiles(RestrictedBoltzmann& machine) {
    const std::int64_t tile = tile_.view().rows();
    for (std::int64_t first = 0; first < classes_.count(); first += tile) {
      const std::int64_t rows = std::min(tile, classes_.count() - first);
      const View spins = tile_.view().row_range(0, rows);
      classes_.spins(first, spins);
      machine.log_psi(spins, log_psi_.view().row_range(first, rows));
    }
  }

  const SpinClasses& classes_;
  ConstView resident_;   // (C, n), or none
  Array tile_;           // (tile, n), or none
  Array log_psi_;        // (C)
  Array probabilities_;  // (C)
  Array energies_;       // (C)
};

/// Variational Monte Carlo of the ground state: exact sums over the classes of configurations, or
/// samples of Markov chains, one a sample.
class IsingTask : public Task {
 public:
  IsingTask(const Settings& settings, const Context& context)
      : chain_(chain_of(settings)),
        sampled_(is_sampled(settings)),
        proposals_(settings.get_or<std::int64_t>("--sweeps", 1) *
                   settings.get<std::int64_t>("--sites")),
        machine_(context, machine_options(settings)),
        classes_(classes_of(machine_.options(), context)),
        rows_(sampled_ ? settings.get<std::int64_t>("--samples") : classes_->count()),
        spins_(context.array({rows_, machine_.options().sites}, machine_.options().type)),
        energies_(context.array({rows_, 1}, ElementType::float64)),
        moments_(context.array({3, 1}, ElementType::float64)),
        scores_(machine_.parameters(),
                {.kind = sampled_ ? FisherKind::sampled : FisherKind::exact}) {
    const ElementType type = machine_.options().type;
    if (sampled_) {
      if (classes_) expectation_.emplace(context, *classes_, ConstView(), type);
      begin_chains();
      return;
    }
    probabilities_ = context.array({rows_, 1}, ElementType::float64);
    classes_->spins(0, spins_);
    expectation_.emplace(context, *classes_, spins_, type);
    zero_ = context.array({1, 1}, ElementType::int32);
    const std::int32_t zero = 0;
    context.write(&zero, zero_);
  }

  const Parameters& parameters() const override { return machine_.parameters(); }
  std::string headline() const override {
    const RestrictedBoltzmann::Options& options = machine_.options();
    const std::string over = sampled_ ? fmt::format("{} Markov chains", rows_)
                                      : fmt::format("exact sums over {} classes", rows_);
    return fmt::format(
        "ising: {} sites, field {}; {}; {} restricted Boltzmann machine, {} hidden units, {} "
        "parameters, {} on {}",
        options.sites, chain_.field, over, options.symmetric ? "symmetric" : "plain",
        machine_.hidden(), parameters().size(), to_string(options.type),
        to_string(context().device().kind));
  }
  std::int64_t steps_per_epoch() const override { return 0; }

  std::int64_t numbers() const override { return sampled_ ? 3 : 2; }
  BatchPosition next(const View& numbers) override {
    const View moments = numbers.row_range(0, 2);
    if (sampled_) {
      machine_.metropolis(spins_, proposals_, numbers.row_range(2, 1));
      machine_.compute(spins_);
      machine_.local_energies(chain_, energies_);
      machine_.moments(energies_, {}, moments);
    } else {
      machine_.compute(spins_);
      machine_.class_energies(*classes_, chain_, machine_.log_psi(), probabilities_, energies_);
      machine_.moments(energies_, probabilities_, moments);
    }
    return {.samples = rows_, .step = ++taken_};
  }
  Figures figures(std::span<const double> numbers, const BatchPosition& batch) const override {
    if (sampled_ && numbers[2] == 0) {
      throw Diverged(
          fmt::format("the Markov chains are frozen: none of {} proposals was accepted at step {}",
                      rows_ * proposals_, batch.step));
    }
    return figures_of(numbers);
  }

  natgrad::Batch batch() override {
    machine_.add_to(scores_, rows());
    natgrad::Batch batch{.fisher = scores_};
    if (sampled_) return batch;
    batch.loss = [this](const View& loss) {
      const View moments = moments_.view().row_range(0, 2);
      (*expectation_)(machine_, chain_, moments);
      gather_rows(context(), moments.row_range(0, 1), zero_, loss);
    };
    return batch;
  }
  void gradient(const View& gradient) override {
    machine_.add_to(scores_, rows());
    scores_.gradient(gradient);
  }

  Figures evaluate() override {
    std::vector<double> numbers(3);
    if (expectation_) {
      (*expectation_)(machine_, chain_, moments_.view().row_range(0, 2));
      context().read(moments_.view().row_range(0, 2), numbers.data());
      numbers.resize(2);
    } else {
      measure_chains();
      context().read(moments_, numbers.data());
    }
    Figures figures = figures_of(numbers);
    const double exact = ground_state_energy(chain_, machine_.options().sites);
    const double energy = figures.front().value;
    figures.push_back({"exact_energy", exact});
    figures.push_back({"relative_error", (energy - exact) / std::abs(exact)});
    return figures;
  }
  std::string in_words(const Figures& evaluation) const override {
    const auto value = [&](const char* name) { return value_of(evaluation, name).value_or(0); };
    return fmt::format("energy {:.9f}, relative error {:.2g}", value("energy"),
                       value("relative_error"));
  }
  std::string summary(const Figures& evaluation) const override { return in_words(evaluation); }

  Blobs save() const override {
    Json state = {{"taken", taken_}, {"draws", machine_.draw_counter()}};
    if (sampled_) state["spins"] = read_spins();
    return {{state_blob, to_blob(state)}};
  }
  void restore(const Blobs& blobs, const std::string& file) override {
    const BlobReader state(blobs, state_blob, file);
    const auto taken = state.get<std::int64_t>("taken");
    const auto draws = state.get<std::int64_t>("draws");
    if (taken < 1 || draws < 0) throw FileError(fmt::format("{}: is no run of ising", file));
    if (sampled_) {
      const auto spins = state.get<std::vector<int>>("spins");
      if (static_cast<std::int64_t>(spins.size()) != spins_.view().size()) {
        throw FileError(fmt::format("{}: \"{}\" is damaged", file, state_blob));
      }
      write_spins(spins);
    }
    machine_.set_draw_counter(draws);
    taken_ = taken;
  }

 private:
  const Context& context() const { return parameters().context(); }

  /// Rows with the sign turned, so that c_n is E_n itself and g points down the energy.
  RowSet rows() const {
    return {.samples = rows_,
            .weights = sampled_ ? ConstView() : ConstView(probabilities_),
            .coefficients = energies_,
            .scale = -1,
            .centering = Centering::rows};
  }

  Figures figures_of(std::span<const double> numbers) const {
    const double energy = numbers[0];
    const double variance = std::max(0.0, numbers[1] - energy * energy);
    Figures figures = {{"energy", energy},
                       {"variance", std::isfinite(numbers[1]) ? variance : numbers[1]}};
    if (numbers.size() < 3) return figures;
    figures.push_back({"energy_error", std::sqrt(variance / static_cast<double>(rows_))});
    figures.push_back({"acceptance", numbers[2]});
    return figures;
  }

  void begin_chains() {
    std::vector<int> spins(static_cast<std::size_t>(spins_.view().size()));
    for (std::size_t i = 0; i < spins.size(); ++i) {
      const std::uint64_t bits = random_bits(machine_.options().key, RandomStream::starts, 0, i);
      spins[i] = (bits >> 63) != 0 ? 1 : -1;
    }
    write_spins(spins);
    machine_.metropolis(spins_, first_sweeps * machine_.options().sites,
                        moments_.view().row_range(2, 1));
  }
  void write_spins(const std::vector<int>& spins) {
    if (machine_.options().type == ElementType::float64) {
      const std::vector<double> numbers(spins.begin(), spins.end());
      return context().write(numbers.data(), spins_);
    }
    const std::vector<float> numbers(spins.begin(), spins.end());
    context().write(numbers.data(), spins_);
  }
  std::vector<int> read_spins() const {
    const auto count = static_cast<std::size_t>(spins_.view().size());
    if (machine_.options().type == ElementType::float64) {
      std::vector<double> numbers(count);
      context().read(spins_, numbers.data());
      return {numbers.begin(), numbers.end()};
    }
    std::vector<float> numbers(count);
    context().read(spins_, numbers.data());
    return {numbers.begin(), numbers.end()};
  }

  /// What the next step will see of chains too long to enumerate; they stay where they are.
  void measure_chains() {
    const std::vector<int> spins = read_spins();
    const std::int64_t draws = machine_.draw_counter();
    next(moments_);
    --taken_;
    machine_.set_draw_counter(draws);
    write_spins(spins);
  }

  IsingChain chain_;
  bool sampled_;
  std::int64_t proposals_;  // of a chain, a step
  RestrictedBoltzmann machine_;
  std::optional<SpinClasses> classes_;
  std::int64_t rows_;
  Array spins_;          // (N, n)
  Array probabilities_;  // (N), of exact sums
  Array energies_;       // (N)
  Array moments_;        // (3): sums of E and E^2, acceptance
  Array zero_;           // (1) int32, of exact sums
  LayerScores scores_;
  std::optional<ExactExpectation> expectation_;
  std::int64_t taken_ = 0;
};

TaskMemory memory_of(const Settings& settings, const Context& context) {
  const RestrictedBoltzmann::Options options = machine_options(settings);
  const bool sampled = is_sampled(settings);
  const std::optional<SpinClasses> classes = classes_of(options, context);
  const std::int64_t rows =
      sampled ? settings.get<std::int64_t>("--samples") : classes.value().count();
  const RestrictedBoltzmann machine(context, options);
  const std::int64_t element = size_of(options.type);
  const std::int64_t real = size_of(ElementType::float64);
  std::int64_t data = rows * options.sites * element + (rows + 3) * real;
  if (classes) {
    data += classes->bytes() + ExactExpectation::bytes(*classes, !sampled, options.type);
  }
  if (!sampled) data += rows * real + size_of(ElementType::int32);

  TaskMemory memory;
  memory.batch.samples = rows;
  memory.batch.centering = Centering::rows;
  for (int i = 0; i < machine.parameters().segments(); ++i) {
    memory.tensors.push_back(machine.parameters().tensor({i}).shape());
  }
  const std::int64_t density = options.density;
  if (options.symmetric) {
    memory.batch.layers = {{}, {.outputs = density}, {.outputs = density * options.sites}};
  } else {
    memory.batch.layers = {{.outputs = options.sites},
                           {.inputs = options.sites, .outputs = machine.hidden()}};
  }
  memory.items = {{"machine", RestrictedBoltzmann::bytes(options, rows)}, {"spins", data}};
  return memory;
}

std::string without_samples(const Settings& s) {
  return s.has("--samples") ? "" : "without --samples";
}

void require_enumerable(const Settings& s) {
  const auto sites = s.get<std::int64_t>("--sites");
  require(sites >= 2, fmt::format("--sites {}: a chain has at least 2", sites));
  require(sites <= 1024, fmt::format("--sites {}: at most 1024", sites));
  if (is_sampled(s)) return;
  const std::int64_t most = s.is_on("--plain") ? most_plain_sites : SpinClasses::most_sites;
  require(sites <= most, fmt::format("--sites {}: exact sums{} hold at most {}, needs --samples",
                                     sites, s.is_on("--plain") ? " with --plain" : "", most));
}

void require_own_rows(const Settings& s) {
  for (const char* option : {"--fisher", "--fisher-draws"}) {
    require(!s.given(option), fmt::format("{}: has no meaning with ising, whose rows are of the "
                                          "distribution psi^2 itself",
                                          option));
  }
}

void require_loss(const Settings& s) {
  if (!s.has("--step-rule") || !is_sampled(s)) return;
  const auto rule = s.get<StepRuleName>("--step-rule");
  const bool compares =
      rule == StepRuleName::backtracking || rule == StepRuleName::quadratic ||
      std::holds_alternative<LevenbergMarquardt>(s.get<Damping>("--damping").rule);
  require(!compares, "--samples: step rule and damping compare energies, whose samples differ");
}

std::vector<OptionRow> ising_rows() {
  const std::string group = "Ising chain";
  return {
      {.name = "--sites",
       .group = group,
       .type = number(counting, "N"),
       .help = "spins of the periodic chain",
       .otherwise = "16",
       .require =
           [](const Settings& s) {
             require_enumerable(s);
             require_own_rows(s);
           }},
      {.name = "--field",
       .group = group,
       .type = number(positive, "X"),
       .help = "transverse field, in units of the coupling",
       .otherwise = "1"},
      {.name = "--hidden-density",
       .group = group,
       .type = number(counting, "N"),
       .help = "hidden units a site",
       .otherwise = "4"},
      {.name = "--plain",
       .group = group,
       .type = flag(),
       .help = "a machine without translation symmetry"},
      {.name = "--samples",
       .group = group,
       .type = number(counting, "N"),
       .help = "Markov chains, each a sample a step (default: exact sums, up to 20 sites, 16 with "
               "--plain)",
       .require = require_loss},
      {.name = "--sweeps",
       .group = group,
       .type = number(counting, "N"),
       .help = "of the chains between two steps, a proposal a site",
       .otherwise = "1",
       .no_meaning = without_samples},
  };
}

}  // namespace

TaskRow ising_task() {
  TaskRow row;
  row.name = "ising";
  row.help = "ground state of a quantum magnet, by variational Monte Carlo";
  row.options = ising_rows();
  row.defaults = {{"--fisher", "sampled"},
                  {"--precision", "double"},
                  {"--steps", "100"},
                  {"--evaluate-every", "5"}};
  row.make = [](const Settings& settings, const Context& context) {
    return std::make_unique<IsingTask>(settings, context);
  };
  row.memory = memory_of;
  return row;
}

}  // namespace natgrad::trainer
