#pragma once

#include "backend/backend.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// Multiply-adds, for every entry of K, of a use's Gram with itself by the cheaper way (see
/// `choose_gram_way`), for uses of which nothing but the shape is known. `rows`: N; `costs`: those
/// of the backend (`RowOperations::row_costs`).
double gram_operations(const LayerUse& block, std::int64_t rows, const RowCosts& costs);

/// Decides how the Gram of the newest use, and of those that share a parameter with it, is
/// computed: by the way with fewer multiply-adds, of
///   pairwise      the sum over ordered pairs (a, b) of sharing uses of n_a n_b / 2 T_a T_b
///                 (d_in / (R_a R_b) + d_out + `pair_overhead`)
///   materialized  N^2 / 2 times the size of the shared parameters and `passes`, and for each of
///                 their numbers in each row T + `materializing_overhead`
/// On a CPU the models agree with measured times to a few percent where they cross, which is what a
/// choice needs. Lookups alone are pairwise, by comparing indices; beside other uses of their
/// weight all are materialized. `rows`: N; `costs`: those of the backend
/// (`RowOperations::row_costs`).
void choose_gram_way(std::span<LayerUse> blocks, std::int64_t rows, const RowCosts& costs);

}  // namespace natgrad::detail
