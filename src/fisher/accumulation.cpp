#include "fisher/accumulation.hpp"

#include "fisher/damped_system.hpp"

#include <algorithm>

namespace natgrad::detail {

PrimalBuffers::PrimalBuffers(Carver& carver, std::int64_t parameters, std::int64_t tile_rows,
                             std::int64_t work_bytes)
    : tile(carver.take({tile_rows, parameters}, ElementType::float64)),
      work{.data = carver.take_bytes(work_bytes), .bytes = work_bytes} {}

void PrimalAccumulation::add_scalar(double factor, const ConstView& x, const ConstView& y,
                                    double StepScalars::*to, bool first) const {
  const View product = scalar(scalars_, &StepScalars::scratch);
  backend_.dot(x, y, product);
  backend_.axpby(factor, product, first ? 0.0 : 1.0, scalar(scalars_, to));
}

void PrimalAccumulation::add(const RowBatch& rows, double factor, const ConstView& r, bool first,
                             const PrimalBuffers& b) const {
  const double beta = first ? 0 : 1;
  backend_.adjoint(rows, r, beta, sums_.gradient, b.work);
  if (!sums_.centre.empty()) {
    // Sets may differ in their factor, so that u is sqrt(w) itself; the tile is still free.
    const View part(b.tile.as<double>(), {b.tile.columns(), 1}, {.device = b.tile.device()});
    backend_.adjoint(rows, rows.scale, 0, part, b.work);
    backend_.axpby(1 / factor, part, beta, sums_.centre);
    add_scalar(1 / factor / factor, rows.scale, rows.scale, &StepScalars::centre_square, first);
    add_scalar(1 / factor, rows.scale, r, &StepScalars::centre_product, first);
  }
  for (std::int64_t row = 0; row < rows.rows(); row += b.tile.rows()) {
    const View part = b.tile.row_range(0, std::min(b.tile.rows(), rows.rows() - row));
    backend_.materialize(rows, row, part);
    backend_.syrk(Triangle::lower, Transpose::yes, 1, part, row == 0 ? beta : 1, fisher_);
  }
}

/// q / |u|, q = S^T u.
void PrimalAccumulation::scaled_mean(const View& scratch) const {
  backend_.update_scalars(ScalarRule::centre, {}, scalars_);
  backend_.copy(sums_.centre, scratch);
  backend_.axpby(0.0, sums_.centre, scalar(scalars_, &StepScalars::centre_scale), scratch);
}

void PrimalAccumulation::centre_matrix(Centering centred, const View& scratch) const {
  if (centred == Centering::none) return;
  scaled_mean(scratch);
  backend_.dot(sums_.centre, sums_.centre, scalar(scalars_, &StepScalars::centre_moment));
  // Last: whoever fails before finds F as it was.
  backend_.syrk(Triangle::lower, Transpose::no, -1, scratch, 1, fisher_);
}

void PrimalAccumulation::finish_gradient(Centering centred, const View& scratch,
                                         const View& gradient) const {
  backend_.copy(sums_.gradient, gradient);
  if (centred != Centering::rows) return;
  scaled_mean(scratch);
  backend_.axpby(scalar(scalars_, &StepScalars::centre_shift), scratch, 1.0, gradient);
}

void PrimalAccumulation::undo_centre(const View& scratch) const {
  scaled_mean(scratch);
  backend_.syrk(Triangle::lower, Transpose::no, 1, scratch, 1, fisher_);
}

}  // namespace natgrad::detail
