#pragma once

#include "kernels/formulas/step.hpp"

namespace natgrad {

/// The quadratic model along the direction d and the last step p.
struct QuadraticModelScalars {
  double square_d;  // d^T d
  double square_dp;
  double square_p;
  double fisher_d;  // d^T F d
  double fisher_dp;
  double fisher_p;
  double slope_d;  // g^T d
  double slope_p;
  double theta_d;  // theta^T d, where there is a penalty
  double theta_p;
};

namespace formulas {

/// alpha and mu that minimize 1/2 s^T (F + (lambda + eta) I) s - (g - eta theta)^T s over
/// s = alpha d + mu p: the system of two equations. Along d alone where it is singular up to
/// rounding: p is zero, or parallel to d.
struct ChooseStepOfModel {
  const QuadraticModelScalars* model;
  double eta;
  SolveScalars* solve;
  TrialScalars* trial;

  NATGRAD_FORMULA void operator()() const {
    const QuadraticModelScalars& m = *model;
    const double a = m.fisher_d + solve->shift * m.square_d;
    const double b = m.fisher_dp + solve->shift * m.square_dp;
    const double c = m.fisher_p + solve->shift * m.square_p;
    const double e = m.slope_d - eta * m.theta_d;
    const double f = m.slope_p - eta * m.theta_p;
    const double determinant = a * c - b * b;
    // Of entries that are good to some units in the last place of sums of N terms.
    constexpr double singular = 1e-12;
    // A direction of 0 stays what it is, and NaN, too.
    double alpha = a == 0 ? 1 : e / a;
    double mu = 0;
    if (determinant > singular * a * c) {
      alpha = (c * e - b * f) / determinant;
      mu = (a * f - b * e) / determinant;
    }
    const double form =
        alpha * alpha * m.fisher_d + 2 * alpha * mu * m.fisher_dp + mu * mu * m.fisher_p;
    solve->quadratic_form = form < 0 ? 0 : form;
    trial->model_rate = alpha;
    trial->momentum = mu;
  }
};

}  // namespace formulas
}  // namespace natgrad
