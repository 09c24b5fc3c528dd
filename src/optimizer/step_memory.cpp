#include "optimizer/step_memory.hpp"

#include "core/context_state.hpp"

#include <algorithm>

namespace natgrad::detail {

namespace {

bool same_shape(const LayerUse& a, const LayerUse& b) {
  return a.first == b.first && a.rows == b.rows && a.inputs == b.inputs && a.outputs == b.outputs &&
         a.terms == b.terms && a.rows_per_input == b.rows_per_input &&
         a.bias_first_term == b.bias_first_term && a.lookup == b.lookup &&
         a.weight_offset == b.weight_offset && a.bias_offset == b.bias_offset;
}

bool same_shapes(std::span<const LayerUse> a, std::span<const LayerUse> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_shape);
}

/// All but the uses and the tensors.
bool same_numbers(const BatchShape& a, const BatchShape& b) {
  return a.rows == b.rows && a.batch_rows == b.batch_rows && a.parameters == b.parameters &&
         a.phase == b.phase && a.centering == b.centering && a.gradient_given == b.gradient_given &&
         a.has_previous == b.has_previous && a.measures == b.measures &&
         a.bounds_form == b.bounds_form && a.damped == b.damped && a.l2 == b.l2 &&
         a.l2_by_tensor == b.l2_by_tensor;
}

/// All but the uses.
bool same_numbers(const StepShape& a, const StepShape& b) {
  return same_numbers(a.batch, b.batch) && a.scaled == b.scaled &&
         a.gradient_rows == b.gradient_rows && a.proposed == b.proposed && a.kept == b.kept &&
         a.movement == b.movement && a.products == b.products &&
         a.gradient_numbers == b.gradient_numbers && a.bends == b.bends;
}

void copy_without_views(std::span<const LayerUse> uses, std::vector<LayerUse>& shapes) {
  shapes.assign(uses.begin(), uses.end());
  for (LayerUse& use : shapes) {
    use.input = {};
    use.output_score = {};
  }
}

}  // namespace

bool KnownShape::is(const StepShape& shape) const {
  return known_ && same_numbers(shape_, shape) && same_shapes(uses_, shape.batch.uses) &&
         same_shapes(gradient_uses_, shape.gradient_uses);
}

void KnownShape::keep(const StepShape& shape) {
  known_ = false;  // nothing is known while what follows may throw
  copy_without_views(shape.batch.uses, uses_);
  copy_without_views(shape.gradient_uses, gradient_uses_);
  shape_ = shape;
  shape_.batch.uses = {};
  shape_.batch.tensors = {};
  shape_.gradient_uses = {};
  known_ = true;
}

StepMemory::StepMemory(const Context& context, ElementType type) : context_(context), type_(type) {}

ModelShape StepMemory::model_shape(const StepShape& shape) const {
  if (shape.products == 0) return {};
  const Backend& backend = context_.state().backend();
  const auto work = [&](std::span<const LayerUse> uses, std::int64_t rows) {
    return rows == 0 ? 0 : backend.rows_scratch(uses, rows, type_, ElementType::float64);
  };
  return {.products = shape.products,
          .numbers = shape.gradient_numbers,
          .centred = shape.batch.centering != Centering::none,
          .parameters = shape.batch.parameters,
          .rows = shape.batch.rows,
          .gradient_rows = shape.gradient_rows,
          .work_bytes = std::max(work(shape.batch.uses, shape.batch.rows),
                                 work(shape.gradient_uses, shape.gradient_rows))};
}

StepBuffers StepMemory::carve(Curvature& curvature, const StepShape& shape, Carver& kept,
                              Carver& scratch) const {
  const bool parts = shape.batch.phase != Phase::whole;
  StepBuffers b;
  curvature.layout({.kept = kept, .system = scratch, .scratch = scratch}, shape.batch);
  if (parts && shape.batch.gradient_given) {
    b.gradient_sum = kept.take({shape.batch.parameters, 1}, ElementType::float64);
  }
  if (shape.scaled > 0) b.scaled = scratch.take({shape.scaled, 1}, type_);
  if (shape.gradient_rows > 0) {
    const Backend& backend = context_.state().backend();
    b.gradient_rhs = scratch.take({shape.gradient_rows, 1}, ElementType::float32);
    b.gradient_work.bytes =
        std::max(backend.rows_scratch(shape.gradient_uses, shape.gradient_rows, type_, type_),
                 backend.rows_scratch(shape.gradient_uses, shape.gradient_rows, type_,
                                      ElementType::float64));
    b.gradient_work.data = scratch.take_bytes(b.gradient_work.bytes);
  }
  scratch.item("step with its rate factors, scratch of the gradient's rows");
  if (shape.proposed > 0) b.proposed = scratch.take({shape.proposed, 1}, type_);
  if (shape.kept > 0) b.kept = scratch.take({shape.kept, 1}, type_);
  if (shape.movement > 0) b.movement = scratch.take({shape.movement, 1}, type_);
  scratch.item("parameters before the step, and the step with its decay");
  b.model = ModelBuffers(scratch, model_shape(shape));
  scratch.item("quadratic model along the step");
  if (shape.bends) {
    b.curved = CurvedBuffers(scratch, shape.batch.rows, shape.batch.parameters, type_);
  }
  scratch.item("residuals and acceleration of a step along a parabola");
  return b;
}

std::vector<CarvedItem> StepMemory::scratch_items(Curvature& curvature,
                                                  const StepShape& shape) const {
  std::vector<CarvedItem> items;
  Carver kept;
  Carver scratch(items);
  carve(curvature, shape, kept, scratch);
  return items;
}

std::int64_t StepMemory::kept_bytes(Curvature& curvature, const StepShape& shape) const {
  Carver kept;
  Carver scratch;
  carve(curvature, shape, kept, scratch);
  return kept.bytes();
}

const StepMemory::Counted& StepMemory::counted(Curvature& curvature, const StepShape& shape) {
  // Parts and their solve depend on what the curvature has kept of the parts before.
  const bool may_know = shape.batch.phase == Phase::whole;
  if (may_know && counted_.shape.is(shape)) return counted_;
  Carver kept;
  Carver scratch;
  counted_.shape.forget();
  carve(curvature, shape, kept, scratch);
  counted_.shape.keep(shape);
  counted_.kept = kept.bytes();
  counted_.scratch = scratch.bytes();
  return counted_;
}

void StepMemory::reserve(Curvature& curvature, const StepShape& shape) {
  const Counted& sizes = counted(curvature, shape);
  if (sizes.kept > kept_.bytes()) {
    const DeviceMemory& memory = context_.state().memory();
    kept_.replace(memory);  // the old and the new together would be twice the memory
    kept_.replace(memory, context_.array({sizes.kept / 8, 1}, ElementType::float64));
  }
  context_.state().arena().carve(sizes.scratch);
}

const StepBuffers& StepMemory::lay_out(Curvature& curvature, const StepShape& shape) {
  reserve(curvature, shape);
  Carver kept;
  if (!kept_.empty()) kept = Carver(kept_.view().data(), kept_.view().device());
  Carver scratch = context_.state().arena().carve(counted_.scratch);
  buffers_ = carve(curvature, shape, kept, scratch);
  return buffers_;
}

}  // namespace natgrad::detail
