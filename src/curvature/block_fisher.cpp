// The block-diagonal F to look at: its blocks, one after another.

#include "curvature/block_diagonal.hpp"

namespace natgrad::detail {

void BlockDiagonalCurvature::Fisher::apply(const ConstView& v, const View& product) const {
  of_.for_each([&](const Block& block, Curvature& curvature) {
    const ConstView part = part_of(of_.backend_, block, v, of_.vector_);
    if (block.adjacent) {
      return curvature.fisher().apply(part, product.row_range(block.offsets.front(), block.size));
    }
    const View part_product = of_.product_.row_range(0, block.size);
    curvature.fisher().apply(part, part_product);
    put_part(of_.backend_, block, part_product, product);
  });
}

void BlockDiagonalCurvature::Fisher::quadratic_form(const ConstView& v, const View& result) const {
  of_.backend_.fill(0, result);
  of_.for_each([&](const Block& block, Curvature& curvature) {
    curvature.fisher().quadratic_form(part_of(of_.backend_, block, v, of_.vector_), of_.element_);
    of_.backend_.axpby(1.0, of_.element_, 1.0, result);
  });
}

/// In a new array: blocks take the context's scratch for this.
void BlockDiagonalCurvature::Fisher::diagonal(const View& diagonal) const {
  of_.for_each([&](const Block& block, Curvature& curvature) {
    if (block.adjacent) {
      return curvature.fisher().diagonal(diagonal.row_range(block.offsets.front(), block.size));
    }
    const Array numbers = of_.context_.array({block.size, 1}, diagonal.type());
    curvature.fisher().diagonal(numbers);
    put_part(of_.backend_, block, numbers, diagonal);
  });
}

void BlockDiagonalCurvature::Fisher::to_dense(const View& matrix) const {
  of_.backend_.fill(0, matrix);
  const auto part = [](const View& of, std::int64_t row, std::int64_t rows, std::int64_t column,
                       std::int64_t columns) {
    return column_range(of.row_range(row, rows), column, columns);
  };
  of_.for_each([&](const Block& block, Curvature& curvature) {
    if (block.adjacent) {
      const std::int64_t first = block.offsets.front();
      return curvature.fisher().to_dense(part(matrix, first, block.size, first, block.size));
    }
    const Array numbers = of_.context_.array({block.size, block.size}, matrix.type());
    curvature.fisher().to_dense(numbers);
    for (std::size_t i = 0; i < block.tensors.size(); ++i) {
      for (std::size_t j = 0; j < block.tensors.size(); ++j) {
        const std::int64_t rows = block.tensors[i].theta.size();
        const std::int64_t columns = block.tensors[j].theta.size();
        of_.backend_.copy(
            part(numbers, block.tensors[i].offset, rows, block.tensors[j].offset, columns),
            part(matrix, block.offsets[i], rows, block.offsets[j], columns));
      }
    }
  });
}

void BlockDiagonalCurvature::Fisher::decompose(const Context& context, Eigensystem& to) const {
  to.blocks.resize(of_.parts_.size());
  auto next = to.blocks.begin();
  of_.for_each(
      [&](const Block&, Curvature& curvature) { curvature.fisher().decompose(context, *next++); });
}

void BlockDiagonalCurvature::Fisher::pseudo_inverse(const Context& context, const Eigensystem& of,
                                                    double cutoff, const ConstView& v,
                                                    const View& product) const {
  auto next = of.blocks.begin();
  of_.for_each([&](const Block& block, Curvature& curvature) {
    const Array part = context.array({block.size, 1}, ElementType::float64);
    const Array part_product = context.array({block.size, 1}, ElementType::float64);
    take_part(of_.backend_, block, v, part);
    curvature.fisher().pseudo_inverse(context, *next++, cutoff, part, part_product);
    put_part(of_.backend_, block, part_product, product);
  });
}

}  // namespace natgrad::detail
