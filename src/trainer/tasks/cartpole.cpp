#include "natgrad/error.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "natgrad/scores.hpp"
#include "trainer/control/policy.hpp"
#include "trainer/control/rollout.hpp"
#include "trainer/control/value_function.hpp"
#include "trainer/json_blob.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"
#include "trainer/tasks/task.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace natgrad::trainer {

TaskRow cartpole_task();

namespace {

const std::string state_blob = "natgrad-train cartpole";

constexpr Expected<double> share{"a number from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};

FullyConnected::Options net_options(const Settings& settings) {
  auto sizes = settings.get<std::vector<std::int64_t>>("--hidden");
  sizes.insert(sizes.begin(), 4);
  sizes.push_back(2);
  return {.sizes = sizes,
          .activation = settings.get_or("--activation", Activation::tanh),
          .type = settings.get<ElementType>("--precision"),
          .seed = settings.get<std::uint64_t>("--seed"),
          .allow_tf32 = settings.is_on("--allow-tf32")};
}

/// Steps of each environment between two steps of the optimizer.
std::int64_t length_of(const Settings& settings) {
  return settings.get<std::int64_t>("--batch") / settings.get<std::int64_t>("--environments");
}

/// Steps of all environments together, the rows of a batch.
std::int64_t rows_of(const Settings& settings) {
  return length_of(settings) * settings.get<std::int64_t>("--environments");
}

/// The rows of the Fisher matrix: scores of the actions that were taken, of actions drawn anew, or
/// exact rows, one for each output.
struct FisherRows {
  explicit FisherRows(const Settings& settings)
      : kind(settings.get_or("--fisher", FisherKind::sampled)),
        draws(settings.get_or<std::int64_t>("--fisher-draws", 1)) {}

  bool is_exact() const { return kind == FisherKind::exact; }
  bool are_drawn() const { return draws > 1; }
  std::int64_t per_state() const { return is_exact() ? 2 : draws; }

  FisherKind kind;
  std::int64_t draws;  ///< actions for each state; 1: those that were taken
};

/// The most states that the net is given at once.
std::int64_t largest_of(const Settings& settings) {
  return std::max(rows_of(settings), settings.get<std::int64_t>("--episodes"));
}

/// What a batch is made of beside net, policy and optimizer.
struct Staged {
  Staged(const Settings& settings, const Context& context)
      : rows(rows_of(settings)),
        values(context, rows),
        actions(context.array({rows, 1}, ElementType::int32)),
        advantages(context.array({rows, 1}, ElementType::float64)),
        shares(context.array({rows, 1}, ElementType::float64)) {}

  std::int64_t bytes() const { return values.bytes() + rows * (4 + 8 + 8); }

  std::int64_t rows;
  ValueFunction values;
  Array actions;     // (rows) int32
  Array advantages;  // (rows)
  Array shares;      // (rows): advantages / rows, the weights of -log p in the surrogate loss
};

/// A natural policy gradient (Kakade 2001): rows are the scores of the actions taken, coefficients
/// their advantages, and the advantages are over a value function fitted by least squares.
class CartPole : public Task {
 public:
  CartPole(const Settings& settings, const Context& context)
      : seed_(settings.get<std::uint64_t>("--seed")),
        length_(length_of(settings)),
        fisher_(settings),
        keeps_outputs_(compares_kl(settings)),
        episodes_(settings.get<std::int64_t>("--episodes")),
        discount_(settings.get<double>("--discount")),
        trace_(settings.get<double>("--trace")),
        net_(context, net_options(settings)),
        policy_(net_, largest_of(settings)),
        batch_(settings, context),
        environments_(seed_, settings.get<std::int64_t>("--environments")),
        taken_rows_(net_.parameters(), {.kind = FisherKind::sampled}),
        fisher_rows_(net_.parameters(), {.kind = fisher_.kind}) {}

  const Parameters& parameters() const override { return net_.parameters(); }
  std::string headline() const override;
  std::int64_t steps_per_epoch() const override { return 0; }

  std::int64_t numbers() const override { return 3; }
  BatchPosition next(const View& numbers) override;
  Figures figures(std::span<const double> numbers, const BatchPosition& batch) const override;
  natgrad::Batch batch() override;
  void gradient(const View& gradient) override;

  Figures evaluate() override;
  std::string in_words(const Figures& evaluation) const override;
  std::string summary(const Figures& evaluation) const override { return in_words(evaluation); }

  Blobs save() const override;
  void restore(const Blobs& blobs, const std::string& file) override;

 private:
  double fit_values(const Rollout& rollout, const std::vector<double>& advantages);
  void add_taken();
  natgrad::Batch rows_of_batch();

  std::uint64_t seed_;
  std::int64_t length_;  // steps of each environment a batch
  FisherRows fisher_;
  bool keeps_outputs_;  // to compare later ones with
  std::int64_t episodes_;
  double discount_;
  double trace_;
  FullyConnected net_;
  Policy policy_;
  Staged batch_;
  Environments environments_;
  LayerScores taken_rows_;   // of the actions that were taken
  LayerScores fisher_rows_;  // exact, or of actions drawn for the Fisher matrix alone
};

std::string CartPole::headline() const {
  const FullyConnected::Options& net = net_.options();
  return fmt::format(
      "cartpole: {} environments, {} steps a batch; policy {}{}, {} parameters, {} on {}",
      batch_.rows / length_, batch_.rows, fmt::join(net.sizes, "-"),
      net.sizes.size() > 2 ? fmt::format(" {}", to_string(net.activation)) : "",
      net_.parameters().size(), to_string(net.type),
      to_string(parameters().context().device().kind));
}

BatchPosition CartPole::next(const View& numbers) {
  const Rollout rollout = environments_.play(policy_, batch_.values, length_);
  std::vector<double> advantages = rollout.advantages(discount_, trace_);
  const double value_loss = fit_values(rollout, advantages);
  centre(advantages);
  const Context& context = parameters().context();
  context.write(advantages.data(), batch_.advantages);
  for (double& advantage : advantages) advantage /= static_cast<double>(batch_.rows);
  context.write(advantages.data(), batch_.shares);
  context.write(rollout.actions.data(), batch_.actions);
  policy_.forward(rollout.states);
  net_.backward(batch_.actions);
  // Steps of a policy that is not finite lead somewhere all the same: the figure says so.
  const double mean_length =
      rollout.is_finite ? environments_.mean_length() : std::numeric_limits<double>::quiet_NaN();
  const std::array<double, 3> figures = {mean_length, static_cast<double>(environments_.steps()),
                                         value_loss};
  context.write(figures.data(), numbers);
  return {.samples = batch_.rows};
}

/// Fits V to V + A, the returns as the advantages have them, and returns half the mean of A^2.
double CartPole::fit_values(const Rollout& rollout, const std::vector<double>& advantages) {
  batch_.values.fit(rollout.states, advantages);
  double sum = 0;
  for (const double advantage : advantages) sum += advantage * advantage;
  return sum / (2 * static_cast<double>(advantages.size()));
}

Figures CartPole::figures(std::span<const double> numbers, const BatchPosition&) const {
  return {{"episode_return", numbers[0]},
          {"environment_steps", numbers[1]},
          {"value_loss", numbers[2]}};
}

void CartPole::add_taken() {
  net_.add_to(taken_rows_, {.samples = batch_.rows, .coefficients = batch_.advantages});
}

/// The batch with what rules measure of a step, at the parameters as they then stand: the loss is
/// the surrogate of Schulman et al. 2015 (TRPO) with log p in place of the ratio of probabilities,
/// whose gradient is the same at the parameters before the step.
natgrad::Batch CartPole::batch() {
  if (keeps_outputs_) net_.keep_outputs();
  natgrad::Batch batch = rows_of_batch();
  batch.loss = [this](const View& loss) {
    policy_.forward_again();
    net_.loss_to(batch_.actions, loss, batch_.shares);
  };
  if (!keeps_outputs_) return batch;
  batch.kl = [this](const View& kl) {
    policy_.forward_again();
    net_.kl_to(kl);
  };
  return batch;
}

natgrad::Batch CartPole::rows_of_batch() {
  if (fisher_.is_exact()) {
    net_.compute_exact(batch_.actions);
    net_.add_exact_to(fisher_rows_, {.samples = batch_.rows, .coefficients = batch_.advantages});
    return {.fisher = fisher_rows_};
  }
  add_taken();
  if (!fisher_.are_drawn()) return {.fisher = taken_rows_};
  net_.sample(fisher_.draws);
  net_.add_sampled_to(fisher_rows_, {.samples = batch_.rows * fisher_.draws});
  return {.fisher = fisher_rows_, .gradient = taken_rows_};
}

void CartPole::gradient(const View& gradient) {
  add_taken();
  taken_rows_.gradient(gradient);
}

Figures CartPole::evaluate() {
  const std::int64_t which = environments_.steps() / batch_.rows;
  const std::vector<double> lengths = play_episodes(policy_, seed_, episodes_, which);
  const double sum = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  return {{"mean_return", sum / static_cast<double>(episodes_)},
          {"environment_steps", static_cast<double>(environments_.steps())}};
}

std::string CartPole::in_words(const Figures& evaluation) const {
  return fmt::format("mean return {:.1f} of {}", value_of(evaluation, "mean_return").value_or(0),
                     longest_episode);
}

Blobs CartPole::save() const {
  const Environments::State now = environments_.state();
  Json poles = Json::array();
  for (const PoleEnvironment& pole : now.poles) {
    poles.push_back({{"episode", pole.episode}, {"length", pole.length}, {"state", pole.state}});
  }
  return {{state_blob, to_blob({{"taken", now.taken},
                                {"poles", poles},
                                {"lengths", now.lengths},
                                {"values", batch_.values.weights()},
                                {"draws", net_.draw_counter()}})}};
}

void CartPole::restore(const Blobs& blobs, const std::string& file) {
  const BlobReader blob(blobs, state_blob, file);
  Environments::State state = environments_.state();
  const auto poles = blob.get<std::vector<Json>>("poles");
  const auto draws = blob.get<std::int64_t>("draws");
  state.taken = blob.get<std::int64_t>("taken");
  state.lengths = blob.get<std::deque<std::int64_t>>("lengths");
  if (poles.size() != state.poles.size() || state.taken < 1 || draws < 0) {
    throw FileError(fmt::format("{}: \"{}\" is damaged", file, state_blob));
  }
  try {
    for (std::size_t e = 0; e < poles.size(); ++e) {
      poles[e].at("episode").get_to(state.poles[e].episode);
      poles[e].at("length").get_to(state.poles[e].length);
      poles[e].at("state").get_to(state.poles[e].state);
    }
  } catch (const Json::exception&) {
    throw FileError(fmt::format("{}: \"{}\" is damaged", file, state_blob));
  }
  batch_.values.set_weights(blob.get<ValueFunction::Weights>("values"));
  environments_.set_state(std::move(state));
  net_.set_draw_counter(draws);
}

TaskMemory memory_of(const Settings& settings, const Context& context) {
  const FullyConnected::Options net = net_options(settings);
  const Staged staged(settings, context);
  const std::int64_t rows = staged.rows;
  const FisherRows fisher(settings);
  const std::int64_t largest = largest_of(settings);
  const FullyConnected::Uses uses = {.samples = rows,
                                     .draws = fisher.are_drawn() ? fisher.draws : 0,
                                     .exact = fisher.is_exact(),
                                     .keeps_outputs = compares_kl(settings)};
  const std::int64_t net_bytes = FullyConnected::bytes(net, {.samples = largest}) +
                                 FullyConnected::bytes(net, uses) -
                                 FullyConnected::bytes(net, {.samples = rows});
  TaskMemory memory = {.batch = {.samples = rows * fisher.per_state()},
                       .tensors = {},
                       .items = {{"net", net_bytes},
                                 {"rollout", staged.bytes() + Policy::bytes(net.type, largest)}}};
  if (fisher.are_drawn()) memory.batch.gradient = ScoresShape::Source::other_rows;
  for (std::size_t i = 0; i + 1 < net.sizes.size(); ++i) {
    memory.batch.layers.push_back({.inputs = net.sizes[i],
                                   .outputs = net.sizes[i + 1],
                                   .rows_per_input = fisher.per_state()});
    memory.tensors.push_back({net.sizes[i + 1], net.sizes[i]});
    memory.tensors.push_back({net.sizes[i + 1], 1});
  }
  return memory;
}

void require_batch(const Settings& s) {
  if (length_of(s) > 0) return;
  throw OptionError(fmt::format("--batch {}: fewer steps than --environments {}",
                                s.in_words("--batch"), s.in_words("--environments")));
}

void require_drawn_actions(const Settings& s) {
  if (FisherRows(s).kind != FisherKind::empirical) return;
  throw OptionError(fmt::format(
      "--fisher {}: has no meaning with cartpole, whose actions are drawn from the policy",
      s.in_words("--fisher")));
}

}  // namespace

TaskRow cartpole_task() {
  TaskRow row;
  row.name = "cartpole";
  row.help = "pole balancing, by a natural policy gradient";
  row.takes = {"--batch", "--hidden", "--activation"};
  const std::string group = "Run";
  row.options = {{.name = "--environments",
                  .group = group,
                  .type = number(counting, "N"),
                  .help = "poles side by side; each takes the same share of --batch",
                  .otherwise = "16",
                  .require = require_batch},
                 {.name = "--discount",
                  .group = group,
                  .type = number(decay, "X"),
                  .help = "of the rewards, a step",
                  .otherwise = "0.99",
                  .require = require_drawn_actions},
                 {.name = "--trace",
                  .group = group,
                  .type = number(share, "X"),
                  .help = "lambda of generalized advantage estimation; 1: returns, 0: one step",
                  .otherwise = "0.95"},
                 {.name = "--episodes",
                  .group = group,
                  .type = number(counting, "N"),
                  .help = "episodes of an evaluation",
                  .otherwise = "20"}};
  // The gradient of one batch says little of the next one's policy: momentum overshoots.
  row.defaults = {{"--fisher", "sampled"},   {"--step-rule", "kl"}, {"--momentum", "0"},
                  {"--hidden", "32"},        {"--batch", "2048"},   {"--steps", "80"},
                  {"--evaluate-every", "10"}};
  row.make = [](const Settings& settings, const Context& context) {
    return std::make_unique<CartPole>(settings, context);
  };
  row.memory = memory_of;
  return row;
}

}  // namespace natgrad::trainer
