#pragma once

#include "natgrad/array.hpp"

// What operations on spins take, on the host.

namespace natgrad {

/// A restricted Boltzmann machine over n spins with M hidden units, without symmetry: contiguous
/// arrays of one float type. log psi(s) = a.s + sum_j log cosh(theta_j), theta = b + W^T s.
struct BoltzmannMachine {
  ConstView weights;  // W (n, M)
  ConstView visible;  // a (n)
  ConstView bias;     // b (M)
};

/// Classes of configurations of n <= 30 spins that share an amplitude. Spin i of class c is +1
/// where bit i of its code is set.
struct SpinClassViews {
  ConstView codes;           // (C) int32
  ConstView multiplicities;  // (C) float64: configurations of a class
  ConstView neighbours;      // (C, n) int32: the class that turning spin i leads to; empty where
                             // C = 2^n and a code is its own number
};

}  // namespace natgrad
