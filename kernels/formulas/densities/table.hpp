#pragma once

#include "kernels/formulas/densities/density.hpp"
#include "kernels/formulas/densities/exponential.hpp"
#include "kernels/formulas/densities/gaussian.hpp"
#include "kernels/formulas/densities/gaussian_cholesky.hpp"
#include "kernels/formulas/densities/mixture.hpp"
#include "kernels/formulas/float_type.hpp"
#include "kernels/formulas/formula.hpp"
#include "natgrad/types.hpp"

#include <cstdint>

// The densities p(x | theta). To add one, write a struct of formulas in a file beside this one and
// put it in the list below; its enumerator and name stand in include/natgrad/types.hpp. The struct
// has these members, all static; T is float or
// double, theta and all that is made of it double (`DensityAt`), x the D numbers of one sample:
//
//   constexpr DensityFamily family
//   DensityTensors tensors(const DensityShape&)   of theta, in their order, and where they start
//   std::int64_t parameters(const DensityShape&)  P, their elements together
//   std::int64_t prepared(const DensityShape&)    numbers that `prepare` writes
//   std::int64_t constants(const DensityShape&)   numbers that do not depend on theta
//   std::int64_t uniforms(const DensityShape&)    uniform numbers that one sample is drawn from
//   void prepare(shape, constants, theta, prepared)
//                                  what all samples have in common, by one thread; NaN in it where
//                                  theta is outside of its domain
//   double log_p(at, const T* x)   log p(x | theta) in nats; NaN outside of the support
//   void score(at, const T* x, T* score)
//                                  its P derivatives; NaN among them where log p is
//   void sample(at, const DensityDraws& draws, T* x)
//   constexpr bool closed          whether F and KL have closed forms:
//     void fisher(at, double* rows)      (P, P) rows R, R^T R = F
//     double kl(at, const DensityAt& other)
//   constexpr bool quadrature      whether there is a rule, for shapes of which nodes() > 0:
//     std::int64_t nodes(const DensityShape&)
//     void place_nodes(at, double* x, double* weights)   x (nodes, D)

namespace natgrad::formulas {

template <class... Families>
struct DensityList {
  /// Calls body(F{}) with the formulas of a family; nothing for a value that is none.
  template <class Body>
  NATGRAD_FORMULA static void visit(DensityFamily family, const Body& body) {
    (visit_one<Families>(family, body), ...);
  }
  /// The same on the host alone.
  template <class Body>
  static void visit_on_host(DensityFamily family, const Body& body) {
    ((family == Families::family ? body(Families{}) : void()), ...);
  }

 private:
  template <class F, class Body>
  NATGRAD_FORMULA static void visit_one(DensityFamily family, const Body& body) {
    if (family == F::family) body(F{});
  }
};

using Densities = DensityList<GaussianScaleDensity, GaussianLogScaleDensity, GaussianNaturalDensity,
                              GaussianCholeskyDensity, MixtureDensity, ExponentialDensity>;

/// Calls body(F{}, T{}) with the formulas of a family and the float type of its samples.
template <class Body>
void with_density(DensityFamily family, ElementType type, const Body& body) {
  Densities::visit_on_host(
      family, [&]<class F>(F) { with_float_type(type, [&]<class T>(T) { body(F{}, T{}); }); });
}

/// What the host needs to know of a family.
struct DensitySizes {
  DensityTensors tensors = {};
  std::int64_t parameters = 0;
  std::int64_t prepared = 0;
  std::int64_t constants = 0;
  std::int64_t nodes = 0;  // of its quadrature; 0: it has none
  bool closed = false;
};

inline DensitySizes sizes_of(DensityFamily family, const DensityShape& shape) {
  DensitySizes sizes;
  Densities::visit_on_host(family, [&]<class F>(F) {
    sizes = {.tensors = F::tensors(shape),
             .parameters = F::parameters(shape),
             .prepared = F::prepared(shape),
             .constants = F::constants(shape),
             .closed = F::closed};
    if constexpr (F::quadrature) sizes.nodes = F::nodes(shape);
  });
  return sizes;
}

}  // namespace natgrad::formulas
