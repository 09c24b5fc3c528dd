// What one GPU reaches: launches of kernels and of CUDA graphs, copies, symmetric products against
// general ones by arithmetic, matrix products by type, Cholesky in both triangles, and whether
// cuSOLVER's factorization and solve can be captured in a CUDA graph and replayed. One line a
// figure: name, size, median, unit.
//
//   natgrad-ceilings [launch] [copy] [syrk] [potrf] [capture] [gemm]
//
// All sections without an argument. Sizes and repetitions are chosen for less than 30 s at half the
// rates of an H200's data sheet. A section that fails says so, and the next one runs.

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(std::string(what) + ": " + cublasGetStatusString(status));
  }
}
void check(cusolverStatus_t status, const char* what) {
  if (status != CUSOLVER_STATUS_SUCCESS) {
    throw std::runtime_error(std::string(what) + ": cuSOLVER's status " +
                             std::to_string(static_cast<int>(status)));
  }
}

/// An array on the device.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count) : count_(count) {
    check(cudaMalloc(&data_, bytes()), "allocate");
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return static_cast<T*>(data_); }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }
  std::int64_t count() const { return count_; }
  std::vector<T> on_host() const {
    std::vector<T> values(static_cast<std::size_t>(count_));
    check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), "read");
    return values;
  }

 private:
  std::int64_t count_;
  void* data_ = nullptr;
};

__global__ void nothing() {}

/// Values in [-1, 1) with all bits of a float's mantissa: products of zeros draw less power and run
/// faster, and short numbers would survive the rounding to TF32.
template <class T>
__global__ void scatter(T* a, std::int64_t count) {
  const std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (i >= count) return;
  auto bits = static_cast<std::uint32_t>(i) * 2654435761u;
  bits = (bits ^ (bits >> 16)) * 2246822519u;
  bits ^= bits >> 13;
  a[i] = static_cast<T>(static_cast<float>(bits >> 8) * 0x1p-23f - 1.0f);
}

/// Symmetric, its diagonal larger than the sum of its row.
template <class T>
__global__ void make_positive_definite(T* a, std::int64_t n) {
  const std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x;
  if (i >= n * n) return;
  const std::int64_t row = i % n;
  const std::int64_t column = i / n;
  a[i] = row == column ? static_cast<T>(n)
                       : static_cast<T>(1) / static_cast<T>(1 + (row + column) % 97);
}

constexpr int block_size = 256;
unsigned blocks_for(std::int64_t count) {
  return static_cast<unsigned>((count + block_size - 1) / block_size);
}

