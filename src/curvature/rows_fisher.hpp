#pragma once

#include "curvature/curvature.hpp"
#include "curvature/fisher_operator.hpp"
#include "natgrad/context.hpp"
#include "scores/row_store.hpp"

namespace natgrad::detail {

/// F = S^T S as its rows S: a product is two passes over the layers, and F itself is never there.
class RowsFisher final : public FisherOperator {
 public:
  struct Operands {
    RowBatch rows;
    View roots;    // u (N) float64, u_n = sqrt(w_n), whose direction is projected out; or none
    View vector;   // (P) float64 of scratch
    View product;  // (N) float64 of scratch
    Scratch work;  // of row operations
  };

  /// `store` and `options` must outlive it; `diagonal` and `to_dense` take the rows from the store.
  RowsFisher(const Context& context, const RowStore& store, const CurvatureOptions& options);
  void use(const Operands& operands, const BatchShape& shape);

  void apply(const ConstView& v, const View& product) const override;
  /// In double, because v may be long where the rows do not see it.
  void quadratic_form(const ConstView& v, const View& result) const override;
  void diagonal(const View& diagonal) const override;
  void to_dense(const View& matrix) const override;
  void decompose(const Context& context, Eigensystem& to) const override;
  void pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                      const ConstView& v, const View& product) const override;

 private:
  /// For results that are in double.
  RowBatch strict_rows() const;

  Context context_;
  Backend& backend_;
  const RowStore& store_;
  const CurvatureOptions& options_;
  BatchShape shape_;
  Operands operands_;
};

}  // namespace natgrad::detail
