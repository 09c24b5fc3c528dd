// A build without CUDA: cuda_timer.cpp is the other one.

#include "benchmarks.hpp"
#include "natgrad/error.hpp"

namespace natgrad::bench {

std::unique_ptr<Timer> cuda_timer(const Context&) {
  throw DeviceError("this build of natgrad has no CUDA backend");
}

void copy_by_cuda(const Context&, const ConstView&, const View&) {
  throw DeviceError("this build of natgrad has no CUDA backend");
}

std::string cuda_name(const Context&) {
  throw DeviceError("this build of natgrad has no CUDA backend");
}

}  // namespace natgrad::bench