/// The stream, what works on it, and the clock.
class Gpu {
 public:
  Gpu() : flushed_(std::int64_t{256} << 20) {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
    check(cublasCreate(&blas), "create a cuBLAS handle");
    check(cublasSetStream(blas, stream), "set the stream");
    check(cusolverDnCreate(&solver), "create a cuSOLVER handle");
    check(cusolverDnSetStream(solver, stream), "set the stream");
    check(cusolverDnCreateParams(&params), "create cuSOLVER's parameters");
    check(cudaEventCreate(&begin_), "create an event");
    check(cudaEventCreate(&end_), "create an event");
  }
  ~Gpu() {
    cudaEventDestroy(end_);
    cudaEventDestroy(begin_);
    cusolverDnDestroyParams(params);
    cusolverDnDestroy(solver);
    cublasDestroy(blas);
    cudaStreamDestroy(stream);
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  /// Median milliseconds of seven runs of `work` on the stream, of three where one takes more than
  /// 30 ms; the first run is not counted. `prepare` comes before each and is not timed, nor is
  /// overwriting an array larger than the L2 cache.
  double milliseconds(
      const std::function<void()>& work, const std::function<void()>& prepare = [] {}) {
    once(work, prepare);
    std::vector<float> times = {once(work, prepare)};
    const std::size_t runs = times[0] > 30 ? 3 : 7;
    while (times.size() < runs) times.push_back(once(work, prepare));
    std::sort(times.begin(), times.end());
    return times[runs / 2];
  }

  void synchronize() const { check(cudaStreamSynchronize(stream), "synchronize"); }

  template <class T>
  void copy(const Buffer<T>& from, const Buffer<T>& to) const {
    check(cudaMemcpyAsync(to.get(), from.get(), to.bytes(), cudaMemcpyDeviceToDevice, stream),
          "copy");
  }

  template <class T>
  void fill_with_varied_numbers(const Buffer<T>& a) const {
    scatter<<<blocks_for(a.count()), block_size, 0, stream>>>(a.get(), a.count());
    check(cudaGetLastError(), "launch");
  }

  cudaStream_t stream = nullptr;
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  cusolverDnParams_t params = nullptr;

 private:
  float once(const std::function<void()>& work, const std::function<void()>& prepare) {
    prepare();
    check(cudaMemsetAsync(flushed_.get(), 1, flushed_.bytes(), stream), "flush");
    check(cudaEventRecord(begin_, stream), "record an event");
    work();
    check(cudaEventRecord(end_, stream), "record an event");
    check(cudaEventSynchronize(end_), "wait for an event");
    float time = 0;
    check(cudaEventElapsedTime(&time, begin_, end_), "time between events");
    return time;
  }

  Buffer<char> flushed_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

/// What `work` enqueues, as a graph. Throws where it cannot be captured or instantiated.
class Graph {
 public:
  Graph(const Gpu& gpu, const std::function<void()>& work) : stream_(gpu.stream) {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "begin a capture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "end the capture");
    const cudaError_t status = cudaGraphInstantiate(&runnable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "instantiate");
  }
  ~Graph() { cudaGraphExecDestroy(runnable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch() const { check(cudaGraphLaunch(runnable_, stream_), "launch a graph"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t runnable_ = nullptr;
};

/// Microseconds of the host's time.
double host_microseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

void launches(Gpu& gpu) {
  constexpr int kernels = 100;
  const auto launch = [&] {
    for (int i = 0; i < kernels; ++i) nothing<<<1, 32, 0, gpu.stream>>>();
    check(cudaGetLastError(), "launch");
  };
  const double device = 1e3 * gpu.milliseconds(launch) / kernels;
  const double host = host_microseconds(launch) / kernels;
  gpu.synchronize();
  std::printf("launch of an empty kernel, %d in a row: %.2f us each, %.2f us of the host\n",
              kernels, device, host);
  const Graph graph(gpu, launch);
  const double replay = 1e3 * gpu.milliseconds([&] { graph.launch(); });
  const double enqueue = host_microseconds([&] { graph.launch(); });
  gpu.synchronize();
  std::printf("launch of a graph of %d empty kernels: %.2f us, %.2f us each, %.2f us of the host\n",
              kernels, replay, replay / kernels, enqueue);
  const Graph one(gpu, [&] { nothing<<<1, 32, 0, gpu.stream>>>(); });
  std::printf("launch of a graph of one empty kernel: %.2f us\n",
              1e3 * gpu.milliseconds([&] { one.launch(); }));
}

void copies(Gpu& gpu) {
  const Buffer<char> from(std::int64_t{4} << 30);
  const Buffer<char> to(from.count());
  const auto bytes = static_cast<double>(from.bytes());
  check(cudaMemsetAsync(from.get(), 1, from.bytes(), gpu.stream), "fill");
  const double copy = gpu.milliseconds([&] { gpu.copy(from, to); });
  std::printf("copy 4 GiB %.3f ms %.2f TB/s, read and written\n", copy, 2e-9 * bytes / copy);
  const double fill = gpu.milliseconds(
      [&] { check(cudaMemsetAsync(to.get(), 1, to.bytes(), gpu.stream), "fill"); });
  std::printf("fill 4 GiB %.3f ms %.2f TB/s\n", fill, 1e-9 * bytes / fill);
}

enum class Part { all, lower, upper };

/// Root mean square of a - b over that of b, off the diagonal, in a part of n x n matrices by
/// columns: about 3e-4 where products took TF32, below 1e-5 where they took float.
double difference(const std::vector<float>& a, const std::vector<float>& b, std::int64_t n,
                  Part part) {
  double squares = 0;
  double reference = 0;
  for (std::int64_t column = 0; column < n; ++column) {
    const std::int64_t first = part == Part::lower ? column + 1 : 0;
    const std::int64_t end = part == Part::upper ? column : n;
    for (std::int64_t row = first; row < end; ++row) {
      if (row == column) continue;
      const auto i = static_cast<std::size_t>(column * n + row);
      const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
      squares += d * d;
      reference += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
  }
  return std::sqrt(squares / reference);
}

/// K = A^T A, K (n, n), A (k, n) by columns: one triangle by syrk against all of it by gemm. Their
/// rates count n^2 k and 2 n^2 k operations. The difference is that from gemm in pedantic float.
void symmetric_product(Gpu& gpu, std::int64_t n, std::int64_t k) {
  struct Arithmetic {
    const char* name;
    cublasMath_t mode;
  };
  struct Product {
    const char* name;
    Part part;
  };
  const Buffer<float> a(n * k);
  const Buffer<float> c(n * n);
  gpu.fill_with_varied_numbers(a);
  std::vector<float> reference;
  for (const auto& [arithmetic, mode] :
       {Arithmetic{"pedantic", CUBLAS_PEDANTIC_MATH}, Arithmetic{"default", CUBLAS_DEFAULT_MATH},
        Arithmetic{"tf32", CUBLAS_TF32_TENSOR_OP_MATH}}) {
    check(cublasSetMathMode(gpu.blas, mode), "set the math mode");
    for (const auto& [product, part] :
         {Product{"gemm", Part::all}, Product{"syrk_lower", Part::lower},
          Product{"syrk_upper", Part::upper}}) {
      const float one = 1;
      const float zero = 0;
      const double ms = gpu.milliseconds([&] {
        if (part == Part::all) {
          check(cublasSgemm_64(gpu.blas, CUBLAS_OP_T, CUBLAS_OP_N, n, n, k, &one, a.get(), k,
                               a.get(), k, &zero, c.get(), n),
                "gemm");
          return;
        }
        check(cublasSsyrk_64(gpu.blas,
                             part == Part::lower ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER,
                             CUBLAS_OP_T, n, k, &one, a.get(), k, &zero, c.get(), n),
              "syrk");
      });
      const std::vector<float> values = c.on_host();
      if (reference.empty()) reference = values;
      const double operations =
          (part == Part::all ? 2e-9 : 1e-9) * static_cast<double>(n * n) * static_cast<double>(k);
      std::printf("%s_%s n %ld k %ld %.4f ms %.1f TFLOP/s, difference %.1e\n", product, arithmetic,
                  n, k, ms, operations / ms, difference(values, reference, n, part));
    }
  }
  check(cublasSetMathMode(gpu.blas, CUBLAS_DEFAULT_MATH), "set the math mode");
}

void symmetric_products(Gpu& gpu) {
  // Those of the Gram matrix of a layer, and of dense rows.
  for (const std::int64_t k : {1024, 65536}) {
    for (const std::int64_t n : {256, 1024, 4096}) symmetric_product(gpu, n, k);
  }
}

template <class T>
constexpr cudaDataType type_of = sizeof(T) == 8 ? CUDA_R_64F : CUDA_R_32F;
template <class T>
constexpr const char* name_of = sizeof(T) == 8 ? "double" : "float";
const char* name_of_triangle(cublasFillMode_t triangle) {
  return triangle == CUBLAS_FILL_MODE_LOWER ? "lower" : "upper";
}

/// The factorization of a matrix (n, n), and the solution for one right-hand side.
template <class T>
class Cholesky {
 public:
  Cholesky(const Gpu& gpu, cublasFillMode_t triangle, std::int64_t n)
      : gpu_(gpu),
        triangle_(triangle),
        n_(n),
        given_matrix_(n * n),
        given_side_(n),
        matrix_(n * n),
        side_(n),
        info_(1) {
    make_positive_definite<<<blocks_for(n * n), block_size, 0, gpu.stream>>>(given_matrix_.get(),
                                                                             n);
    check(cudaGetLastError(), "launch");
    gpu.fill_with_varied_numbers(given_side_);
    std::size_t device = 0;
    std::size_t host = 0;
    check(cusolverDnXpotrf_bufferSize(gpu.solver, gpu.params, triangle, n, type_of<T>,
                                      matrix_.get(), n, type_of<T>, &device, &host),
          "size of potrf's workspace");
    check(cudaMalloc(&workspace_, device + 1), "allocate");
    device_bytes_ = device;
    host_bytes_ = host;
    host_workspace_.resize(host + 1);
  }
  ~Cholesky() { cudaFree(workspace_); }
  Cholesky(const Cholesky&) = delete;
  Cholesky& operator=(const Cholesky&) = delete;

  void restore_matrix() const { gpu_.copy(given_matrix_, matrix_); }
  void restore_side() const { gpu_.copy(given_side_, side_); }
  void factor() {
    check(cusolverDnXpotrf(gpu_.solver, gpu_.params, triangle_, n_, type_of<T>, matrix_.get(), n_,
                           type_of<T>, workspace_, device_bytes_, host_workspace_.data(),
                           host_bytes_, info_.get()),
          "potrf");
  }
  void solve() {
    check(cusolverDnXpotrs(gpu_.solver, gpu_.params, triangle_, n_, 1, type_of<T>, matrix_.get(),
                           n_, type_of<T>, side_.get(), n_, info_.get()),
          "potrs");
  }

  /// So that what a replay leaves out is seen: NaN everywhere.
  void spoil_matrix() const { spoil(matrix_); }
  void spoil_side() const { spoil(side_); }
  std::vector<T> matrix() const { return matrix_.on_host(); }
  std::vector<T> side() const { return side_.on_host(); }
  int info() const { return info_.on_host().front(); }
  std::size_t device_bytes() const { return device_bytes_; }
  std::size_t host_bytes() const { return host_bytes_; }

 private:
  void spoil(const Buffer<T>& values) const {
    check(cudaMemsetAsync(values.get(), 0xff, values.bytes(), gpu_.stream), "spoil");
  }

  const Gpu& gpu_;
  cublasFillMode_t triangle_;
  std::int64_t n_;
  Buffer<T> given_matrix_, given_side_, matrix_, side_;
  Buffer<int> info_;
  void* workspace_ = nullptr;
  std::size_t device_bytes_ = 0;
  std::size_t host_bytes_ = 0;
  std::vector<char> host_workspace_;
};

template <class T>
void factorizations_of(Gpu& gpu) {
  for (const std::int64_t n : {256, 512, 1024, 2048, 4096, 8192}) {
    for (const auto triangle : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
      Cholesky<T> problem(gpu, triangle, n);
      const double factor =
          gpu.milliseconds([&] { problem.factor(); }, [&] { problem.restore_matrix(); });
      const int info = problem.info();
      const double solve =
          gpu.milliseconds([&] { problem.solve(); }, [&] { problem.restore_side(); });
      const auto size = static_cast<double>(n);
      std::printf("potrf_%s_%s n %ld %.1f us %.2f TFLOP/s, potrs %.1f us, info %d, ", name_of<T>,
                  name_of_triangle(triangle), n, 1e3 * factor,
                  1e-9 * size * size * size / 3 / factor, 1e3 * solve, info);
      std::printf("workspace %zu device %zu host\n", problem.device_bytes(), problem.host_bytes());
    }
  }
}

void factorizations(Gpu& gpu) {
  factorizations_of<float>(gpu);
  factorizations_of<double>(gpu);
}

/// "equal", or by how much the largest difference is away from it.
template <class T>
std::string compare(const std::vector<T>& found, const std::vector<T>& expected) {
  if (std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)) == 0) return "equal";
  double largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto d = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (!(d <= largest)) largest = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "DIFFERENT by %.1e", largest);
  return text.data();
}

/// Captures `work`, launches it twice, each time after `spoil`, and compares what `result` gives
/// with what it gave after an uncaptured run.
template <class T>
void capture(Gpu& gpu, const std::string& name, const std::function<void()>& work,
             const std::function<void()>& spoil, const std::function<std::vector<T>()>& result) {
  work();
  gpu.synchronize();
  const std::vector<T> expected = result();
  std::string text = "capture_" + name + ": ";
  try {
    const Graph graph(gpu, work);
    text += "instantiated";
    for (const char* launch : {", launch 1 ", ", launch 2 "}) {
      spoil();
      graph.launch();
      gpu.synchronize();
      text += launch + compare(result(), expected);
    }
    const double plain = gpu.milliseconds(work);
    const double replayed = gpu.milliseconds([&] { graph.launch(); });
    std::printf("%s, %.1f us replayed, %.1f us uncaptured\n", text.c_str(), 1e3 * replayed,
                1e3 * plain);
  } catch (const std::exception& error) {
    std::printf("%s, FAILED: %s\n", text.c_str(), error.what());
    cudaGetLastError();
  }
}

/// With the copies that give them their arguments: potrf alone, potrs alone, and both.
template <class T>
void captures_of(Gpu& gpu) {
  for (const auto triangle : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
    for (const std::int64_t n : {1024, 4096}) {
      Cholesky<T> problem(gpu, triangle, n);
      const std::string of = std::string("_") + name_of<T> + "_" + name_of_triangle(triangle) +
                             " n " + std::to_string(n);
      const auto factor = [&] {
        problem.restore_matrix();
        problem.factor();
      };
      const auto solve = [&] {
        problem.restore_side();
        problem.solve();
      };
      capture<T>(
          gpu, "potrf" + of, factor, [&] { problem.spoil_matrix(); },
          [&] { return problem.matrix(); });
      // Of which the factor stays: an uncaptured one, should the capture above have failed.
      factor();
      capture<T>(
          gpu, "potrs" + of, solve, [&] { problem.spoil_side(); }, [&] { return problem.side(); });
      capture<T>(
          gpu, "potrf_potrs" + of,
          [&] {
            factor();
            solve();
          },
          [&] {
            problem.spoil_matrix();
            problem.spoil_side();
          },
          [&] { return problem.side(); });
    }
  }
}

void captures(Gpu& gpu) {
  captures_of<float>(gpu);
  captures_of<double>(gpu);
}

template <class T>
void product(Gpu& gpu, const char* name, std::array<std::int64_t, 3> size, cudaDataType type,
             cublasComputeType_t arithmetic) {
  using Result = std::conditional_t<sizeof(T) == 8, double, float>;
  const auto [m, n, k] = size;
  const Buffer<T> a(m * k);
  const Buffer<T> b(n * k);
  const Buffer<Result> c(m * n);
  gpu.fill_with_varied_numbers(a);
  gpu.fill_with_varied_numbers(b);
  const Result one = 1;
  const Result zero = 0;
  const double ms = gpu.milliseconds([&] {
    check(cublasGemmEx_64(gpu.blas, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &one, a.get(), type, k,
                          b.get(), type, k, &zero, c.get(), type_of<Result>, m, arithmetic,
                          CUBLAS_GEMM_DEFAULT),
          "gemm");
  });
  std::printf("%s %ldx%ldx%ld %.3f ms %.1f TFLOP/s\n", name, m, n, k, ms,
              2e-9 * static_cast<double>(m * n) * static_cast<double>(k) / ms);
}

void products(Gpu& gpu) {
  for (const auto& size : {std::array<std::int64_t, 3>{8192, 8192, 8192},
                           {1024, 1024, 65536},
                           {4096, 4096, 65536},
                           {1024, 4096, 4096},
                           {1024, 1024, 1024}}) {
    product<float>(gpu, "gemm_float_pedantic", size, CUDA_R_32F, CUBLAS_COMPUTE_32F_PEDANTIC);
    product<float>(gpu, "gemm_float_default", size, CUDA_R_32F, CUBLAS_COMPUTE_32F);
    product<float>(gpu, "gemm_tf32", size, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32);
    product<__nv_bfloat16>(gpu, "gemm_bfloat16", size, CUDA_R_16BF, CUBLAS_COMPUTE_32F);
    product<double>(gpu, "gemm_double", size, CUDA_R_64F, CUBLAS_COMPUTE_64F);
  }
}

struct Section {
  const char* name;
  void (*run)(Gpu&);
};
constexpr std::array<Section, 6> sections = {{{"launch", launches},
                                              {"copy", copies},
                                              {"syrk", symmetric_products},
                                              {"potrf", factorizations},
                                              {"capture", captures},
                                              {"gemm", products}}};

void print_device() {
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "look for a device");
  int driver = 0;
  int runtime = 0;
  check(cudaDriverGetVersion(&driver), "the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "the runtime's version");
  std::printf("device %s, %d multiprocessors, %.1f GiB, CUDA of the driver %d, runtime %d\n",
              device.name, device.multiProcessorCount,
              static_cast<double>(device.totalGlobalMem) / (1 << 30), driver, runtime);
}

/// How many sections failed.
int run_sections(const std::vector<std::string>& chosen) {
  for (const std::string& name : chosen) {
    if (std::none_of(sections.begin(), sections.end(),
                     [&](const Section& section) { return name == section.name; })) {
      throw std::runtime_error("there is no section " + name);
    }
  }
  print_device();
  Gpu gpu;
  int failed = 0;
  for (const Section& section : sections) {
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), section.name) == chosen.end()) {
      continue;
    }
    try {
      section.run(gpu);
    } catch (const std::exception& error) {
      std::printf("%s FAILED: %s\n", section.name, error.what());
      ++failed;
    }
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  // Into a pipe too, each line when it is known.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  try {
    return run_sections({argv + 1, argv + argc}) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "natgrad-ceilings: %s\n", error.what());
    return 2;
  }
}
