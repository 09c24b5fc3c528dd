#include "backend/model_sizes.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

// Activations.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

constexpr Activation activations[] = {Activation::identity, Activation::tanh, Activation::relu,
                                      Activation::sigmoid, Activation::gelu};

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

}  // namespace

void add_model_cases(OperationTable& table) { add_activation_cases(table); }

}  // namespace natgrad::tests
