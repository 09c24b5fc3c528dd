#include "trainer/optimizers.hpp"

#include "natgrad/error.hpp"
#include "natgrad/first_order.hpp"
#include "trainer/option_types.hpp"
#include "trainer/options.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <deque>
#include <optional>
#include <unistd.h>
#include <vector>

namespace natgrad::trainer {

namespace {

class Natural : public Optimizer {
 public:
  /// `rows_of_outputs`: the task gives a row for each output of a sample.
  Natural(const Parameters& parameters, const NaturalGradient::Options& options,
          bool rows_of_outputs)
      : optimizer_(parameters, options), rows_of_outputs_(rows_of_outputs) {}

  void step(Task& task) override {
    try {
      optimizer_.step(task.batch());
    } catch (const StepFailed&) {
      fetch();
      if (!reports_.empty()) throw_if_failed(reports_.back());
      throw;
    } catch (const MemoryError& error) {
      if (!rows_of_outputs_) throw;
      throw MemoryError(
          fmt::format("--fisher exact takes a row for each output of a sample, "
                      "--fisher sampled one for each draw: {}",
                      error.what()));
    }
  }
  void report(Record& record) override {
    if (reports_.empty()) fetch();
    if (reports_.empty()) throw Error("the optimizer has no report of the step that was taken");
    const StepReport report = reports_.front();
    reports_.pop_front();
    throw_if_failed(report);
    record.method = {{"damping", report.damping}, {"rate", report.rate}};
    if (report.predicted_kl) record.method.push_back({"predicted_kl", *report.predicted_kl});
    record.method.push_back({"quadratic_form", report.quadratic_form});
    record.method.push_back({"residual", report.residual});
    record.method.push_back({"error_bound", report.error_bound});
    add_measures(report, record.method);
    record.outcome = to_string(report.outcome);
    record.failures_in_a_row = report.failures_in_a_row;
  }
  void save(const std::string& path, const Blobs& blobs) const override {
    natgrad::save(path, optimizer_, blobs);
  }
  void restore(const Checkpoint& checkpoint) override { checkpoint.restore(optimizer_); }

 private:
  static constexpr std::int64_t most_failures = 10;  // as of the library

  static void throw_if_failed(const StepReport& report) {
    if (report.failures_in_a_row < most_failures) return;
    throw StepFailed(fmt::format(
        "step {}: {} attempts in a row have failed, the last as {}{}; the parameters are those of "
        "before them. A larger --damping, --precision double or another --form may help",
        report.step, report.failures_in_a_row, to_string(report.outcome),
        std::isfinite(report.damping) ? fmt::format(" at damping {}", report.damping) : ""));
  }

  /// What step rule and damping report of themselves, where it applies.
  static void add_measures(const StepReport& report, Figures& figures) {
    if (report.trials > 0) figures.push_back({"trials", static_cast<double>(report.trials)});
    const auto add = [&](const char* name, const std::optional<double>& value) {
      if (value) figures.push_back({name, *value});
    };
    add("loss_before", report.loss_before);
    add("loss_after", report.loss_after);
    add("actual_kl", report.actual_kl);
    add("reduction_ratio", report.reduction_ratio);
    add("model_rate", report.model_rate);
    add("momentum", report.momentum);
  }

  void fetch() {
    const std::vector<StepReport> reports = optimizer_.reports();
    reports_.insert(reports_.end(), reports.begin(), reports.end());
  }

  NaturalGradient optimizer_;
  bool rows_of_outputs_;
  std::deque<StepReport> reports_;  // of steps that have run, oldest first
};

class Plain : public Optimizer {
 public:
  Plain(const Parameters& parameters, const FirstOrder::Options& options)
      : gradient_(parameters.context().array({parameters.size(), 1}, parameters.type())),
        optimizer_(parameters, options) {}

