#include "natgrad/natgrad.hpp"
#include "support/bad_call.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

// Every way to break a contract of the public interface: one clear error each, nothing changed.
// Here: nets.

namespace natgrad::tests {

namespace {

using W = Workplace;

FullyConnected net_of(std::vector<std::int64_t> sizes, ElementType type = ElementType::float32) {
  return FullyConnected(Context::cpu(), {.sizes = std::move(sizes), .type = type});
}

TEST(contracts, models) {
  expect_errors({
      bad<OptionError>("one size", ".sizes has 1 entries", [](W&) { net_of({3}); }),
      bad<OptionError>("a layer without units", ".sizes has 0, must be > 0",
                       [](W&) {
                         net_of({3, 0, 2});
                       }),
      bad<OptionError>(
          "an activation that is none", ".activation = 99, must be",
          [](W&) {
            FullyConnected(Context::cpu(), {.sizes = {3, 2}, .activation = Activation{99}});
          }),
      bad<OptionError>("a type that is none", ".type = unknown, must be",
                       [](W&) {
                         net_of({3, 2}, ElementType{77});
                       }),
      bad<OptionError>(
          "a likelihood that is none", ".likelihood = 99, must be one of its 5",
          [](W&) {
            FullyConnected(Context::cpu(), {.sizes = {3, 2}, .likelihood = Likelihood{99}});
          }),
      bad<OptionError>("half a target", ".sizes ends with 3 outputs, must be 2 for each target",
                       [](W&) {
                         FullyConnected(Context::cpu(), {.sizes = {3, 3},
                                                         .likelihood = Likelihood::gaussian_scale});
                       }),
      bad<OptionError>("a sigma of 0", ".sigma = 0, must be finite and > 0",
                       [](W&) {
                         FullyConnected(Context::cpu(), {.sizes = {3, 2}, .sigma = 0});
                       }),
      bad<OptionError>("a sigma without bounds", ".sigma = inf, must be finite and > 0",
                       [](W&) {
                         FullyConnected(
                             Context::cpu(),
                             {.sizes = {3, 2}, .sigma = std::numeric_limits<double>::infinity()});
                       }),
      bad<MemoryError>("a net beyond counting", ".sizes, samples and draws make more bytes",
                       [](W&) {
                         net_of({std::int64_t{1} << 40, std::int64_t{1} << 40});
                       }),
      bad<MemoryError>("a net beyond memory", "weights of .sizes are 4611686018427387908 bytes",
                       [](W&) {
                         net_of({std::int64_t{1} << 60, 1});
                       }),
      bad<OptionError>("an integer net", ".type = int32",
                       [](W&) {
                         net_of({3, 2}, ElementType::int32);
                       }),
      bad<ArgumentError>("no inputs", "inputs is missing", [](W& w) { w.net.forward(View()); }),
      bad<ShapeError>("inputs without rows", "no rows",
                      [](W& w) { w.net.forward(w.floats(0, 3)); }),
      bad<ShapeError>("narrow inputs", "inputs is 6 x 2, expected 6 x 3",
                      [](W& w) { w.net.forward(w.floats(6, 2)); }),
      bad<TypeError>("inputs of another type", "inputs is float64, expected float32",
                     [](W& w) { w.net.forward(w.float64s(6, 3)); }),
      bad<DeviceError>("inputs elsewhere", "inputs is 6 x 3 float32 on cuda",
                       [](W& w) { w.net.forward(W::elsewhere(6, 3)); }),
      bad<ArgumentError>("outputs too early", "outputs: call forward first",
                         [](W&) {
                           net_of({3, 2}).outputs();
                         }),
      bad<ArgumentError>("backward too early", "backward: call forward first",
                         [](W& w) {
                           net_of({3, 2}).backward(w.labels(6));
                         }),
      bad<ArgumentError>("evaluate too early", "evaluate: call forward first",
                         [](W& w) {
                           net_of({3, 2}).evaluate(w.labels(6));
                         }),
      bad<ShapeError>("too few labels", "targets is 5 x 1, expected 6 x 1",
                      [](W& w) { w.net.backward(w.labels(5)); }),
      bad<TypeError>("labels that are no integers", "targets is float32, expected int32",
                     [](W& w) { w.net.evaluate(w.floats(6)); }),
      bad<ArgumentError>("log likelihood too early", "log_likelihood: call forward first",
                         [](W& w) {
                           net_of({3, 2}).log_likelihood(w.labels(6), w.float64s(6));
                         }),
      bad<ShapeError>("log likelihood of fewer labels", "log_likelihood: targets is 5 x 1",
                      [](W& w) { w.net.log_likelihood(w.labels(5), w.float64s(6)); }),
      bad<ShapeError>("log likelihood of fewer rows", "log_p is 5 x 1, expected 6 x 1",
                      [](W& w) { w.net.log_likelihood(w.labels(6), w.float64s(5)); }),
      bad<TypeError>("log likelihood in float", "log_p is float32, expected float64",
                     [](W& w) { w.net.log_likelihood(w.labels(6), w.floats(6)); }),
      bad<DeviceError>("log likelihood elsewhere", "log_p is 6 x 1 float32 on cuda",
                       [](W& w) { w.net.log_likelihood(w.labels(6), W::elsewhere(6)); }),
      bad<ArgumentError>(
          "log likelihood over a weight", "overlaps a weight",
          [](W& w) {
            void* weight = w.net.parameters().tensor({0}).data();
            w.net.log_likelihood(w.labels(6), {weight, ElementType::float64, {6, 1}});
          }),
      bad<ShapeError>("gradient of another size", "gradient is 3 x 1",
                      [](W& w) { w.net.gradient(w.floats(3)); }),
      bad<ArgumentError>("gradient too early", "call forward and backward first",
                         [](W& w) {
                           net_of({3, 2}).gradient(w.floats(8));
                         }),
      bad<ArgumentError>("scores too early", "call forward and backward first",
                         [](W& w) {
                           net_of({3, 2}).add_to(w.net_scores, {.samples = 6});
                         }),
      bad<ShapeError>("a set of another size", "5 samples, the last forward 6 rows",
                      [](W& w) { w.net.add_to(w.net_scores, {.samples = 5}); }),
      bad<ArgumentError>("a gradient over a weight", "overlaps a weight",
                         [](W& w) {
                           const Parameters& parameters = w.net.parameters();
                           w.net.gradient({parameters.tensor({0}).data(),
                                           parameters.type(),
                                           {parameters.size(), 1}});
                         }),
      bad<ArgumentError>("scores of other parameters", "other parameters",
                         [](W& w) { w.net.add_to(w.scores, {.samples = 6}); }),
  });
}

TEST(contracts, labels_drawn_from_a_model) {
  constexpr std::int64_t many = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t beyond = (std::int64_t{1} << 53) + 1;
  const auto sampled = [](const Parameters& parameters) {
    return LayerScores(parameters, {.kind = FisherKind::sampled});
  };
  expect_errors({
      bad<ArgumentError>("sample too early", "sample: call forward first",
                         [](W&) {
                           net_of({3, 2}).sample();
                         }),
      bad<ArgumentError>("labels before they are drawn",
                         "sampled_targets: call forward and sample first",
                         [](W& w) { w.net.sampled_targets(); }),
      bad<ArgumentError>("sampled scores too early",
                         "add_sampled_to: call forward and sample first",
                         [&](W& w) {
                           LayerScores scores = sampled(w.net.parameters());
                           w.net.add_sampled_to(scores, {.samples = 6});
                         }),
      bad<OptionError>("no draws", "sample: draws = 0, must be > 0", [](W& w) { w.net.sample(0); }),
      bad<OptionError>("negative draws", "sample: draws = -2, must be > 0",
                       [](W& w) { w.net.sample(-2); }),
      bad<OptionError>("draws beyond counting", "6 times it be counted in 64 bits",
                       [](W& w) { w.net.sample(many); }),
      bad<MemoryError>("draws beyond bytes", "draws make more bytes than an address can count",
                       [](W& w) { w.net.sample(many / 6); }),
      bad<ArgumentError>("scores of another kind",
                         "add_sampled_to: the scores are empirical, must be of FisherKind::sampled",
                         [](W& w) {
                           w.net.sample();
                           w.net.add_sampled_to(w.net_scores, {.samples = 6});
                         }),
      bad<ArgumentError>("sampled scores of other parameters",
                         "add_sampled_to: the scores are of other parameters",
                         [&](W& w) {
                           w.net.sample();
                           LayerScores scores = sampled(w.batch.parameters);
                           w.net.add_sampled_to(scores, {.samples = 6});
                         }),
      bad<ShapeError>("samples without their draws",
                      "the set has 6 samples, the last forward 6 rows of 2 draws",
                      [&](W& w) {
                        w.net.sample(2);
                        LayerScores scores = sampled(w.net.parameters());
                        w.net.add_sampled_to(scores, {.samples = 6});
                      }),
      bad<ArgumentError>("labels drawn of the forward before",
                         "sampled_targets: call forward and sample first",
                         [](W& w) {
                           FullyConnected net = net_of({3, 2});
                           net.forward(w.floats(6, 3));
                           net.sample();
                           net.forward(w.floats(6, 3));
                           net.sampled_targets();
                         }),
      bad<OptionError>("a negative counter", "set_draw_counter: -1, must be >= 0 and <= 2^53",
                       [](W& w) { w.net.set_draw_counter(-1); }),
      bad<OptionError>("a counter that double cannot count",
                       "set_draw_counter: 9007199254740993, must be",
                       [](W& w) { w.net.set_draw_counter(beyond); }),
      bad<OptionError>("bytes of negative samples", "bytes of -1 samples and 0 draws, must be >= 0",
                       [](W& w) { FullyConnected::bytes(w.net.options(), -1); }),
      bad<OptionError>("bytes of negative draws", "bytes of 6 samples and -1 draws",
                       [](W& w) { FullyConnected::bytes(w.net.options(), 6, -1); }),
      bad<OptionError>("bytes of no net", ".sizes has 0 entries",
                       [](W&) { FullyConnected::bytes({}, 6); }),
      bad<MemoryError>("bytes of too many samples", "more bytes than an address can count",
                       [](W& w) { FullyConnected::bytes(w.net.options(), many); }),
      bad<MemoryError>("bytes of too many draws", "more bytes than an address can count",
                       [](W& w) { FullyConnected::bytes(w.net.options(), 6, many); }),
  });
}

TEST(contracts, exact_rows_of_a_model) {
  const auto exact = [](const Parameters& parameters) {
    return LayerScores(parameters, {.kind = FisherKind::exact});
  };
  const auto add = [=](W& w, const RowSet& set) {
    w.net.compute_exact(w.labels(6));
    LayerScores scores = exact(w.net.parameters());
    w.net.add_exact_to(scores, set);
  };
  expect_errors({
      bad<ArgumentError>("exact rows too early", "compute_exact: call forward first",
                         [](W& w) {
                           net_of({3, 2}).compute_exact(w.labels(6));
                         }),
      bad<ShapeError>("exact rows at too few targets", "compute_exact: targets is 5 x 1",
                      [](W& w) { w.net.compute_exact(w.labels(5)); }),
      bad<ArgumentError>("exact scores too early",
                         "add_exact_to: call forward and compute_exact first",
                         [=](W& w) {
                           LayerScores scores = exact(w.net.parameters());
                           w.net.add_exact_to(scores, {.samples = 6});
                         }),
      bad<ArgumentError>("exact scores of another kind",
                         "add_exact_to: the scores are empirical, must be of FisherKind::exact",
                         [](W& w) {
                           w.net.compute_exact(w.labels(6));
                           w.net.add_exact_to(w.net_scores, {.samples = 6});
                         }),
      bad<ArgumentError>("exact scores of other parameters", "are of other parameters",
                         [=](W& w) {
                           w.net.compute_exact(w.labels(6));
                           LayerScores scores = exact(w.batch.parameters);
                           w.net.add_exact_to(scores, {.samples = 6});
                         }),
      bad<ShapeError>("exact scores of another size", "the set has 12 samples, the last forward 6",
                      [=](W& w) { add(w, {.samples = 12}); }),
      bad<OptionError>("exact scores of a smaller whole", ".batch_samples = 5, must be at least",
                       [=](W& w) { add(w, {.samples = 6, .batch_samples = 5}); }),
      bad<OptionError>(
          "centred exact rows", "add_exact_to: .centering must be none",
          [=](W& w) {
            add(w, {.samples = 6, .coefficients = w.floats(6), .centering = Centering::rows});
          }),
      bad<OptionError>("exact rows centred for F", "add_exact_to: .centering must be none",
                       [=](W& w) { add(w, {.samples = 6, .centering = Centering::fisher_only}); }),
      bad<OptionError>("exact rows of a loss", "add_exact_to: .scale = -6, must be 1",
                       [=](W& w) { add(w, {.samples = 6, .scale = -6}); }),
      bad<OptionError>("a weight of exact rows below 0", ".weight = -1, must be finite and > 0",
                       [=](W& w) { add(w, {.samples = 6, .weight = -1}); }),
      bad<OptionError>("two kinds of weights of exact rows",
                       ".weight is of all rows; give it or .weights, not both",
                       [=](W& w) { add(w, {.samples = 6, .weights = w.floats(6), .weight = 1}); }),
      bad<ShapeError>("weights of rows", "add_exact_to: weights is 12 x 1, expected 6 x 1",
                      [=](W& w) { add(w, {.samples = 6, .weights = w.floats(12)}); }),
      bad<ShapeError>("coefficients of rows", "add_exact_to: coefficients is 5 x 1, expected 6 x 1",
                      [=](W& w) { add(w, {.samples = 6, .coefficients = w.floats(5)}); }),
  });
}

TEST(contracts, loss_and_divergence_of_a_model) {
  expect_errors({
      bad<ArgumentError>("a loss too early", "loss_to: call forward first",
                         [](W& w) {
                           net_of({3, 2}).loss_to(w.labels(6), w.float64s(1));
                         }),
      bad<ShapeError>("a loss of many numbers", "loss_to: loss is 2 x 1, expected 1 x 1",
                      [](W& w) { w.net.loss_to(w.labels(6), w.float64s(2)); }),
      bad<TypeError>("a loss in float", "loss_to: loss is float32, expected float64",
                     [](W& w) { w.net.loss_to(w.labels(6), w.floats(1)); }),
      bad<TypeError>("weights in float", "loss_to: weights is float32, expected float64",
                     [](W& w) { w.net.loss_to(w.labels(6), w.float64s(1), w.floats(6)); }),
      bad<ArgumentError>("outputs kept too early", "keep_outputs: call forward first",
                         [](W&) {
                           net_of({3, 2}).keep_outputs();
                         }),
      bad<ArgumentError>("a divergence too early", "kl_to: call forward and keep_outputs first",
                         [](W& w) { w.net.kl_to(w.float64s(1)); }),
      bad<ShapeError>("a divergence of other rows",
                      "kl_to: keep_outputs kept 6 rows, the last forward has 4",
                      [](W& w) {
                        FullyConnected net = net_of({3, 2});
                        net.forward(w.floats(6, 3));
                        net.keep_outputs();
                        net.forward(w.floats(4, 3));
                        net.kl_to(w.float64s(1));
                      }),
      bad<ShapeError>("a divergence of many numbers", "kl_to: kl is 2 x 1, expected 1 x 1",
                      [](W& w) {
                        w.net.keep_outputs();
                        w.net.kl_to(w.float64s(2));
                      }),
      bad<ShapeError>("weights of other rows", "kl_to: weights is 5 x 1, expected 6 x 1",
                      [](W& w) {
                        w.net.keep_outputs();
                        w.net.kl_to(w.float64s(1), w.float64s(5));
                      }),
  });
}

}  // namespace

}  // namespace natgrad::tests
