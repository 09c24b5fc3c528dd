#pragma once

#include "backend/backend.hpp"
#include "curvature/fisher_operator.hpp"

#include <cstdint>

namespace natgrad::detail {

/// F (P, P) as an array, P^2 operations a product.
class DenseFisher final : public FisherOperator {
 public:
  /// `F` float64 in the lower triangle, of so many rows; `vector` and `product` (P) float64 are
  /// scratch.
  struct Operands {
    View F;
    std::int64_t rows = 0;
    View vector;
    View product;
  };

  explicit DenseFisher(Backend& backend) : backend_(backend) {}
  void use(const Operands& operands) { operands_ = operands; }

  void apply(const ConstView& v, const View& product) const override;
  /// Leaves v in double in the operand `vector`.
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
