#include "trainer/optimizers.hpp"

#include "io/checkpoint.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/scores.hpp"
#include "optimizer/first_order.hpp"

namespace natgrad::trainer {

namespace {

class Natural : public Optimizer {
 public:
  Natural(const Parameters& parameters, const NaturalGradient::Options& options)
      : scores_(parameters), optimizer_(parameters, options) {}

  void step(const FullyConnected& net, std::int64_t samples, Record& record) override {
    net.add_to(scores_, {.samples = samples});
    optimizer_.step(scores_);
    // Not `report`: this throws at the tenth failure in a row.
    const StepReport report = optimizer_.reports().back();
    record.damping = report.damping;
    record.rate = report.rate;
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
  LayerScores scores_;
  NaturalGradient optimizer_;
};

class Plain : public Optimizer {
 public:
  Plain(const Parameters& parameters, const FirstOrder::Options& options)
      : gradient_(parameters.context().array({parameters.size(), 1}, parameters.type())),
        rate_(options.rate),
        optimizer_(parameters, options) {}

  void step(const FullyConnected& net, std::int64_t, Record& record) override {
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

std::unique_ptr<Optimizer> make_optimizer(const Method& method, const Parameters& parameters) {
  if (const auto* natural = std::get_if<NaturalGradient::Options>(&method)) {
    return std::make_unique<Natural>(parameters, *natural);
  }
  return std::make_unique<Plain>(parameters, std::get<FirstOrder::Options>(method));
}

}  // namespace natgrad::trainer
