#pragma once

#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/bernoulli.hpp"
#include "kernels/formulas/likelihoods/categorical.hpp"
#include "kernels/formulas/likelihoods/gaussian.hpp"
#include "kernels/formulas/likelihoods/gaussian_scale.hpp"
#include "kernels/formulas/likelihoods/independent.hpp"
#include "kernels/formulas/likelihoods/output_distribution.hpp"
#include "kernels/formulas/likelihoods/poisson.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <iterator>
#include <tuple>
#include <type_traits>

// The likelihoods p(y | z) of one row of a model's outputs z (C numbers) at its targets y. To add
// one, write a struct of formulas in a file beside this one, and give it an enumerator and a name
// in natgrad/types.hpp and a row here. Where targets are independent given z it is one of a single
// target (independent.hpp). Every backend's loops and kernels, the head of a net and the operation
// tests take it from the table. The struct has these members, which may read numbers that it was
// made with; T is float or double, Y the targets' type, and `lanes` the threads that share the row
// (lanes.hpp):
//
//   constexpr bool integer_targets        Y is int32 where true, else T
//   constexpr int outputs_a_target        1, or what divides C
//   std::int64_t targets(std::int64_t C)  targets of a row with C outputs; static
//   void score(lanes, const T* z, std::int64_t C, const Y* y, T* score)
//                                         the C numbers d log p(y | z) / dz; NaN where a target is
//                                         outside the support or an output is not finite
//   double log_p(lanes, const T* z, std::int64_t C, const Y* y)
//                                         log p(y | z) in nats, computed in double, in every lane;
//                                         NaN for a target outside the support
//   double figure(lanes, const T* z, std::int64_t C, const Y* y)
//                                         the row's part of the figure that is reported beside the
//                                         loss, such as 1 for a label that was predicted, in every
//                                         lane
//   void sample(lanes, const T* z, std::int64_t C, const DrawUniforms& uniform,
//               std::int64_t draws, Y* y)
//                                         writes `draws` times targets(C) targets drawn from
//                                         p(. | z), a function of z and the uniform numbers alone;
//                                         values that no target has where z is not finite
//   void exact(lanes, const T* z, std::int64_t C, const Y* y, T* rows, std::int64_t stride,
//              double* r)                 C rows of C numbers, `stride` apart, whose S^T S is the
//                                         Fisher matrix of the outputs, and r with S^T r = score
//                                         (variances.hpp); r is NaN where the score would be
//   double kl(lanes, const T* z, const T* now, std::int64_t C)
//                                         KL(p(. | z) || p(. | now)) in nats, computed in double,
//                                         in every lane

namespace natgrad::formulas {

template <class F>
struct LikelihoodRow {
  using Formulas = F;
  Likelihood value;
};

inline constexpr std::tuple likelihood_table{
    LikelihoodRow<Categorical>{Likelihood::categorical},
    LikelihoodRow<Independent<Bernoulli>>{Likelihood::bernoulli},
    LikelihoodRow<Independent<Gaussian>>{Likelihood::gaussian},
    LikelihoodRow<Independent<GaussianScale>>{Likelihood::gaussian_scale},
    LikelihoodRow<Independent<Poisson>>{Likelihood::poisson},
};
static_assert(std::tuple_size_v<decltype(likelihood_table)> == std::size(likelihood_names));

/// The type of the targets of likelihood L beside outputs of type T.
template <class L, class T>
using Target = std::conditional_t<L::integer_targets, std::int32_t, T>;

/// Calls body(row) for every row of the table.
template <class Body>
void for_each_likelihood(const Body& body) {
  std::apply([&](const auto&... row) { (body(row), ...); }, likelihood_table);
}

/// Calls body(formulas) with those of a distribution; nothing for a likelihood that is in no row.
template <class Body>
void with_likelihood(const OutputDistribution& distribution, const Body& body) {
  for_each_likelihood([&]<class L>(const LikelihoodRow<L>& row) {
    if (row.value != distribution.likelihood) return;
    if constexpr (std::is_constructible_v<L, const OutputDistribution&>) {
      body(L(distribution));
    } else {
      body(L{});
    }
  });
}

/// Calls body(formulas, T{}) with those of a distribution and the float type of its outputs.
template <class Body>
void with_likelihood(const OutputDistribution& distribution, ElementType outputs,
                     const Body& body) {
  with_likelihood(distribution, [&]<class L>(const L& likelihood) {
    with_float_type(outputs, [&]<class T>(T) { body(likelihood, T{}); });
  });
}

/// Outputs of a target; the outputs of a row are a multiple of it.
inline std::int64_t outputs_a_target(Likelihood likelihood) {
  std::int64_t outputs = 1;
  with_likelihood({likelihood}, [&]<class L>(const L&) { outputs = L::outputs_a_target; });
  return outputs;
}

/// Targets of a row of `outputs` outputs.
inline std::int64_t targets_of(Likelihood likelihood, std::int64_t outputs) {
  std::int64_t targets = 0;
  with_likelihood({likelihood}, [&]<class L>(const L&) { targets = L::targets(outputs); });
  return targets;
}

/// The type of targets beside outputs of type `outputs`.
inline ElementType target_type(Likelihood likelihood, ElementType outputs) {
  ElementType type = outputs;
  with_likelihood({likelihood}, [&]<class L>(const L&) {
    if (L::integer_targets) type = ElementType::int32;
  });
  return type;
}

}  // namespace natgrad::formulas
