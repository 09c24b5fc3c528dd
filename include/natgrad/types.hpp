#pragma once

#include "natgrad/export.hpp"

#include <cstdint>

#ifndef __cpp_concepts
#error "natgrad needs C++20; nvcc: -std=c++20"
#endif

namespace natgrad {

/// An enumerator and its name, a row of the tables below.
template <class Enum>
struct EnumeratorName {
  Enum value;
  const char* name;
};

/// The type of a view's elements, known at run time as in DLPack.
enum class ElementType : std::uint8_t { int32, float32, float64 };

/// The kinds of device that a context can be on.
enum class DeviceKind : std::uint8_t { cpu, cuda };

/// The device where memory is and work runs.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  ///< counts the devices of one kind, from 0
  friend bool operator==(const Device&, const Device&) = default;
};

/// What the rows of a batch are, and with it what F = S^T S means (Kunstner, Balles, Hennig 2019).
enum class FisherKind : std::uint8_t {
  empirical,  ///< scores at the labels of the data: F is the empirical Fisher matrix, which is not
              ///< an estimate of the Fisher matrix, and d^T F d not a KL divergence
  sampled,  ///< scores at labels, actions or states drawn from the model: F is an unbiased estimate
            ///< of the Fisher matrix
  exact,    ///< rows whose S^T S is the Fisher matrix itself
  residual,  ///< the Jacobian of residuals: F is the Gauss-Newton matrix
};

/// Which of two equal systems a damped solve factorizes, for N rows and P parameters: F + lambda I
/// in parameter space, P x P (primal), or S S^T + lambda I in sample space, N x N (dual,
/// push-through).
enum class Form : std::uint8_t { automatic, primal, dual };

/// Which part of the Fisher matrix a solve takes for the whole.
enum class Structure : std::uint8_t {
  full,            ///< all of it
  block_diagonal,  ///< its blocks of parameter groups, each exact; products between groups are left
                   ///< out
  diagonal,        ///< its diagonal
};

/// Every structure, in the order of their values: names in messages, the values of the option
/// --structure and the check of enumerators follow from it.
inline constexpr EnumeratorName<Structure> structure_table[] = {
    {Structure::full, "full"},
    {Structure::block_diagonal, "block_diagonal"},
    {Structure::diagonal, "diagonal"},
};

/// The unit that damping is counted in: D of the damped matrix F + lambda D.
enum class DampingScaling : std::uint8_t {
  identity,  ///< D = I: lambda is in the units of F
  /// D is the mean of the diagonal of F over each tensor, trace(F_t) / P_t: a direction that does
  /// not depend on the unit of any tensor
  tensor,
  /// D = diag(F) (Marquardt 1963): a direction that does not depend on the unit of any parameter
  diagonal,
};

/// Every scaling, in the order of their values: names in messages, the values of the option
/// --damping-scaling and the check of enumerators follow from it.
inline constexpr EnumeratorName<DampingScaling> damping_scaling_table[] = {
    {DampingScaling::identity, "identity"},
    {DampingScaling::tensor, "tensor"},
    {DampingScaling::diagonal, "diagonal"},
};

/// How a step or a solve ended. On every outcome but `accepted`, parameters and momentum are
/// exactly as before.
enum class Outcome : std::uint8_t {
  accepted,
  rejected,    ///< a step rule or damping found the loss or KL of every trial too large
  not_finite,  ///< NaN or Inf in rows, coefficients, parameters, or what became of them
  /// the damped matrix is numerically singular: a pivot of its Cholesky factorization is not
  /// positive or at the level of rounding, or the solution leaves a large residual
  not_positive_definite,
};

/// Where a step that ended as `not_finite` met NaN or Inf, as far as its own numbers tell;
/// `StepFailed` names the element.
enum class NotFinite : std::uint8_t {
  nothing,       ///< the step ended otherwise
  rows,          ///< in the matrix: rows or weights, or products of them that overflow
  coefficients,  ///< in S^T r of finite rows: coefficients, or with `.l2` the parameters
  gradient,      ///< in the gradient that was given, or with `.l2` the parameters
  solution,      ///< in what became of finite numbers: the solution overflows
  parameters,    ///< in the new parameters: the old ones, or a step that overflows their type
  loss,          ///< in the loss before the step that `Batch::loss` measured
};

/// Functions between the layers of a net; gelu is x Phi(x), Phi the normal distribution function.
enum class Activation : std::uint8_t { identity, tanh, relu, sigmoid, gelu };

/// Exact solutions u(x) of Poisson's equation on the unit cube of d dimensions.
enum class PoissonSolution : std::uint8_t {
  sin,     ///< the product of sin(pi x_i): 0 on the faces
  cos,     ///< the sum of cos(pi x_i)
  square,  ///< |x|^2
};

