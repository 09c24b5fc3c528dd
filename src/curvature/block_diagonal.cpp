#include "curvature/block_diagonal.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <algorithm>
#include <utility>

namespace natgrad::detail {

BlockDiagonalCurvature::BlockDiagonalCurvature(const Context& context,
                                               const CurvatureOptions& options)
    : context_(context), backend_(context.state().backend()), options_(options) {}

/// Readies blocks for the uses of a call. Those of a batch in parts are decided by its first part.
void BlockDiagonalCurvature::divide(const BatchShape& shape) {
  const bool decided = begun_ || (shape.phase == Phase::finish && !parts_.empty());
  if (decided) {
    blocks_.follow(shape.tensors);
  } else if (blocks_.divide(shape.tensors, shape.uses, options_.groups)) {
    parts_.clear();
  }
  while (parts_.size() < blocks_.blocks().size()) {
    Part part;
    part.exact = std::make_unique<ExactCurvature>(context_, options_);
    parts_.push_back(std::move(part));
  }
  blocks_.distribute(shape.uses, shape.rows, backend_.row_costs());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    part.curvature = part.exact.get();
    if (shape.phase != Phase::whole || !blocks_.blocks()[i].uses.empty()) continue;
    if (!part.unused) {
      part.unused = std::make_unique<DiagonalCurvature>(backend_, options_);
    }
    part.curvature = part.unused.get();
  }
}

BatchShape BlockDiagonalCurvature::shape_of(const Block& block, const BatchShape& shape) {
  BatchShape of_block = shape;
  of_block.gradients = 1;  // they are handed on one at a time
  of_block.uses = block.uses;
  of_block.parameters = block.size;
  of_block.tensors = block.tensors;
  return of_block;
}

void BlockDiagonalCurvature::layout(const CurvatureMemory& memory, const BatchShape& shape) {
  divide(shape);
  batch_rows_ = shape.batch_rows;
  gradient_given_ = shape.gradient_given;
  if (shape.phase == Phase::whole) rows_ = 0;
  if (shape.phase != Phase::part) lay_out_vectors(memory, shape);
  lay_out_parts(memory, shape);
}

void BlockDiagonalCurvature::lay_out_vectors(const CurvatureMemory& memory,
                                             const BatchShape& shape) {
  std::int64_t largest = 0;
  for (const Block& block : blocks_.blocks()) {
    if (!block.adjacent) largest = std::max(largest, block.size);
  }
  scalars_ = take_scalars<SolveScalars>(memory.system);
  Carver& scratch = memory.scratch;
  direction_ = scratch.take({shape.parameters, 1}, options_.type);
  gradient_ = shape.gradient_given ? scratch.take({shape.parameters, 1}, real) : View();
  element_ = scratch.take({1, 1}, real);
  vector_ = scratch.take({largest, 1}, options_.type);
  product_ = scratch.take({largest, 1}, options_.type);
  scratch.item("vectors of all blocks together");
}

/// Blocks run one after another and share one scratch, but for the roots of the weights of centred
/// rows, which a block looks at again.
void BlockDiagonalCurvature::lay_out_parts(const CurvatureMemory& memory, const BatchShape& shape) {
  if (shape.centering != Centering::none) {
    for_each([&](const Block& block, Curvature& curvature) {
      curvature.layout(memory, shape_of(block, shape));
    });
    return;
  }
  std::int64_t most = 0;
  for_each([&](const Block& block, Curvature& curvature) {
    Carver kept;
    Carver system;
    Carver scratch;
    curvature.layout({kept, system, scratch}, shape_of(block, shape));
    most = std::max(most, scratch.bytes());
  });
  void* shared = memory.scratch.take_bytes(most);
  memory.scratch.item("vectors of a block's solve, scratch of products with its rows");
  for_each([&](const Block& block, Curvature& curvature) {
    Carver scratch = shared == nullptr ? Carver() : Carver(shared, backend_.device());
    curvature.layout({memory.kept, memory.system, scratch}, shape_of(block, shape));
  });
}

void BlockDiagonalCurvature::reserve(const BatchShape& shape) {
  divide(shape);
  for_each(
      [&](const Block& block, Curvature& curvature) { curvature.reserve(shape_of(block, shape)); });
}

