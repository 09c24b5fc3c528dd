#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/vectors.hpp"

#include <algorithm>
#include <cstddef>

namespace natgrad::kernels {

namespace {

/// Tensors as one launch takes them: a row of blocks for each.
template <class T>
struct Tensors {
  static constexpr int most = 32;
  struct Tensor {
    Matrix<T> theta;  // contiguous ones are one long row
    Matrix<const T> d;
    double decay;
  };
  Tensor tensors[most];

  /// body(theta's element, d's element, 1 - decay shrink) for those of one thread.
  template <class Body>
  NATGRAD_DEVICE void for_each(const Thread& thread, double shrink, const Body& body) const {
    const Tensor& tensor = tensors[thread.block.y];
    const T keep = static_cast<T>(1 - tensor.decay * shrink);
    const std::int64_t columns = tensor.theta.columns;
    const std::int64_t size = tensor.theta.rows * columns;
    for (std::int64_t at = thread.column(); at < size; at += thread.columns()) {
      const std::int64_t i = tensor.theta.rows == 1 ? 0 : at / columns;
      const std::int64_t j = at - i * columns;
      body(tensor.theta(i, j), tensor.d(i, j), keep);
    }
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
    tensors.for_each(thread, shrink.value(), [&](const T& theta, const T& d, T keep) {
      const T value = keep * theta + step * d;
      bad = bad || !(value * 0 == 0);
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
    tensors.for_each(thread, shrink.value(),
                     [&](T& theta, const T& d, T keep) { theta = keep * theta + step * d; });
  }
};

template <class T>
typename Tensors<T>::Tensor tensor_argument(const UpdatedTensor& tensor) {
  Matrix<T> theta = matrix<T>(tensor.theta);
  Matrix<const T> d = matrix<T>(tensor.d);
  const Elements elements = elements_of({tensor.theta, tensor.d});
  theta.rows = d.rows = elements.rows;
  theta.columns = d.columns = elements.columns;
  return {theta, d, tensor.decay};
}

// What devices of any generation take as a kernel's arguments.
static_assert(sizeof(CheckUpdate<double>) <= 4096 && sizeof(Update<double>) <= 4096);

/// Launches kernel(Tensors<T>) for as many tensors at a time as fit.
template <class Kernel>
void launch_over_tensors(Stream stream, std::span<const UpdatedTensor> tensors,
                         const Kernel& kernel) {
  if (tensors.empty()) return;
  constexpr std::int64_t numbers_of_a_thread = 4;
  with_float_type(tensors.front().theta.type(), [&]<class T>(T) {
    while (!tensors.empty()) {
      const std::size_t count = std::min<std::size_t>(tensors.size(), Tensors<T>::most);
      Tensors<T> some{};
      std::int64_t largest = 0;
      for (std::size_t i = 0; i < count; ++i) {
        some.tensors[i] = tensor_argument<T>(tensors[i]);
        largest = std::max(largest, tensors[i].theta.size());
      }
      launch(
          stream,
          {blocks_for(largest, numbers_of_a_thread * block_threads), static_cast<unsigned>(count)},
          {block_threads}, kernel(some));
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
