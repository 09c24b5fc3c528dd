#pragma once

#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/formula.hpp"
#include "kernels/formulas/likelihoods/categorical.hpp"
#include "natgrad/types.hpp"

#include <cstdint>
#include <tuple>
#include <type_traits>

// The likelihoods p(y | z) of one row of a model's outputs z (C numbers) at its targets y. To add
// one, write a struct of formulas in a file beside this one, and give it an enumerator and a row
// here. Every backend's loops and kernels, the head of a net and the operation tests take it from
// the table. The struct has these members, all static; T is float or double, Y the targets' type,
// and `lanes` the threads that share the row (lanes.hpp):
//
//   constexpr bool integer_targets        Y is int32 where true, else T
//   std::int64_t targets(std::int64_t C)  targets of a row with C outputs
//   void score(lanes, const T* z, std::int64_t C, const Y* y, T* score)
//                                         the C numbers d log p(y | z) / dz; all NaN for a target
//                                         outside the support, and NaN at an output that is not
//                                         finite
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

namespace natgrad {

namespace formulas {

template <class F>
struct LikelihoodRow {
  using Formulas = F;
  Likelihood value;
  const char* name;
};

inline constexpr std::tuple likelihood_table{
    LikelihoodRow<Categorical>{Likelihood::categorical, "categorical"},
};

/// The type of the targets of likelihood L beside outputs of type T.
template <class L, class T>
using Target = std::conditional_t<L::integer_targets, std::int32_t, T>;

/// Calls body(row) for every row of the table.
template <class Body>
void for_each_likelihood(const Body& body) {
  std::apply([&](const auto&... row) { (body(row), ...); }, likelihood_table);
}

/// Calls body(L{}) with the formulas of a likelihood; nothing for a value that is in no row.
template <class Body>
void with_likelihood(Likelihood likelihood, const Body& body) {
  for_each_likelihood([&]<class L>(const LikelihoodRow<L>& row) {
    if (row.value == likelihood) body(L{});
  });
}

/// Calls body(L{}, T{}) with the formulas of a likelihood and the float type of its outputs.
template <class Body>
void with_likelihood(Likelihood likelihood, ElementType outputs, const Body& body) {
  with_likelihood(likelihood, [&]<class L>(L) {
    with_float_type(outputs, [&]<class T>(T) { body(L{}, T{}); });
  });
}

/// The name of a likelihood's row; null for a value that is in none.
inline const char* name_of(Likelihood likelihood) {
  const char* name = nullptr;
  for_each_likelihood([&](const auto& row) {
    if (row.value == likelihood) name = row.name;
  });
  return name;
}

/// Targets of a row of `outputs` outputs.
inline std::int64_t targets_of(Likelihood likelihood, std::int64_t outputs) {
  std::int64_t targets = 0;
  with_likelihood(likelihood, [&]<class L>(L) { targets = L::targets(outputs); });
  return targets;
}

/// The type of targets beside outputs of type `outputs`.
inline ElementType target_type(Likelihood likelihood, ElementType outputs) {
  ElementType type = outputs;
  with_likelihood(likelihood, [&]<class L>(L) {
    if (L::integer_targets) type = ElementType::int32;
  });
  return type;
}

}  // namespace formulas

}  // namespace natgrad
