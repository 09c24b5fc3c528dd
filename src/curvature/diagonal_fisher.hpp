#pragma once

#include "backend/backend.hpp"
#include "curvature/fisher_operator.hpp"

namespace natgrad::detail {

/// F as its diagonal, P operations a product.
class DiagonalFisher final : public FisherOperator {
 public:
  /// `diagonal` (P) float64; `vector` and `product` (P) float64 are scratch.
  struct Operands {
    View diagonal;
    View vector;
    View product;
  };

  explicit DiagonalFisher(Backend& backend) : backend_(backend) {}
  void use(const Operands& operands) { operands_ = operands; }

  void apply(const ConstView& v, const View& product) const override;
  void quadratic_form(const ConstView& v, const View& result) const override;
  void diagonal(const View& diagonal) const override;
  void to_dense(const View& matrix) const override;
  void decompose(const Context& context, Eigensystem& to) const override;
  void pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                      const ConstView& v, const View& product) const override;

 private:
  Backend& backend_;
  Operands operands_;
};

}  // namespace natgrad::detail
