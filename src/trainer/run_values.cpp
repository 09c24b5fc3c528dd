#include "trainer/run_values.hpp"

#include "natgrad/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace natgrad::trainer {

namespace {

const std::string none = "none";

class Values {
 public:
  template <class T>
  void add(const char* name, const T& value) {
    values_.emplace_back(name, fmt::format("{}", value));
  }
  std::vector<NamedValue> take() { return std::move(values_); }

 private:
  std::vector<NamedValue> values_;
};

std::string in_words(const Damping& damping) {
  if (damping.relative != 0) return fmt::format("relative:{}", damping.relative);
  return fmt::format("{}", damping.absolute);
}

template <class Rule>
std::string decay_of(const Momentum& momentum) {
  const auto* rule = std::get_if<Rule>(&momentum);
  return rule == nullptr ? none : fmt::format("{}", rule->decay);
}

/// The rule, its radius and its (largest) rate.
void add_rule(const StepRule& rule, RateDecay decay, Values& values) {
  const auto* ball = std::get_if<KlTrustRegion>(&rule);
  values.add("--step-rule", ball != nullptr ? "kl" : "fixed");
  values.add("--kl-radius", ball != nullptr ? fmt::format("{}", ball->radius) : none);
  const double rate = ball != nullptr ? ball->max_rate : std::get<FixedRate>(rule).rate;
  values.add("--rate", in_words(Rate{rate, decay}));
}

void add_method(const NaturalMethod& method, Values& values) {
  const NaturalGradient::Options& natural = method.optimizer;
  values.add("--optimizer", "natural");
  values.add("--fisher", to_string(method.fisher));
  values.add("--fisher-draws", method.fisher == FisherKind::sampled ? method.draws : 0);
  values.add("--form", to_string(natural.form));
  add_rule(natural.step, natural.schedule.decay, values);
  const bool limited = std::isfinite(natural.max_norm);
  values.add("--max-norm", limited ? fmt::format("{}", natural.max_norm) : none);
  values.add("--refinement", natural.refinement);
  values.add("--damping", in_words(natural.damping));
  values.add("--momentum", decay_of<HeavyBall>(natural.momentum));
  values.add("--spring", decay_of<Spring>(natural.momentum));
  values.add("--weight-decay", natural.weight_decay);
}

void add_method(const FirstOrder::Options& plain, Values& values) {
  const auto* sgd = std::get_if<Sgd>(&plain.rule);
  values.add("--optimizer", sgd != nullptr ? "sgd" : "adam");
  values.add("--rate", plain.rate);
  if (sgd != nullptr) values.add("--momentum", sgd->momentum);
  values.add("--weight-decay", plain.weight_decay);
}

std::string value_of(const std::string& name, const std::vector<NamedValue>& values) {
  const auto found = std::ranges::find(values, name, &NamedValue::first);
  return found == values.end() ? none : found->second;
}

}  // namespace

std::vector<NamedValue> run_values(const Options& options) {
  Values values;
  values.add("TASK", options.task == Task::digits ? "digits" : "mnist");
  values.add("--split", options.split);
  values.add("--hidden",
             options.hidden.empty() ? none : fmt::format("{}", fmt::join(options.hidden, ",")));
  values.add("--activation", options.hidden.empty() ? none : to_string(options.activation));
  values.add("--batch", options.batch);
  values.add("--seed", options.seed);
  values.add("--precision", options.precision == ElementType::float32 ? "float" : "double");
  if (options.allow_tf32) values.add("--allow-tf32", "on");
  std::visit([&](const auto& method) { add_method(method, values); }, options.method);
  return values.take();
}

void require_same_run(const std::string& file, const std::vector<NamedValue>& saved,
                      const std::vector<NamedValue>& given) {
  const auto compare = [&](const std::string& name) {
    const std::string before = value_of(name, saved);
    const std::string now = value_of(name, given);
    if (before == now) return;
    throw OptionError(fmt::format("{0} {1}: the run in {2} has {0} {3}", name, now, file, before));
  };
  for (const auto& [name, value] : given) compare(name);
  for (const auto& [name, value] : saved) compare(name);
}

}  // namespace natgrad::trainer
