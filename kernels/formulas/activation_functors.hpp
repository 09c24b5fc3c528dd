#pragma once

#include "kernels/formulas/activations.hpp"
#include "kernels/formulas/formula.hpp"
#include "natgrad/types.hpp"

// Activations as types, for loops and kernels that are templates over one. `derivative` takes the
// activation's input z and its output a, and reads what its formula needs.

namespace natgrad::formulas {

struct Identity {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return z;
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T) {
    return T{1};
  }
};

struct Tanh {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::tanh(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::tanh_derivative_from_output(a);
  }
};

struct Relu {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::relu(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::relu_derivative_from_output(a);
  }
};

struct Sigmoid {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::sigmoid(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T, T a) {
    return formulas::sigmoid_derivative_from_output(a);
  }
};

struct Gelu {
  template <class T>
  NATGRAD_FORMULA static T value(T z) {
    return formulas::gelu(z);
  }
  template <class T>
  NATGRAD_FORMULA static T derivative(T z, T) {
    return formulas::gelu_derivative_from_input(z);
  }
};

/// Calls body with the type that `activation` names.
template <class Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::identity:
      return body(Identity{});
    case Activation::tanh:
      return body(Tanh{});
    case Activation::relu:
      return body(Relu{});
    case Activation::sigmoid:
      return body(Sigmoid{});
    case Activation::gelu:
      return body(Gelu{});
  }
}

}  // namespace natgrad::formulas
