#pragma once

#include "natgrad/natgrad.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"
#include "support/plain.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace natgrad::tests {

/// Targets (N, K) of a likelihood, of the type that it takes beside double outputs.
class Targets {
 public:
  Targets() = default;
  Targets(Likelihood likelihood, const Table& values)
      : integers_(likelihood == Likelihood::categorical) {
    if (integers_) {
      for (double value : values.elements) labels_.push_back(static_cast<std::int32_t>(value));
    } else {
      numbers_ = Tensor<double>(values);
    }
  }
  View view() {
    if (!integers_) return numbers_.view();
    return shared_view(labels_, {static_cast<std::int64_t>(labels_.size()), 1});
  }

 private:
  bool integers_ = false;
  SharedVector<std::int32_t> labels_;
  Tensor<double> numbers_;
};

/// A double net of some likelihood at random parameters, biases included, with random inputs and
/// targets that were drawn from it at other parameters.
struct LikelihoodNet {
  FullyConnected net;
  std::size_t samples;
  Tensor<double> inputs;
  Targets targets;

  LikelihoodNet(const FullyConnected::Options& options, std::size_t samples_wanted,
                std::uint64_t seed = 7)
      : net(test_context(), options), samples(samples_wanted) {
    Random random(seed);
    inputs = Tensor<double>(random.table(samples, static_cast<std::size_t>(options.sizes.front())));
    set_theta(random.numbers(size()));
    net.forward(inputs.view());
    net.sample();
    targets = Targets(options.likelihood, sampled());
    set_theta(random.numbers(size()));
    net.forward(inputs.view());
  }

  std::size_t size() const { return static_cast<std::size_t>(net.parameters().size()); }
  std::int64_t rows() const { return static_cast<std::int64_t>(samples); }
  std::size_t outputs() const { return static_cast<std::size_t>(net.options().sizes.back()); }

  Numbers theta() const {
    Tensor<double> values = zeros<double>(net.parameters().size());
    net.parameters().gather(values.view());
    return values.numbers();
  }
  void set_theta(const Numbers& values) const {
    Tensor<double> theta(values);
    net.parameters().scatter(theta.view());
    synchronize_device();
  }
  Table z() const {
    Table z(samples, outputs());
    z.elements = host_copy<double>(net.parameters().context(), net.outputs());
    return z;
  }
  Table sampled() const {
    const ConstView drawn = net.sampled_targets();
    const Context& context = net.parameters().context();
    Table values(static_cast<std::size_t>(drawn.rows()), static_cast<std::size_t>(drawn.columns()));
    if (drawn.type() == ElementType::int32) {
      const auto labels = host_copy<std::int32_t>(context, drawn);
      values.elements.assign(labels.begin(), labels.end());
    } else {
      values.elements = host_copy<double>(context, drawn);
    }
    return values;
  }

  /// The rows at these targets, each sample with its weight, or 1 / N.
  LayerScores scores_at(Targets& at, const ConstView& weights = {}) {
    net.backward(at.view());
    LayerScores scores(net.parameters());
    net.add_to(scores, {.samples = rows(), .weights = weights});
    return scores;
  }
  LayerScores exact(RowSet set = {}) {
    net.compute_exact(targets.view());
    LayerScores scores(net.parameters(), {.kind = FisherKind::exact});
    set.samples = rows();
    net.add_exact_to(scores, set);
    return scores;
  }
  double kl() const {
    Tensor<double> kl = zeros<double>(1);
    net.kl_to(kl.view());
    return kl(0);
  }
};

inline Numbers gradient_of(const Scores& scores) {
  Tensor<double> gradient = zeros<double>(scores.parameters().size());
  scores.gradient(gradient.view());
  return gradient.numbers();
}

/// F of some rows, (P, P).
inline Table dense_fisher(const Scores& scores) {
  FisherMatrix fisher(scores.parameters(), {.form = Form::primal});
  fisher.accumulate(scores);
  const auto size = static_cast<std::size_t>(fisher.size());
  Tensor<double> matrix(Table(size, size));
  fisher.to_dense(matrix.view());
  return matrix.table();
}

/// The largest eigenvalue of a matrix that is positive semi-definite, from below.
inline double largest_eigenvalue(const Table& F) {
  Numbers v(F.rows, 1.0);
  double value = 0;
  for (int i = 0; i < 50; ++i) {
    const Numbers Fv = multiply(F, v);
    value = std::sqrt(dot(Fv, Fv) / dot(v, v));
    v = Fv;
    for (double& element : v) element /= value;
  }
  return value;
}

}  // namespace natgrad::tests