/// Every solution, in the order of their values.
inline constexpr EnumeratorName<PoissonSolution> poisson_solution_table[] = {
    {PoissonSolution::sin, "sin"},
    {PoissonSolution::cos, "cos"},
    {PoissonSolution::square, "square"},
};

/// The distribution p(y | z) of a model's K targets y given its C outputs z. Each target has one
/// output (K = C), but for `categorical` (K = 1) and `gaussian_scale` (C = 2 K); given z, targets
/// are independent.
enum class Likelihood : std::uint8_t {
  categorical,  ///< one label in [0, C), int32: p(y) = softmax(z)_y
  /// p(1) = 1 / (1 + exp(-z)); targets in [0, 1], which count as y ones and 1 - y zeros
  bernoulli,
  gaussian,  ///< mean z and a fixed standard deviation sigma; any finite targets
  /// Means z_1 ... z_K and log standard deviations z_{K+1} ... z_{2K}; any finite targets. Scores
  /// hold exp(-2 log sigma), which is a normal number for |log sigma| <= 43 in float and <= 354 in
  /// double. Where a variance collapses beyond, the outcome of a step is `not_finite` and the
  /// parameters stay; where it grows beyond, the mean's score becomes 0.
  gaussian_scale,
  /// Counts y = 0, 1, 2, ... of rate exp(z). Where z is so large that the rate overflows (z > 88 in
  /// float, 709 in double), the outcome of the step is `not_finite`.
  poisson,
};

/// Every likelihood, in the order of their values.
inline constexpr EnumeratorName<Likelihood> likelihood_names[] = {
    {Likelihood::categorical, "categorical"}, {Likelihood::bernoulli, "bernoulli"},
    {Likelihood::gaussian, "gaussian"},       {Likelihood::gaussian_scale, "gaussian_scale"},
    {Likelihood::poisson, "poisson"},
};

/// A family of densities p(x | theta) without inputs, with the parameters that it is written in;
/// their tensors are named in quotes, in their order. Where theta lies outside of the domain that
/// is stated, log p and scores are NaN. D: numbers of a sample, K: components.
enum class DensityFamily : std::uint8_t {
  gaussian_scale,      ///< N(mean, scale^2), D = 1: "mean", "scale" > 0
  gaussian_log_scale,  ///< N(mean, exp(log_scale)^2), D = 1: "mean", "log_scale"
  /// log p = eta1 x + eta2 x^2 - A(eta), D = 1: "eta1", "eta2" < 0. mean = -eta1 / (2 eta2),
  /// variance -1 / (2 eta2).
  gaussian_natural,
  /// x = mean + L z, z standard normal, L lower triangular with L_ii = exp(log_scales_i): "mean"
  /// (D), "log_scales" (D), "factor" (D (D - 1) / 2), the elements of L below its diagonal, row by
  /// row; not there for D = 1.
  gaussian_cholesky,
  /// sum_k pi_k N(means_k, diag(exp(log_scales_k))^2), pi the softmax of the logits, the last of
  /// which is 0 so that no two theta are one density to first order: "logits" (K - 1; not there for
  /// K = 1), "means" (K, D), "log_scales" (K, D).
  mixture,
  /// p(x) = exp(eta^T t(x) - A(eta)) with respect to the weights of its `Support`: "eta" (D), D the
  /// number of statistics. A sample is given as its D statistics t(x), see `Support::observe`.
  exponential,
};

/// Every family, in the order of their values: names and the check of enumerators follow from it.
inline constexpr EnumeratorName<DensityFamily> density_table[] = {
    {DensityFamily::gaussian_scale, "gaussian_scale"},
    {DensityFamily::gaussian_log_scale, "gaussian_log_scale"},
    {DensityFamily::gaussian_natural, "gaussian_natural"},
    {DensityFamily::gaussian_cholesky, "gaussian_cholesky"},
    {DensityFamily::mixture, "mixture"},
    {DensityFamily::exponential, "exponential"},
};

NATGRAD_EXPORT const char* to_string(ElementType type);
NATGRAD_EXPORT const char* to_string(DeviceKind kind);
NATGRAD_EXPORT const char* to_string(FisherKind kind);
NATGRAD_EXPORT const char* to_string(Form form);
NATGRAD_EXPORT const char* to_string(Structure structure);
NATGRAD_EXPORT const char* to_string(DampingScaling scaling);
NATGRAD_EXPORT const char* to_string(Outcome outcome);
NATGRAD_EXPORT const char* to_string(NotFinite operand);
NATGRAD_EXPORT const char* to_string(Activation activation);
NATGRAD_EXPORT const char* to_string(PoissonSolution solution);
NATGRAD_EXPORT const char* to_string(Likelihood likelihood);
NATGRAD_EXPORT const char* to_string(DensityFamily family);

/// Bytes of one element.
constexpr std::int64_t size_of(ElementType type) { return type == ElementType::float64 ? 8 : 4; }

}  // namespace natgrad
