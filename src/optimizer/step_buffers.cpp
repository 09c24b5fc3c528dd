#include "optimizer/step_buffers.hpp"

namespace natgrad::detail {

StepBuffers::StepBuffers(Carver& carver, const StepShape& shape, const SystemBuffers& kept_system) {
  const SolveShape& own = shape.solve;
  const bool forms_fisher = !own.dual() && !shape.accumulated;
  if (own.dual() || forms_fisher) {
    system = SystemBuffers(carver, own.unknowns(), own.factorized(), own.factor_work);
    carver.item(own.dual() ? "K (N, N) and its factor" : "F (P, P) and its factor");
  } else {
    system = kept_system;
  }
  solve = SolveBuffers(carver, own, system, shape.work);
  if (shape.scaled > 0) scaled = carver.take({shape.scaled, 1}, own.type);
  if (shape.gradient_rows > 0) {
    gradient_rhs = carver.take({shape.gradient_rows, 1}, own.vectors());
  }
  if (forms_fisher) sums = PrimalSums(carver, own.parameters, own.centering);
  carver.item("vectors of the solve, scratch of products with the rows");
  if (!forms_fisher) return;
  primal = PrimalBuffers(carver, own.parameters, shape.tile_rows, 0);
  primal.work = solve.work;
  carver.item("rows formed at a time");
}

GatherBuffers::GatherBuffers(Carver& carver, const StepShape& shape) {
  if (!shape.solve.dual()) {
    primal = PrimalBuffers(carver, shape.solve.parameters, shape.tile_rows, 0);
    carver.item("rows formed at a time");
  }
  work.bytes = shape.work;
  work.data = carver.take_bytes(shape.work);
  primal.work = work;
  carver.item("scratch of products with the rows");
}

GatheredBuffers::GatheredBuffers(Carver& carver, const SolveShape& shape) {
  if (!shape.dual()) {
    system = SystemBuffers(carver, shape.unknowns(), shape.factorized(), shape.factor_work);
    sums = PrimalSums(carver, shape.parameters, shape.centering);
    carver.item("F (P, P) and its factor, accumulated");
  }
  if (shape.general) gradient = carver.take({shape.parameters, 1}, ElementType::float64);
  carver.item("gradient, accumulated");
}

}  // namespace natgrad::detail
