#pragma once

#include "natgrad/torch.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <torch/torch.h>
#include <vector>

// What the programs here share: they are plain programs, so that nothing but natgrad and torch is
// linked.

namespace natgrad::tests {

inline int failures = 0;

/// Says what a figure is and what it may be at most; NaN fails.
inline void expect_at_most(const std::string& what, double value, double bound) {
  const bool holds = value <= bound;
  if (!holds) ++failures;
  std::printf("%-8s %s: %.2e, at most %.0e\n", holds ? "ok" : "FAILED", what.c_str(), value, bound);
}

/// A call that must throw E with a text that holds `part`.
template <class E, class Call>
void expect_error(const std::string& what, const std::string& part, Call call) {
  std::string text = "nothing";
  bool holds = false;
  try {
    call();
  } catch (const E& error) {
    text = error.what();
    holds = text.find(part) != std::string::npos;
  } catch (const std::exception& error) {
    text = std::string("another exception: ") + error.what();
  }
  if (!holds) ++failures;
  std::printf("%-8s %s: %s\n", holds ? "ok" : "FAILED", what.c_str(), text.c_str());
}

inline int result() { return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE; }

inline double relative_distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

/// S (N, P) in double, its rows times 1 / sqrt(N), each by a backward pass of its own.
inline at::Tensor dense_rows(const at::Tensor& log_p, const std::vector<at::Tensor>& parameters) {
  const std::int64_t samples = log_p.size(0);
  std::vector<at::Tensor> rows;
  for (std::int64_t n = 0; n < samples; ++n) {
    std::vector<at::Tensor> row;
    const auto gradients = ::torch::autograd::grad({log_p[n]}, parameters, {}, true, false, true);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      row.push_back(gradients[i].defined() ? gradients[i].flatten()
                                           : at::zeros({parameters[i].numel()}, at::kDouble));
    }
    rows.push_back(at::cat(row));
  }
  return at::stack(rows) / std::sqrt(static_cast<double>(samples));
}

/// (S^T S + damping I)^-1 g in double.
inline at::Tensor dense_solve(const at::Tensor& rows, const at::Tensor& gradient, double damping) {
  return at::linalg_solve(rows.t().mm(rows) + damping * at::eye(rows.size(1), at::kDouble),
                          gradient);
}

/// The mean of the scores.
inline at::Tensor dense_gradient(const at::Tensor& rows) {
  return rows.sum(0) / std::sqrt(static_cast<double>(rows.size(0)));
}

/// The direction of maximum likelihood.
inline at::Tensor dense_direction(const at::Tensor& log_p,
                                  const std::vector<at::Tensor>& parameters, double damping) {
  const at::Tensor rows = dense_rows(log_p, parameters);
  return dense_solve(rows, dense_gradient(rows), damping);
}

}  // namespace natgrad::tests
