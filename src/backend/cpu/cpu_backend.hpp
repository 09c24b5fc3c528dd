#pragma once

#include "backend/backend.hpp"

namespace natgrad {

/// The backend interface on the host: BLAS and LAPACK for matrices, OpenMP loops over the formulas
/// of kernels/formulas for the rest. Work is done when a call returns. It has as many functions as
/// the interface; they stand in the files named.
class CpuBackend final : public Backend {
 public:
  Device device() const override;

  // memory.cpp
  void synchronize() override;
  void upload(const void* host, const View& to) override;
  void download(const ConstView& from, void* host) override;
  void copy(const ConstView& from, const View& to) override;
  void fill(double value, const View& to) override;
  void gather_rows(const ConstView& from, const ConstView& rows, const View& to) override;
  void commit(const ConstView& flag, const ConstView& from, const View& to) override;

  // vectors.cpp
  void axpby(Scalar a, const ConstView& x, Scalar b, const View& y) override;
  void multiply(const ConstView& x, const ConstView& y, const View& z) override;
  void divide(const ConstView& f, Scalar shift, const ConstView& b, const View& x,
              const View& info) override;
  void inverse_roots(const ConstView& x, double smallest, const View& y) override;
  void dot(const ConstView& x, const ConstView& y, const View& result) override;
  void residual(const ConstView& b, const ConstView& product, Scalar shift, const ConstView& x,
                const View& result, const View& square) override;
  void check_update(std::span<const UpdatedTensor> tensors, Scalar rate, Scalar shrink,
                    const View& finite) override;
  void update(Scalar accept, std::span<const UpdatedTensor> tensors, Scalar rate,
              Scalar shrink) override;
  void adam(const ConstView& g, double rate, double beta1, double beta2, double epsilon,
            std::int64_t step, const View& mean, const View& square, const View& theta) override;

  // matrices.cpp
  void gemm(Transpose transpose_a, Transpose transpose_b, double a, const ConstView& A,
            const ConstView& B, double b, const View& C, MathMode mode) override;
  void syrk(Triangle triangle, Transpose transpose, double a, const ConstView& A, double b,
            const View& C) override;
  void symv(Triangle triangle, const ConstView& A, const ConstView& x, const View& y) override;
  void potrf(Triangle triangle, const View& A, const View& info, Scratch scratch) override;
  std::int64_t potrf_scratch(Triangle triangle, std::int64_t n, std::int64_t leading_dimension,
                             ElementType type) const override;
  void potrs(Triangle triangle, const ConstView& factor, const View& b, Scratch scratch) override;
  void syevd(const View& A, const View& w, const View& info, Scratch scratch) override;
  std::int64_t syevd_scratch(std::int64_t n, std::int64_t leading_dimension) const override;
  void smallest_pivots(const ConstView& A, Scalar shift, const ConstView& factor,
                       const View& result) override;
  void add_to_diagonal(Scalar value, const View& A) override;
  void mirror(const ConstView& lower, const View& upper) override;
  void norm_and_trace(const ConstView& lower, const ConstView& upper, const View& norm,
                      const View& trace) override;
  void project(const ConstView& u, const View& y) override;
  void project_matrix(Triangle triangle, const ConstView& u, const ConstView& product,
                      const View& A) override;
  void identity_unless(const ConstView& flag, Triangle triangle, const View& A) override;
  void scale_symmetric(Triangle triangle, const ConstView& factors, const View& A) override;
  void scale_columns(const ConstView& A, const ConstView& factors, const View& B) override;
  void column_sums(double factor, const ConstView& A, const View& result) override;
  void column_squares(const ConstView& A, bool add, const View& result) override;
  double double_cost() const override;

  // rows.cpp, gram.cpp
  void row_scaling(const ConstView& weights, double uniform, const ConstView& coefficients,
                   Scalar reference, double factor, const View& scale, const View& rhs) override;
  void gram(const RowBatch& rows, const View& K, Scratch scratch) override;
  void apply(const RowBatch& rows, const ConstView& v, const View& z, Scratch scratch) override;
  void adjoint(const RowBatch& rows, const ConstView& y, double b, const View& g,
               Scratch scratch) override;
  void materialize(const RowBatch& rows, std::int64_t first, const View& out) override;
  std::int64_t rows_scratch(std::span<const LayerUse> uses, std::int64_t rows, ElementType factors,
                            ElementType result) const override;
  RowCosts row_costs() const override;

  // models.cpp
  void bias_activation(Activation activation, const ConstView& bias, const View& z,
                       const View& a) override;
  void activation_backward(Activation activation, const ConstView& z, const ConstView& a,
                           const View& delta) override;
  void likelihood_score(const OutputDistribution& distribution, const ConstView& z,
                        const ConstView& targets, const View& score) override;
  void likelihood_sample(const OutputDistribution& distribution, const ConstView& z,
                         std::uint64_t key, std::int64_t draws, const View& counter,
                         const View& targets) override;
  void log_likelihood(const OutputDistribution& distribution, const ConstView& z,
                      const ConstView& targets, const View& log_p) override;
  void likelihood_evaluate(const OutputDistribution& distribution, const ConstView& z,
                           const ConstView& targets, const View& result) override;
  void likelihood_exact(const OutputDistribution& distribution, const ConstView& z,
                        const ConstView& targets, const View& rows, const View& r) override;
  void likelihood_kl(const OutputDistribution& distribution, const ConstView& z,
                     const ConstView& now, const View& kl) override;

  // densities.cpp
  void density_log_p(DensityFamily family, const DensityAt& density, const ConstView& x,
                     const View& log_p) override;
  void density_score(DensityFamily family, const DensityAt& density, const ConstView& x,
                     const ConstView& weights, const View& score) override;
  void density_sample(DensityFamily family, const DensityAt& density, std::uint64_t key,
                      const View& counter, const View& x) override;

  // fields.cpp
  void tanh_terms(std::int64_t terms, const ConstView& bias, const View& z, const View& a) override;
  void tanh_terms_backward(std::int64_t terms, const ConstView& z, const ConstView& a,
                           const View& delta) override;
  void draw_points(std::uint64_t key, const ConstView& counter, bool on_faces,
                   const View& x) override;
  void solution_at(PoissonSolution solution, bool laplacian, const ConstView& x,
                   const View& value) override;
  // spins.cpp
  void spin_amplitudes(const BoltzmannMachine& machine, const ConstView& spins, const View& theta,
                       const View& tanh, const View& log_psi) override;
  void local_energies(const BoltzmannMachine& machine, const IsingChain& chain,
                      const ConstView& spins, const ConstView& theta,
                      const View& energies) override;
  void metropolis(const BoltzmannMachine& machine, std::uint64_t key, const View& counter,
                  std::int64_t proposals, const View& spins, const View& theta,
                  const View& accepted) override;
  void translated_rows(const ConstView& spins, const ConstView& tanh, const View& rows) override;
  void class_energies(const SpinClassViews& classes, const IsingChain& chain, std::int64_t sites,
                      const ConstView& log_psi, const View& weights, const View& energies) override;

  // vectors.cpp
  void evaluate(const ScalarFormula& formula) override;
  void publish(const ConstView& record, const View& slots) override;
};

}  // namespace natgrad
