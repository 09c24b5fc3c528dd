#include "support.hpp"

#include <complex>

// Torch's BLAS and natgrad's in one process: Fortran's functions of complex numbers return them in
// two ways, and whose function torch finds depends on the order in which the libraries were linked.

int main() {
  using natgrad::tests::expect_at_most;
  torch::manual_seed(1);
  const auto wrong = [] {
    const at::Tensor a = torch::randn({257}, torch::kComplexDouble);
    const at::Tensor b = torch::randn({257}, torch::kComplexDouble);
    std::complex<double> sum = 0;
    const auto* x = reinterpret_cast<const std::complex<double>*>(a.data_ptr());
    const auto* y = reinterpret_cast<const std::complex<double>*>(b.data_ptr());
    for (int i = 0; i < 257; ++i) sum += std::conj(x[i]) * y[i];
    const auto dot = at::vdot(a, b).item<c10::complex<double>>();
    return std::abs(std::complex<double>(dot.real(), dot.imag()) - sum) / std::abs(sum);
  };
  expect_at_most("vdot of torch before a step", wrong(), 1e-14);

  const at::Tensor theta = torch::zeros({5}, torch::kDouble);
  natgrad::Parameters parameters(natgrad::torch::context(at::kCPU));
  parameters.add(natgrad::torch::view(theta), "theta");
  natgrad::NaturalGradient optimizer(parameters, {.damping = {.absolute = 0.1},
                                                  .step = natgrad::FixedRate{1},
                                                  .momentum = natgrad::NoMomentum{}});
  natgrad::DenseScores scores(parameters);
  const at::Tensor rows = torch::randn({8, 5}, torch::kDouble);
  scores.begin(natgrad::torch::view(rows));
  optimizer.step(scores);
  const at::Tensor matrix = rows.t().mm(rows) / 8 + 0.1 * torch::eye(5, torch::kDouble);
  const at::Tensor expected = at::linalg_solve(matrix, rows.mean(0));
  expect_at_most("the step", natgrad::tests::relative_distance(theta, expected), 1e-12);
  expect_at_most("vdot of torch beside it", wrong(), 1e-14);
  return natgrad::tests::result();
}
