#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

// Models, and the scalars of a solve and a step.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

struct Size {
  std::int64_t rows, columns, padding;
};

constexpr Size sizes[] = {{0, 5, 0},   {1, 1, 0},  {1, 15, 3},   {13, 15, 0},
                          {13, 15, 3}, {13, 1, 3}, {401, 67, 0}, {401, 67, 5}};

constexpr Activation activations[] = {Activation::identity, Activation::tanh, Activation::relu,
                                      Activation::sigmoid, Activation::gelu};

template <class Body>
void for_sizes(TestDevice& device, const Body& body) {
  for (const Size& size : sizes) {
    SCOPED_TRACE(to_string(Shape{size.rows, size.columns}) + ", padding " +
                 std::to_string(size.padding));
    Trial trial(device, size.padding);
    body(trial, size);
  }
}

/// Random numbers made `factor` times as large, with some exact zeros.
void spread(Trial& trial, Operand operand, double factor) {
  std::vector<double> elements = trial.given(operand);
  for (double& element : elements) element *= factor;
  for (std::size_t i = 2; i < elements.size(); i += 7) elements[i] = 0;
  trial.set(operand, elements);
}

double activated(Activation activation, double z) {
  switch (activation) {
    case Activation::identity:
      return z;
    case Activation::tanh:
      return std::tanh(z);
    case Activation::relu:
      return z > 0 ? z : 0;
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::gelu:
      return z * std::erfc(-z / std::sqrt(2.0)) / 2;
  }
  return nan;
}

void add_activation_cases(OperationTable& table) {
  for (Activation activation : activations) {
    const std::string name = to_string(activation);
    table.add_types("bias_activation", name, [=](TestDevice& device, ElementType type) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand bias = trial.vector(size.columns, type, Use::input);
        const Operand z = trial.matrix(size.rows, size.columns, type, Use::both);
        const Operand a = trial.matrix(size.rows, size.columns, type, Use::output);
        spread(trial, z, 6);
        trial.run([&](Backend& backend, const Side& of) {
          backend.bias_activation(activation, of(bias), of(z), of(a));
        });
        trial.expect_rounded(z, 1);
        // An activation is promised within 4 ulp; gelu within 4 ulp of its argument, at most 7
        // here.
        if (activation == Activation::gelu)
          trial.expect_within(a, 4 * 8 * epsilon(type));
        else
          trial.expect_rounded(a, 5);
      });
    });
    table.add_types("bias_activation", name + "_in_place",
                    [=](TestDevice& device, ElementType type) {
                      for_sizes(device, [=](Trial& trial, const Size& size) {
                        const Operand bias = trial.vector(size.columns, type, Use::input);
                        const Operand z = trial.matrix(size.rows, size.columns, type, Use::both);
                        spread(trial, z, 6);
                        trial.run([&](Backend& backend, const Side& of) {
                          backend.bias_activation(activation, of(bias), of(z), of(z));
                        });
                        if (activation == Activation::gelu) {
                          trial.expect_within(z, 4 * 8 * epsilon(type));
                        } else {
                          trial.expect_rounded(z, 5);
                        }
                      });
                    });
    table.add_types("activation_backward", name, [=](TestDevice& device, ElementType type) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
        const Operand a = trial.matrix(size.rows, size.columns, type, Use::input);
        const Operand delta = trial.matrix(size.rows, size.columns, type, Use::both);
        spread(trial, z, 6);
        std::vector<double> outputs = trial.given(z);
        for (double& output : outputs) output = activated(activation, output);
        trial.set(a, outputs);
        // What the formula does not need is full of NaN.
        const Operand unused = activation == Activation::gelu ? a : z;
        trial.set(unused, std::vector<double>(outputs.size(), nan));
        trial.run([&](Backend& backend, const Side& of) {
          backend.activation_backward(activation, of(z), of(a), of(delta));
        });
        // Derivatives are at most 1.13 and within 4 ulp of 1; |delta| <= 1.
        trial.expect_within(delta, 6 * epsilon(type));
      });
    });
  }
}

