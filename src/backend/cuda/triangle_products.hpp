#pragma once

#include "backend/cuda/row_pieces.hpp"

#include <cstdint>
#include <functional>

// Products of factors of which the Gram needs what lies below the diagonal of K.

namespace natgrad::cuda {

/// Where left right^T (left rows, right rows) goes, and what is needed of it: of row i the columns
/// before needed(i), which never falls with i. The others may be written or not.
template <class T>
struct TriangleProduct {
  kernels::Matrix<const T> left;
  kernels::Matrix<const T> right;
  T* to;
  std::int64_t leading_dimension;
  const std::function<std::int64_t(std::int64_t)>& needed;
};

/// product = left right^T + beta product, by pieces of rows.
template <class T>
void multiply_rows(const Work& work, const TriangleProduct<T>& product, T beta, MathMode mode);

/// product = left right^T on TF32 tensor cores. In strict mode each factor is the sum of two
/// numbers of eleven significant bits, and three of their four products are summed, the small ones
/// first, so that the result is as accurate as a strict product (Ootomo and Yokota 2022). Costs 3
/// times the products of TF32 then, and writes 5 numbers for each of the factors. `scratch` is
/// planned for products that `rule` takes.
void multiply_on_tensor_cores(const Work& work, const GramRule& rule,
                              const TriangleProduct<float>& product,
                              const TileScratch<float>& scratch);

}  // namespace natgrad::cuda
