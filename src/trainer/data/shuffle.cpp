#include "trainer/data/shuffle.hpp"

#include <numeric>
#include <utility>

namespace natgrad::trainer {

std::vector<std::int32_t> shuffled(std::uint64_t seed, RandomStream stream, std::uint32_t part,
                                   std::int64_t count) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    const std::uint64_t bits = random_bits(seed, stream, part, i - 1);
    std::swap(order[i - 1], order[uniform_below(bits, i)]);
  }
  return order;
}

}  // namespace natgrad::trainer