std::vector<double> some_labels(std::int64_t rows, std::int64_t classes) {
  std::vector<double> labels;
  for (std::int64_t n = 0; n < rows; ++n) {
    labels.push_back(static_cast<double>((7 * n + 3) % classes));
  }
  return labels;
}

/// Of softmax for C classes: exp within 4 ulp, of an argument whose rounding counts at most once,
/// because x exp(-x) < 1; a sum of C; a quotient and a difference.
double softmax_bound(std::int64_t classes, ElementType type) {
  return (static_cast<double>(classes) + 10) * epsilon(type);
}

void add_categorical_cases(OperationTable& table) {
  table.add_types("categorical_score", "", [](TestDevice& device, ElementType type) {
    for (double factor : {1.0, 30.0, 1e4}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
        spread(trial, z, factor);
        const Operand labels =
            trial.vector(ElementType::int32, Use::input, some_labels(size.rows, size.columns));
        const Operand score = trial.matrix(size.rows, size.columns, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.categorical_score(of(z), of(labels), of(score));
        });
        trial.expect_within(score, softmax_bound(size.columns, type));
      });
    }
  });
  table.add_types(
      "categorical_score", "label_out_of_range", [](TestDevice& device, ElementType type) {
        Trial trial(device, 2);
        const Operand z = trial.matrix(6, 5, type, Use::input);
        const Operand labels =
            trial.vector(ElementType::int32, Use::input, {-1, 4, 5, 0, 2147483647, -2147483647});
        const Operand score = trial.matrix(6, 5, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.categorical_score(of(z), of(labels), of(score));
        });
        trial.expect_within(score, softmax_bound(5, type));
      });
  table.add_types("categorical_score", "not_finite", [](TestDevice& device, ElementType type) {
    for (double bad : {nan, infinity}) {
      Trial trial(device);
      const Operand z = trial.matrix(3, 5, type, Use::input);
      std::vector<double> outputs = trial.given(z);
      outputs[5 + 2] = bad;
      trial.set(z, outputs);
      const Operand labels = trial.vector(ElementType::int32, Use::input, {0, 1, 2});
      const Operand score = trial.matrix(3, 5, type, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.categorical_score(of(z), of(labels), of(score));
      });
      for (int i = 0; i < 15; ++i) {
        // At least where the bad output stands the row must say so; other rows are unharmed.
        if (i == 7) {
          EXPECT_TRUE(std::isnan(trial.actual(score)[i]));
        } else if (i / 5 != 1) {
          EXPECT_TRUE(
              within(trial.actual(score)[i], trial.expected(score)[i], softmax_bound(5, type)));
        }
      }
    }
  });

  table.add_types("categorical_score", "shared", [](TestDevice& device, ElementType type) {
    for_sizes(device, [=](Trial& trial, const Size& size) {
      const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
      const Operand labels =
          trial.vector(ElementType::int32, Use::input, some_labels(3 * size.rows, size.columns));
      const Operand score = trial.matrix(3 * size.rows, size.columns, type, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.categorical_score(of(z), of(labels), of(score));
      });
      trial.expect_within(score, softmax_bound(size.columns, type));
    });
  });

  table.add_types("categorical_log_likelihood", "", [](TestDevice& device, ElementType type) {
    for (double factor : {1.0, 30.0, 1e4}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
        spread(trial, z, factor);
        const Operand labels =
            trial.vector(ElementType::int32, Use::input, some_labels(size.rows, size.columns));
        const Operand log_p = trial.vector(size.rows, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.categorical_log_likelihood(of(z), of(labels), of(log_p));
        });
        // In double whatever the outputs' type; the logarithm of a sum errs as softmax does.
        const double largest = 2 * factor + std::log(static_cast<double>(size.columns));
        trial.expect_within(log_p,
                            softmax_bound(size.columns, float64) + sum_bound(4, float64, largest));
      });
    }
  });
  table.add_types(
      "categorical_log_likelihood", "not_finite", [](TestDevice& device, ElementType type) {
        Trial trial(device, 2);
        const Operand z = trial.matrix(7, 5, type, Use::input);
        std::vector<double> outputs = trial.given(z);
        outputs[5 * 6 + 2] = nan;
        trial.set(z, outputs);
        const Operand labels =
            trial.vector(ElementType::int32, Use::input, {-1, 4, 5, 0, 2147483647, -2147483647, 1});
        const Operand log_p = trial.vector(7, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.categorical_log_likelihood(of(z), of(labels), of(log_p));
        });
        trial.expect_within(log_p, softmax_bound(5, float64) + sum_bound(4, float64, 4));
        for (int n : {0, 2, 4, 5, 6}) EXPECT_TRUE(std::isnan(trial.actual(log_p)[n])) << n;
      });

  table.add_types("categorical_evaluate", "", [](TestDevice& device, ElementType type) {
    for (double factor : {1.0, 30.0, 1e4}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
        std::vector<double> outputs = trial.given(z);
        for (double& output : outputs) output *= factor;
        trial.set(z, outputs);
        const Operand labels =
            trial.vector(ElementType::int32, Use::input, some_labels(size.rows, size.columns));
        const Operand result = trial.vector(2, float64, Use::output);
        trial.run([&](Backend& backend, const Side& of) {
          backend.categorical_evaluate(of(z), of(labels), of(result));
        });
        // log softmax is at most 2 factor + log C; the logarithm of a sum errs as softmax does.
        const double largest = 2 * factor + std::log(static_cast<double>(size.columns));
        const double rows = static_cast<double>(size.rows);
        const double bound = rows * softmax_bound(size.columns, type) +
                             sum_bound(size.rows + 4, type, rows * largest);
        ASSERT_EQ(trial.actual(result)[1], trial.expected(result)[1]) << "correct rows";
        trial.expect_within(result, bound);
      });
    }
  });
}