std::int64_t BlockDiagonalCurvature::reserved_bytes(const BatchShape& shape) const {
  BlockDiagonalCurvature other(context_, options_);
  other.divide(shape);
  std::int64_t bytes = 0;
  other.for_each([&](const Block& block, Curvature& curvature) {
    bytes += curvature.reserved_bytes(shape_of(block, shape));
  });
  return bytes;
}

void BlockDiagonalCurvature::accumulate(const RowInput& rows, Lifetime lifetime) {
  const std::int64_t count = rows.set.size();
  const bool keeps_rows = std::any_of(parts_.begin(), parts_.end(), [](const Part& part) {
    return part.curvature->form() == Form::dual;
  });
  if (lifetime == Lifetime::copied && keeps_rows && rows_ + count > batch_rows_) {
    // Before any block has taken them.
    throw ShapeError(message("accumulate: ", rows_, " rows kept and ", count,
                             " more are beyond .samples = ", batch_rows_, " of the dual form"));
  }
  accumulate_copies(rows, lifetime);
  for_each([&](const Block& block, Curvature& curvature) {
    if (curvature.form() == Form::dual) return;
    complete_ = false;  // until all have them
    curvature.accumulate({rows.set, block.uses}, lifetime);
  });
  complete_ = true;
  rows_ += count;
  begun_ = lifetime == Lifetime::copied;
}

/// Hands rows to the blocks that copy them, which may find no memory: then none of them has any.
void BlockDiagonalCurvature::accumulate_copies(const RowInput& rows, Lifetime lifetime) {
  std::size_t next = 0;
  const auto copies = [&](std::size_t i) { return parts_[i].curvature->form() == Form::dual; };
  try {
    for (; next < parts_.size(); ++next) {
      if (!copies(next)) continue;
      parts_[next].curvature->accumulate({rows.set, blocks_.blocks()[next].uses}, lifetime);
    }
  } catch (...) {
    while (next-- > 0) {
      if (copies(next) && lifetime == Lifetime::copied) parts_[next].exact->undo_accumulate();
    }
    throw;
  }
}

void BlockDiagonalCurvature::factorize(const DampingState* damping) {
  for_each([&](const Block&, Curvature& curvature) { curvature.factorize(damping); });
}

void BlockDiagonalCurvature::solve(const RightHandSide& rhs) {
  for_each([&](const Block& block, Curvature& curvature) {
    RightHandSide of_block = rhs;
    if (!rhs.previous.empty()) of_block.previous = part_of(backend_, block, rhs.previous, vector_);
    if (gradient_given_) take_part(backend_, block, gradient_, curvature.gradient());
    curvature.solve(of_block);
    put_part(backend_, block, curvature.direction(), direction_);
  });
}

void BlockDiagonalCurvature::measure(const ConstView& v) {
  for_each([&](const Block& block, Curvature& curvature) {
    curvature.measure(part_of(backend_, block, v, vector_));
  });
}

void BlockDiagonalCurvature::judge() {
  bool first = true;
  for_each([&](const Block&, Curvature& curvature) {
    curvature.judge();
    backend_.evaluate(formulas::AddBlock{.block = address<SolveScalars>(curvature.scalars()),
                                         .sum = address<SolveScalars>(scalars_),
                                         .first = first});
    first = false;
  });
}

Outcome BlockDiagonalCurvature::inverse_diagonal(const DampingState* damping, Eigensystem& known,
                                                 const View& diagonal) {
  known.blocks.resize(parts_.size());
  auto next = known.blocks.begin();
  Outcome outcome = Outcome::accepted;
  for_each([&](const Block& block, Curvature& curvature) {
    Eigensystem& of_block = *next++;
    if (outcome != Outcome::accepted) return;
    const Array numbers = context_.array({block.size, 1}, real);
    outcome = curvature.inverse_diagonal(damping, of_block, numbers);
    put_part(backend_, block, numbers, diagonal);
  });
  return outcome;
}

Form BlockDiagonalCurvature::form() const {
  Form common = Form::automatic;
  for (const Part& part : parts_) {
    if (part.curvature != part.exact.get()) continue;
    const Form form = part.exact->form();
    if (common == Form::automatic) common = form;
    if (form != common) return Form::automatic;
  }
  return common;
}

void BlockDiagonalCurvature::forget() {
  for (const Part& part : parts_) {
    part.exact->forget();
    if (part.unused) part.unused->forget();
  }
  rows_ = 0;
  begun_ = false;
  complete_ = true;
}

}  // namespace natgrad::detail
