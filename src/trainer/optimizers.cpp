#include "trainer/optimizers.hpp"

#include "io/checkpoint.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/scores.hpp"
#include "optimizer/first_order.hpp"

namespace natgrad::trainer {

namespace {

class Natural : public Optimizer {
 public:
  Natural(const Parameters& parameters, const NaturalMethod& method)
      : method_(method),
        data_(parameters),
        sampled_(parameters, {.kind = Kind::sampled}),
        optimizer_(parameters, method.optimizer) {}

  void step(FullyConnected& net, std::int64_t samples, Record& record) override {
    net.add_to(data_, {.samples = samples});
    if (method_.fisher == Kind::sampled) {
      net.sample(method_.draws);
      net.add_sampled_to(sampled_, {.samples = samples * method_.draws});
      // Rows, not numbers: as cheap, and without an array of P.
      optimizer_.step({.fisher = sampled_, .gradient = data_});
    } else {
      optimizer_.step(data_);
    }
    // Not `report`: this throws at the tenth failure in a row.
    const StepReport report = optimizer_.reports().back();
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
  void restore(const io::CheckpointFile& file) override { io::restore(file, optimizer_); }

 private:
  NaturalMethod method_;
  LayerScores data_;
  LayerScores sampled_;
  NaturalGradient optimizer_;
};

class Plain : public Optimizer {
 public:
  Plain(const Parameters& parameters, const FirstOrder::Options& options)
      : gradient_(parameters.context().array({parameters.size(), 1}, parameters.type())),
        rate_(options.rate),
        optimizer_(parameters, options) {}

  void step(FullyConnected& net, std::int64_t, Record& record) override {
    net.gradient(gradient_);
    optimizer_.step(gradient_);
    record.rate = rate_;
  }
  void save(const std::string& path, const Blobs& blobs) override {
    io::save(path, optimizer_, blobs);
  }
  void restore(const io::CheckpointFile& file) override { io::restore(file, optimizer_); }

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
