#pragma once

#include "backend/backend.hpp"

#include <cstdint>
#include <span>

namespace natgrad::detail {

/// Multiply-adds, for every entry of K, of a block's Gram with itself by the cheaper way (see
/// `choose_gram_way`), for blocks of which nothing but the shape is known.
double gram_operations(const LayerUse& block, std::int64_t rows);

/// Decides how the Gram of the newest block, and of those that share a parameter with it, is
/// computed. Counted in multiply-adds, with constants fitted on two Zen 3 cores:
///   paired  the sum over ordered pairs (a, b) of sharing blocks of n_a n_b / 2 T_a T_b
///           (d_in / (R_a R_b) + d_out + `pair_overhead`)
///   formed  N^2 / 2 times the size of the shared parameters, and forming them
/// The models agree to a few percent where they cross, which is what a choice needs.
void choose_gram_way(std::span<LayerUse> blocks, std::int64_t rows);

}  // namespace natgrad::detail
