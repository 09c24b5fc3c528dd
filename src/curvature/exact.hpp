#pragma once

#include "curvature/curvature.hpp"
#include "curvature/parameter_space.hpp"
#include "curvature/sample_space.hpp"

#include <memory>

namespace natgrad::detail {

/// The whole matrix, in the space that is cheaper for the batch (see `choose_form`). A batch in
/// parts stays in the space that its first part has chosen.
class ExactCurvature final : public Curvature {
 public:
  ExactCurvature(const Context& context, const CurvatureOptions& options);

  void layout(const CurvatureMemory& memory, const BatchShape& shape) override;
  void reserve(const BatchShape& shape) override;
  std::int64_t reserved_bytes(const BatchShape& shape) const override;
  void accumulate(const RowInput& rows, Lifetime lifetime) override;
  /// Takes back the last rows that were copied, in sample space, where the form is dual.
  void undo_accumulate() noexcept { sample_space_->undo_accumulate(); }
  bool intact() const override { return chosen().intact(); }
  void factorize(const DampingState* damping) override { chosen().factorize(damping); }
  View gradient() const override { return chosen().gradient(); }
  void solve(const RightHandSide& rhs) override { chosen().solve(rhs); }
  std::int64_t substitutes() const override { return chosen().substitutes(); }
  void substitute(const ConstView& gradients, double scale) override {
    chosen().substitute(gradients, scale);
  }
  View direction() const override { return chosen().direction(); }
  void measure(const ConstView& v) override { chosen().measure(v); }
  RepeatedSolve* repeated() override { return chosen().repeated(); }
  void judge() override { chosen().judge(); }
  View scalars() const override { return chosen().scalars(); }
  Form form() const override { return form_; }
  Outcome inverse_diagonal(const DampingState* damping, Eigensystem& known,
                           const View& diagonal) override {
    return chosen().inverse_diagonal(damping, known, diagonal);
  }
  void forget() override;
  const FisherOperator& fisher() override { return chosen().fisher(); }

 private:
  Form form_of(const BatchShape& shape) const;
  Curvature& chosen() const;

  const Backend& backend_;
  CurvatureOptions options_;
  // Behind a pointer, so that both are reached through one.
  std::unique_ptr<ParameterSpace> parameter_space_;
  std::unique_ptr<SampleSpace> sample_space_;
  Form form_ = Form::automatic;
  bool begun_ = false;  // a part was accumulated
};

}  // namespace natgrad::detail
