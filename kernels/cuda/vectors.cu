#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/vectors.hpp"
#include "kernels/formulas/update.hpp"

#include <algorithm>
#include <cstddef>

namespace natgrad::kernels {

namespace {

/// Tensors as one launch takes them: a row of blocks for each.
template <class T>
struct Tensors {
  static constexpr int most = 32;
  static constexpr int widest = pack_width<T>;
  struct Tensor {
    Matrix<T> theta;  // contiguous ones are one long row
    Matrix<const T> d;
    double decay;
    bool packs;  // whether both are one long row of packs
  };
  /// Adjacent elements.
  template <int size>
  struct Own {
    static constexpr int width = size;
    Pack<T, size>* to;  // theta
    Pack<T, size> theta;
    Pack<T, size> d;

    NATGRAD_DEVICE T moved(int k, T rate, T keep) const {
      return formulas::updated(theta.elements[k], d.elements[k], rate, keep);
    }
  };
  Tensor tensors[most];

  /// body(own, 1 - decay shrink) for the elements of one thread.
  template <class Body>
  NATGRAD_DEVICE void for_each(const Thread& thread, double shrink, const Body& body) const {
    const Tensor& tensor = tensors[thread.block.y];
    const T keep = static_cast<T>(1 - tensor.decay * shrink);
    const std::int64_t size = tensor.theta.rows * tensor.theta.columns;
    std::int64_t packed = 0;
    if (tensor.packs) {
      packed = size / widest;
      walk<widest>(tensor, thread.column(), packed, thread.columns(), keep, body);
      packed *= widest;
    }
    walk<1>(tensor, packed + thread.column(), size, thread.columns(), keep, body);
  }

 private:
  template <int width, class Body>
  NATGRAD_DEVICE static void walk(const Tensor& tensor, std::int64_t first, std::int64_t end,
                                  std::int64_t step, T keep, const Body& body) {
    const auto own_of = [&](std::int64_t pack) {
      const std::int64_t at = pack * width;
      const bool one_row = width > 1 || tensor.theta.rows == 1;
      const std::int64_t i = one_row ? 0 : at / tensor.theta.columns;
      const std::int64_t j = at - i * tensor.theta.columns;
      auto* to = reinterpret_cast<Pack<T, width>*>(&tensor.theta(i, j));
      return Own<width>{to, *to, read_pack<width>(tensor.d, i, j)};
    };
    read_then_write(first, end, step, own_of,
                    [&](std::int64_t, const auto& own) { body(own, keep); });
  }
};

template <class T>
struct CheckUpdate {
  static constexpr bool synchronizes = false;
  Tensors<T> tensors;
  DeviceScalar rate;
  DeviceScalar shrink;
  double* finite;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const T step = static_cast<T>(rate.value());
    bool bad = false;
    tensors.for_each(thread, shrink.value(), [&](const auto& own, T keep) {
      for (int k = 0; k < own.width; ++k) {
        bad = bad || !(own.moved(k, step, keep) * 0 == 0);
      }
    });
    if (bad) *finite = 0;  // by any number of threads: they agree
  }
};

template <class T>
struct Update {
  static constexpr bool synchronizes = false;
  DeviceScalar accept;
  Tensors<T> tensors;
  DeviceScalar rate;
  DeviceScalar shrink;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    if (!(accept.value() > 0)) return;
    const T step = static_cast<T>(rate.value());
    tensors.for_each(thread, shrink.value(), [&](const auto& own, T keep) {
      auto result = own.theta;
      for (int k = 0; k < own.width; ++k) result.elements[k] = own.moved(k, step, keep);
      *own.to = result;
    });
  }
};

template <class T>
typename Tensors<T>::Tensor tensor_argument(const UpdatedTensor& tensor) {
  Matrix<T> theta = matrix<T>(tensor.theta);
  Matrix<const T> d = matrix<T>(tensor.d);
  const Elements elements = elements_of({tensor.theta, tensor.d});
  theta.rows = d.rows = elements.rows;
  theta.columns = d.columns = elements.columns;
  constexpr int width = Tensors<T>::widest;
  const bool packs = elements.rows == 1 && begins_with_packs<width>(theta, elements) &&
                     begins_with_packs<width>(d, elements);
  return {theta, d, tensor.decay, packs};
}

// What devices of any generation take as a kernel's arguments.
static_assert(sizeof(CheckUpdate<double>) <= 4096 && sizeof(Update<double>) <= 4096);

/// Launches kernel(Tensors<T>) for as many tensors at a time as fit.
template <class Kernel>
void launch_over_tensors(Stream stream, std::span<const UpdatedTensor> tensors,
                         const Kernel& kernel) {
  if (tensors.empty()) return;
  with_float_type(tensors.front().theta.type(), [&]<class T>(T) {
    while (!tensors.empty()) {
      const std::size_t count = std::min<std::size_t>(tensors.size(), Tensors<T>::most);
      Tensors<T> some{};
      std::int64_t most_packs = 0;
      for (std::size_t i = 0; i < count; ++i) {
        some.tensors[i] = tensor_argument<T>(tensors[i]);
        const std::int64_t width = some.tensors[i].packs ? Tensors<T>::widest : 1;
        most_packs = std::max(most_packs, (tensors[i].theta.size() + width - 1) / width);
      }
      const unsigned blocks = blocks_of_row(most_packs, block_threads, reads_together);
      launch(stream, {blocks, static_cast<unsigned>(count)}, {block_threads}, kernel(some));
      tensors = tensors.subspan(count);
    }
  });
}

}  // namespace

cudaError_t loadable() { return find<Update<double>>(); }

void check_update(Stream stream, std::span<const UpdatedTensor> tensors, DeviceScalar rate,
                  DeviceScalar shrink, const View& finite) {
  launch_over_tensors(stream, tensors, [&]<class T>(const Tensors<T>& some) {
    return CheckUpdate<T>{some, rate, shrink, finite.as<double>()};
  });
}

void update(Stream stream, DeviceScalar accept, std::span<const UpdatedTensor> tensors,
            DeviceScalar rate, DeviceScalar shrink) {
  launch_over_tensors(stream, tensors, [&]<class T>(const Tensors<T>& some) {
    return Update<T>{accept, some, rate, shrink};
  });
}

}  // namespace natgrad::kernels
