#pragma once

#include "backend/cuda/row_pieces.hpp"
#include "kernels/cuda/gram.hpp"

#include <array>
#include <cstdint>
#include <functional>

// Products of factors of which the Gram needs what lies below the diagonal of K.

namespace natgrad::cuda {

/// Columns of a product that are needed of its row: those before needed(row), which never falls
/// with the row. The others may be written or not.
using Needed = std::function<std::int64_t(std::int64_t)>;

/// Where left right^T (left rows, right rows) goes, and what is needed of it.
template <class T>
struct TriangleProduct {
  kernels::Matrix<const T> left;
  kernels::Matrix<const T> right;
  const ProductScratch<T>& to;
  std::int64_t leading_dimension;
  const Needed& needed;
};

/// product = left right^T + beta product, by pieces of rows.
template <class T>
void multiply_rows(const Work& work, const TriangleProduct<T>& product, T beta, MathMode mode);

/// left right^T on tensor cores. In strict mode the rows of factors are divided by powers of two,
/// and each factor is the sum of two numbers in half precision, of eleven significant bits. Three
/// of their four products are summed, the small ones first, so that the result is as accurate as a
/// strict product (Ootomo and Yokota 2022). Costs 3 products of half precision then, and writes 5
/// numbers of it for each of the factors. The scratch of `product` and `addresses` are planned for
/// products that `rule` takes.
kernels::FactorProduct<float> multiply_on_tensor_cores(const Work& work, const GramRule& rule,
                                                       const TriangleProduct<float>& product,
                                                       void** addresses);

/// The same for two products of as many rows, of which the same is needed, at once: a device that
/// one of them does not fill takes little longer for both. In strict mode alone. The second one's
/// scratch lies behind the first one's.
std::array<kernels::FactorProduct<float>, 2> multiply_on_tensor_cores(
    const Work& work, const GramRule& rule, const std::array<TriangleProduct<float>, 2>& products,
    void** addresses);

}  // namespace natgrad::cuda
