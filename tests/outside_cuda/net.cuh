#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

// What is somebody else's: a net with kernels, tensors and a stream of its own, and data, two
// interleaved half circles.

namespace {

constexpr int inputs = 2;
constexpr int hidden = 32;
constexpr int classes = 2;
constexpr int samples = 1024;
constexpr int batch = 256;
constexpr int steps = 60;
constexpr int size = hidden * (inputs + 1) + classes * (hidden + 1);  // of all parameters
constexpr int threads = 128;

void require(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

/// inputs - tanh - classes with a softmax; row-major, one row a sample. All on the device.
struct Net {
  float *w1, *b1, *w2, *b2;
  // Of the samples seen last.
  float* activation;  // tanh(z1), (n, hidden)
  float* score1;      // d log p / d z1
  float* score2;      // d log p / d z2
  float* loss;        // -log p, (n)
};

__global__ void hidden_layer(Net net, const float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n * hidden) return;
  const float* row = x + i / hidden * inputs;
  const int j = i % hidden;
  float z = net.b1[j];
  for (int k = 0; k < inputs; ++k) z += net.w1[j * inputs + k] * row[k];
  net.activation[i] = tanhf(z);
}

__global__ void output_scores(Net net, const int* label, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float z[classes];
  float largest = -INFINITY;
  for (int k = 0; k < classes; ++k) {
    z[k] = net.b2[k];
    for (int j = 0; j < hidden; ++j)
      z[k] += net.w2[k * hidden + j] * net.activation[i * hidden + j];
    largest = fmaxf(largest, z[k]);
  }
  float sum = 0;
  for (int k = 0; k < classes; ++k) sum += expf(z[k] - largest);
  net.loss[i] = largest + logf(sum) - z[label[i]];
  for (int k = 0; k < classes; ++k) {
    net.score2[i * classes + k] = (k == label[i] ? 1.0F : 0.0F) - expf(z[k] - largest) / sum;
  }
}

__global__ void hidden_scores(Net net, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n * hidden) return;
  float back = 0;
  for (int k = 0; k < classes; ++k) {
    back += net.w2[k * hidden + i % hidden] * net.score2[i / hidden * classes + k];
  }
  net.score1[i] = back * (1 - net.activation[i] * net.activation[i]);
}

int blocks(int count) { return (count + threads - 1) / threads; }

/// Enqueues the forward and backward pass of n samples.
void pass(const Net& net, const float* x, const int* label, int n, cudaStream_t stream) {
  hidden_layer<<<blocks(n * hidden), threads, 0, stream>>>(net, x, n);
  output_scores<<<blocks(n), threads, 0, stream>>>(net, label, n);
  hidden_scores<<<blocks(n * hidden), threads, 0, stream>>>(net, n);
  require(cudaGetLastError(), "forward and backward pass");
}

/// The program's own stream, ordered with no other, and tensors on the device.
class Device {
 public:
  Device() { require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream"); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    cudaError_t status = cudaStreamDestroy(stream_);
    for (void* tensor : tensors_) {
      if (const cudaError_t freed = cudaFree(tensor); freed != cudaSuccess) status = freed;
    }
    if (status != cudaSuccess) std::fprintf(stderr, "outside: %s\n", cudaGetErrorString(status));
  }

  cudaStream_t stream() const { return stream_; }

  template <class T>
  T* tensor(const std::vector<T>& values) {
    void* memory = nullptr;
    const std::size_t bytes = values.size() * sizeof(T);
    require(cudaMalloc(&memory, bytes), "cudaMalloc");
    tensors_.push_back(memory);
    require(cudaMemcpyAsync(memory, values.data(), bytes, cudaMemcpyHostToDevice, stream_), "copy");
    require(cudaStreamSynchronize(stream_), "copy");
    return static_cast<T*>(memory);
  }

 private:
  cudaStream_t stream_ = nullptr;
  std::vector<void*> tensors_;
};

/// Numbers in [-1, 1) that are the same everywhere.
class Numbers {
 public:
  float next() {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<float>(state_ >> 8U) / static_cast<float>(1U << 23U) - 1;
  }
  std::vector<float> vector(int count, float scale) {
    std::vector<float> values(count);
    for (float& value : values) value = scale * next();
    return values;
  }

 private:
  std::uint32_t state_ = 1;
};

struct Data {
  const float* x;    // (samples, inputs)
  const int* label;  // (samples)
};

Data half_circles(Device& device, Numbers& numbers) {
  std::vector<float> x;
  std::vector<int> label;
  for (int n = 0; n < samples; ++n) {
    const float angle = 3.14159F * (numbers.next() + 1) / 2;
    const bool upper = n % 2 == 0;
    x.push_back((upper ? std::cos(angle) : 1 - std::cos(angle)) + 0.1F * numbers.next());
    x.push_back((upper ? std::sin(angle) : 0.5F - std::sin(angle)) + 0.1F * numbers.next());
    label.push_back(n % 2);
  }
  return {device.tensor(x), device.tensor(label)};
}

Net random_net(Device& device, Numbers& numbers) {
  const auto zeros = [&](int count) { return device.tensor(std::vector<float>(count)); };
  return {.w1 = device.tensor(numbers.vector(hidden * inputs, 1)),
          .b1 = zeros(hidden),
          .w2 = device.tensor(numbers.vector(classes * hidden, 0.2F)),
          .b2 = zeros(classes),
          .activation = zeros(samples * hidden),
          .score1 = zeros(samples * hidden),
          .score2 = zeros(samples * classes),
          .loss = zeros(samples)};
}

/// The mean of -log p over all samples. Waits.
double mean_loss(const Net& net, const Data& data, cudaStream_t stream) {
  pass(net, data.x, data.label, samples, stream);
  std::vector<float> loss(samples);
  require(cudaMemcpyAsync(loss.data(), net.loss, samples * sizeof(float), cudaMemcpyDeviceToHost,
                          stream),
          "copy");
  require(cudaStreamSynchronize(stream), "forward pass");
  double sum = 0;
  for (const float value : loss) sum += value;
  return sum / samples;
}

int fail(const char* text) {
  std::fprintf(stderr, "outside: %s\n", text);
  return 1;
}

/// Runs a program where there is a GPU.
template <class Program>
int run_on_a_gpu(const Program& program) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::printf("SKIPPED without a GPU: %s; nothing was trained or compared\n",
                status == cudaSuccess ? "no device" : cudaGetErrorString(status));
    return 0;
  }
  try {
    return program();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace
