#include "trainer/optimizers.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/scores.hpp"
#include "optimizer/first_order.hpp"

#include <deque>
#include <vector>

namespace natgrad::trainer {

namespace {

class Natural : public Optimizer {
 public:
  Natural(const Parameters& parameters, const NaturalMethod& method)
      : method_(method),
        data_(parameters),
        sampled_(parameters, {.kind = FisherKind::sampled}),
        optimizer_(parameters, method.optimizer) {}

  void step(FullyConnected& net, std::int64_t samples) override {
    net.add_to(data_, {.samples = samples});
    if (method_.fisher == FisherKind::sampled) {
      net.sample(method_.draws);
      net.add_sampled_to(sampled_, {.samples = samples * method_.draws});
      // Rows, not numbers: as cheap, and without an array of P.
      optimizer_.step({.fisher = sampled_, .gradient = data_});
    } else {
      optimizer_.step(data_);
    }
  }
  void report(Record& record) override {
    if (reports_.empty()) fetch();
    const StepReport report = reports_.front();
    reports_.pop_front();
    if (report.failures_in_a_row >= most_failures) throw_failed(report);
    record.damping = report.damping;
    record.rate = report.rate;
    record.predicted_kl = report.predicted_kl;
    record.quadratic_form = report.quadratic_form;
    record.residual = report.residual;
    record.error_bound = report.error_bound;
    record.outcome = report.outcome;
  }
  void save(const std::string& path, const Blobs& blobs) override {
    natgrad::save(path, optimizer_, blobs);
  }
  void restore(const Checkpoint& file) override { file.restore(optimizer_); }

 private:
  static constexpr std::int64_t most_failures = 10;  // as of the library

  [[noreturn]] static void throw_failed(const StepReport& report) {
    throw StepFailed(detail::message("step ", report.step, ": ", report.failures_in_a_row,
                                     " attempts in a row have failed, the last as ",
                                     to_string(report.outcome),
                                     "; the parameters are those of before them"));
  }

  void fetch() {
    const auto append = [&] {
      const std::vector<StepReport> reports = optimizer_.reports();
      reports_.insert(reports_.end(), reports.begin(), reports.end());
    };
    try {
      append();
    } catch (const StepFailed&) {
      // It speaks of the newest step. `report` throws when it comes to the one that it was too many
      // with, and the steps before are still to be reported: a second call hands them out.
      append();
    }
  }

  NaturalMethod method_;
  LayerScores data_;
  LayerScores sampled_;
  NaturalGradient optimizer_;
  std::deque<StepReport> reports_;  // of steps that have run, oldest first
};

class Plain : public Optimizer {
 public:
  Plain(const Parameters& parameters, const FirstOrder::Options& options)
      : gradient_(parameters.context().array({parameters.size(), 1}, parameters.type())),
        rate_(options.rate),
        optimizer_(parameters, options) {}

  void step(FullyConnected& net, std::int64_t) override {
    net.gradient(gradient_);
    optimizer_.step(gradient_);
  }
  void report(Record& record) override { record.rate = rate_; }
  void save(const std::string& path, const Blobs& blobs) override {
    natgrad::save(path, optimizer_, blobs);
  }
  void restore(const Checkpoint& file) override { file.restore(optimizer_); }

 private:
  Array gradient_;  // (P)
  double rate_;
  FirstOrder optimizer_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const Method& method, const Parameters& parameters,
                                          std::int64_t steps) {
  if (const auto* given = std::get_if<NaturalMethod>(&method)) {
    NaturalMethod natural = *given;
    natural.optimizer.schedule.steps = steps;
    return std::make_unique<Natural>(parameters, natural);
  }
  return std::make_unique<Plain>(parameters, std::get<FirstOrder::Options>(method));
}

}  // namespace natgrad::trainer