/// The uniform numbers are the same bits, and the sums in double so close to the twin's that none
/// of these few thousand falls between the two.
void add_sampling_cases(OperationTable& table) {
  for (std::int64_t draws : {1, 3}) {
    table.add_types("sample_categorical", std::to_string(draws),
                    [=](TestDevice& device, ElementType type) {
                      // The last wraps: counters of more than 32 bits begin again.
                      for (double drawing : {0.0, 4294967295.0, 4294967296.0}) {
                        for_sizes(device, [=](Trial& trial, const Size& size) {
                          const Operand z = trial.matrix(size.rows, size.columns, type, Use::input);
                          spread(trial, z, drawing == 0 ? 1 : 30);
                          const Operand counter = trial.vector(float64, Use::both, {drawing});
                          const Operand labels =
                              trial.vector(draws * size.rows, ElementType::int32, Use::output);
                          trial.run([&](Backend& backend, const Side& of) {
                            backend.sample_categorical(of(z), 0x123456789abcdef0, draws,
                                                       of(counter), of(labels));
                          });
                          trial.expect_equal(labels);
                          trial.expect_equal(counter);
                        });
                      }
                    });
  }
  table.add_types("sample_categorical", "not_finite", [](TestDevice& device, ElementType type) {
    for (double bad : {nan, infinity, -infinity}) {
      Trial trial(device, 2);
      const Operand z = trial.matrix(3, 5, type, Use::input);
      std::vector<double> outputs = trial.given(z);
      outputs[5 + 2] = bad;
      trial.set(z, outputs);
      const Operand counter = trial.vector(float64, Use::both, {1});
      const Operand labels = trial.vector(6, ElementType::int32, Use::output);
      trial.run([&](Backend& backend, const Side& of) {
        backend.sample_categorical(of(z), 1, 2, of(counter), of(labels));
      });
      trial.expect_equal(labels);
      for (int i = 0; i < 6; ++i) EXPECT_EQ(trial.actual(labels)[i] == -1, i / 2 == 1);
    }
  });
}

}  // namespace

void add_model_cases(OperationTable& table) {
  add_activation_cases(table);
  add_sampling_cases(table);
  add_categorical_cases(table);
}

}  // namespace natgrad::tests