  void step(Task& task) override {
    task.gradient(gradient_);
    optimizer_.step(gradient_);
  }
  void report(Record& record) override { record.method = {{"rate", optimizer_.options().rate}}; }
  void save(const std::string& path, const Blobs& blobs) const override {
    natgrad::save(path, optimizer_, blobs);
  }
  void restore(const Checkpoint& checkpoint) override { checkpoint.restore(optimizer_); }

 private:
  Array gradient_;  // (P)
  FirstOrder optimizer_;
};

/// At most one of both has a value, and a decay of 0 is none.
Momentum momentum_of(const Settings& settings) {
  const double spring = settings.get_or("--spring", 0.0);
  const double heavy_ball = settings.get_or("--momentum", 0.0);
  if (spring > 0) return Spring{spring};
  if (heavy_ball > 0) return HeavyBall{heavy_ball};
  return NoMomentum{};
}

StepRule step_rule_of(const Settings& settings) {
  const double rate = settings.get<Rate>("--rate").first;
  const auto trials = static_cast<int>(settings.get_or<std::int64_t>("--trials", 0));
  switch (settings.get<StepRuleName>("--step-rule")) {
    case StepRuleName::kl:
      return KlTrustRegion{
          .radius = settings.get<double>("--kl-radius"), .max_rate = rate, .trials = trials};
    case StepRuleName::backtracking:
      return Backtracking{.rate = rate, .trials = trials};
    case StepRuleName::quadratic:
      return QuadraticModel{.rate = rate};
    case StepRuleName::geodesic:
      return GeodesicAcceleration{.max_rate = rate, .trials = trials};
    case StepRuleName::fixed:
      break;
  }
  return FixedRate{rate};
}

FirstOrder::Options first_order_options(const Settings& settings) {
  FirstOrder::Options options = {.rule = Adam{},
                                 .rate = settings.get<Rate>("--rate").first,
                                 .weight_decay = settings.get<double>("--weight-decay")};
  if (settings.get<OptimizerName>("--optimizer") == OptimizerName::sgd) {
    options.rule = Sgd{settings.get<double>("--momentum")};
  }
  return options;
}

/// Bytes of this machine.
std::int64_t physical_memory() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

}  // namespace

NaturalGradient::Options natural_options(const Settings& settings, std::int64_t steps) {
  NaturalGradient::Options options;
  options.damping = settings.get<Damping>("--damping");
  options.damping.scaling = settings.get<DampingScaling>("--damping-scaling");
  options.step = step_rule_of(settings);
  options.schedule = {.decay = settings.get<Rate>("--rate").decay, .steps = steps};
  options.max_norm = settings.get_or("--max-norm", options.max_norm);
  options.momentum = momentum_of(settings);
  options.weight_decay = settings.get<double>("--weight-decay");
  options.structure = settings.get<Structure>("--structure");
  options.form = settings.get<Form>("--form");
  options.refinement = static_cast<int>(settings.get_or<std::int64_t>("--refinement", 0));
  options.allow_tf32 = settings.is_on("--allow-tf32");
  return options;
}

std::unique_ptr<Optimizer> make_optimizer(const Settings& settings, const Parameters& parameters,
                                          std::int64_t steps) {
  if (settings.get<OptimizerName>("--optimizer") == OptimizerName::natural) {
    NaturalGradient::Options options = natural_options(settings, steps);
    const auto fisher = settings.get<FisherKind>("--fisher");
    const bool is_on_cpu = parameters.context().device().kind == DeviceKind::cpu;
    // A system that grants more than there is would end the program without a word.
    if (fisher == FisherKind::exact && is_on_cpu) options.memory_budget = physical_memory();
    // Exact rows of a density are as many as its parameters.
    const bool is_net = settings.has("--hidden");
    return std::make_unique<Natural>(parameters, options, is_net && fisher == FisherKind::exact);
  }
  return std::make_unique<Plain>(parameters, first_order_options(settings));
}

}  // namespace natgrad::trainer
