#include "scores/gram_way.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace natgrad::detail {

namespace {

/// Comparisons of all pairs of indices, several in the time of a multiply-add, and the products of
/// those that are equal: about one a term.
double lookup_operations(const LayerUse& a, const LayerUse& b) {
  const auto rows = static_cast<double>(a.rows) * static_cast<double>(b.rows) / 2;
  constexpr double comparisons = 4;
  return rows * static_cast<double>(a.terms) *
         (static_cast<double>(b.terms) / comparisons + static_cast<double>(a.outputs));
}

double pairwise_operations(const LayerUse& a, const LayerUse& b, const RowCosts& costs) {
  if (a.lookup && b.lookup) return lookup_operations(a, b);
  const auto pairs =
      static_cast<double>(a.rows * a.terms) * static_cast<double>(b.rows * b.terms) / 2;
  const double inputs =
      share_weight(a, b) ? static_cast<double>(a.inputs) / (static_cast<double>(a.rows_per_input) *
                                                            static_cast<double>(b.rows_per_input))
                         : 0;
  return pairs * (inputs + static_cast<double>(a.outputs) + costs.pair_overhead);
}

/// Of one use: writing out its columns of the rows.
double materializing_operations(const LayerUse& block, const RowCosts& costs) {
  const auto size = static_cast<double>(block.outputs * std::max<std::int64_t>(1, block.inputs));
  return static_cast<double>(block.rows) * size *
         (static_cast<double>(block.terms) + costs.materializing_overhead);
}

double product_operations(const LayerUse& block, std::int64_t rows, const RowCosts& costs) {
  const auto n = static_cast<double>(rows);
  const auto weight =
      static_cast<double>(block.weight_offset >= 0 ? block.outputs * block.inputs : 0);
  const auto bias = static_cast<double>(block.bias_offset >= 0 ? block.outputs : 0);
  return n * n / 2 * (weight + bias + costs.passes);
}

bool shares(const LayerUse& a, const LayerUse& b) { return share_weight(a, b) || share_bias(a, b); }

/// The newest block and all that share with it, or with one that does.
std::vector<LayerUse*> sharing(std::span<LayerUse> blocks) {
  std::vector<LayerUse*> group = {&blocks.back()};
  std::vector<char> taken(blocks.size(), 0);
  taken.back() = 1;
  for (std::size_t next = 0; next < group.size(); ++next) {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (taken[i] != 0 || !shares(*group[next], blocks[i])) continue;
      taken[i] = 1;
      group.push_back(&blocks[i]);
    }
  }
  return group;
}

}  // namespace

double gram_operations(const LayerUse& block, std::int64_t rows, const RowCosts& costs) {
  const auto n = static_cast<double>(rows);
  LayerUse alone = block;
  alone.weight_offset = block.inputs > 0 ? 0 : -1;
  alone.bias_offset = block.inputs > 0 ? -1 : 0;
  const double materialized =
      product_operations(alone, block.rows, costs) + materializing_operations(block, costs);
  const double pairwise = pairwise_operations(alone, alone, costs);
  if (block.lookup) return pairwise / (n * n / 2);
  const bool may_pair = block.terms <= most_pairwise_terms;
  return (may_pair ? std::min(materialized, pairwise) : materialized) / (n * n / 2);
}

void choose_gram_way(std::span<LayerUse> blocks, std::int64_t rows, const RowCosts& costs) {
  LayerUse& newest = blocks.back();
  const auto before = blocks.first(blocks.size() - 1);
  if (std::none_of(before.begin(), before.end(),
                   [&](const LayerUse& other) { return shares(other, newest); })) {
    // The usual case, on the way of every step: without memory.
    const double materialized =
        product_operations(newest, newest.rows, costs) + materializing_operations(newest, costs);
    newest.materialized =
        !newest.lookup && (newest.terms > most_pairwise_terms ||
                           materialized < pairwise_operations(newest, newest, costs));
    return;
  }
  const std::vector<LayerUse*> group = sharing(blocks);
  const auto lookups =
      std::count_if(group.begin(), group.end(), [](const LayerUse* use) { return use->lookup; });
  if (lookups > 0) {
    const bool all = lookups == static_cast<std::ptrdiff_t>(group.size());
    for (LayerUse* block : group) block->materialized = !all;
    return;
  }
  bool may_pair = true;
  double pairwise = 0;
  double materialized = 0;
  for (const LayerUse* a : group) {
    may_pair = may_pair && a->terms <= most_pairwise_terms;
    // The group's parameters are mostly one weight and its bias, which are materialized once for
    // all.
    materialized += product_operations(*a, rows, costs) / static_cast<double>(group.size()) +
                    materializing_operations(*a, costs);
    for (const LayerUse* b : group) {
      if (shares(*a, *b)) pairwise += pairwise_operations(*a, *b, costs);
    }
  }
  for (LayerUse* block : group) block->materialized = !may_pair || materialized < pairwise;
}

}  // namespace natgrad::detail
