#pragma once

#include "curvature/curvature.hpp"
#include "curvature/diagonal.hpp"
#include "curvature/exact.hpp"
#include "curvature/parameter_blocks.hpp"
#include "natgrad/context.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace natgrad::detail {

/// The blocks of F that belong to groups of parameters, each an exact matrix; products between
/// groups are left out. Each block is solved in parameter or sample space, whichever costs less for
/// it, and relative damping is in units of its trace.
///
/// The groups are those of the options, or else what the uses of the first rows of a batch name
/// together: each layer's weight and bias, and all layers that share one of them. Blocks do not
/// share rows, so that copies of a batch in parts take what the full matrix takes, N sum(T (d_in +
/// d_out)) numbers, but three float64 a row for every block.
class BlockDiagonalCurvature final : public Curvature {
 public:
  BlockDiagonalCurvature(const Context& context, const CurvatureOptions& options);
  ~BlockDiagonalCurvature() override = default;
  // Its operator views it.
  BlockDiagonalCurvature(const BlockDiagonalCurvature&) = delete;
  BlockDiagonalCurvature& operator=(const BlockDiagonalCurvature&) = delete;

  void layout(const CurvatureMemory& memory, const BatchShape& shape) override;
  void reserve(const BatchShape& shape) override;
  std::int64_t reserved_bytes(const BatchShape& shape) const override;
  void accumulate(const RowInput& rows, Lifetime lifetime) override;
  bool intact() const override { return complete_; }
  void factorize(const DampingState* damping) override;
  View gradient() const override { return gradient_; }
  void solve(const RightHandSide& rhs) override;
  View direction() const override { return direction_; }
  void measure(const ConstView& v) override;
  void judge() override;
  View scalars() const override { return scalars_; }
  Form form() const override;
  const FisherOperator& fisher() override { return fisher_; }
  Outcome inverse_diagonal(const DampingState* damping, Eigensystem& known,
                           const View& diagonal) override;
  void forget() override;

 private:
  using Block = ParameterBlocks::Block;

  /// The blocks' matrices, one after another.
  class Fisher final : public FisherOperator {
   public:
    explicit Fisher(const BlockDiagonalCurvature& of) : of_(of) {}
    void apply(const ConstView& v, const View& product) const override;
    void quadratic_form(const ConstView& v, const View& result) const override;
    void diagonal(const View& diagonal) const override;
    void to_dense(const View& matrix) const override;
    void decompose(const Context& context, Eigensystem& to) const override;
    void pseudo_inverse(const Context& context, const Eigensystem& of, double cutoff,
                        const ConstView& v, const View& product) const override;

   private:
    const BlockDiagonalCurvature& of_;
  };

  /// The matrix of one block.
  struct Part {
    std::unique_ptr<ExactCurvature> exact;
    // F = 0 of a block that no row of the batch knows, at the cost of a few vectors. Rows in parts
    // may come to know it later.
    std::unique_ptr<DiagonalCurvature> unused;
    Curvature* curvature = nullptr;  // which of them
  };

  void divide(const BatchShape& shape);
  void accumulate_copies(const RowInput& rows, Lifetime lifetime);
  static BatchShape shape_of(const Block& block, const BatchShape& shape);
  void lay_out_vectors(const CurvatureMemory& memory, const BatchShape& shape);
  void lay_out_parts(const CurvatureMemory& memory, const BatchShape& shape);

  /// Calls body(block, its curvature) for every block.
  template <class Body>
  void for_each(const Body& body) const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      body(blocks_.blocks()[i], *parts_[i].curvature);
    }
  }

  Context context_;
  Backend& backend_;
  CurvatureOptions options_;
  Fisher fisher_{*this};
  ParameterBlocks blocks_;
  std::vector<Part> parts_;      // one a block
  std::int64_t batch_rows_ = 0;  // N
  std::int64_t rows_ = 0;        // so far, of parts
  bool begun_ = false;           // a part was accumulated: blocks stay as they are
  bool complete_ = true;         // all blocks have the same rows
  bool gradient_given_ = false;

  View scalars_;    // a SolveScalars of all blocks together
  View direction_;  // d (P) of the parameters' type
  View gradient_;   // g (P) float64, where it is given
  View element_;    // one element
  // Numbers of a block that are not adjacent, of the parameters' type.
  View vector_;
  View product_;
};

}  // namespace natgrad::detail
