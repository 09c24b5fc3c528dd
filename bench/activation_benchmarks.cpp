// Activations, on the CPU on one core: nanoseconds an element, forward (with the bias) and
// backward.

#include "benchmarks.hpp"
#include "core/context_state.hpp"
#include "natgrad/process.hpp"

#include <string>

namespace natgrad::bench {

namespace {

/// One thread while it lives.
class SingleThread {
 public:
  SingleThread() { set_threads(1); }
  ~SingleThread() { set_threads(before_); }
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int before_ = threads();
};

constexpr std::int64_t columns = 1024;

void activation(benchmark::State& state, Activation activation, ElementType type, bool backward) {
  const SingleThread single;
  const Context context = bench_context();
  const std::int64_t rows = on_cuda() ? 65536 : 64;
  Backend& backend = context.state().backend();
  const std::vector<float> numbers = normal_numbers(rows * columns, 1);
  const Array source = upload(numbers, {rows, columns});
  const Array z = context.array({rows, columns}, type);
  const Array a = context.array({rows, columns}, type);
  const Array bias = context.array({columns, 1}, type);
  const Array delta = context.array({rows, columns}, type);
  backend.fill(0, bias);
  backend.fill(1, delta);
  double total = 0;
  for (auto _ : state) {
    // The derivative multiplies in place: without this it would soon time subnormal numbers.
    backend.fill(1, delta);
    backend.copy(source, z);
    if (backward) backend.bias_activation(activation, bias, z, a);
    const double time = seconds([&] {
      if (backward)
        backend.activation_backward(activation, z, a, delta);
      else
        backend.bias_activation(activation, bias, z, a);
    });
    state.SetIterationTime(time);
    total += time;
  }
  state.counters["ns_per_element"] =
      1e9 * total / static_cast<double>(state.iterations() * rows * columns);
}

}  // namespace

void register_activations() {
  for (const Activation which :
       {Activation::tanh, Activation::sigmoid, Activation::gelu, Activation::relu}) {
    for (const ElementType type : {ElementType::float32, ElementType::float64}) {
      for (const bool backward : {false, true}) {
        const std::string name = std::string("activation/") + to_string(which) + "/" +
                                 (backward ? "backward/" : "forward/") + to_string(type);
        configure(benchmark::RegisterBenchmark(name.c_str(),
                                               [which, type, backward](benchmark::State& state) {
                                                 activation(state, which, type, backward);
                                               }));
      }
    }
  }
}

}  // namespace natgrad::bench
