#pragma once

#include "support/emulated_cuda/control.hpp"
#include "support/layered_batch.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace natgrad::tests {

inline const BatchShape net = {.layers = {{.inputs = 5, .outputs = 4}, {.inputs = 4, .outputs = 3}},
                               .samples = 9};

/// The emulated device as it is at first, whatever the test has made of it.
class EmulatedContracts : public testing::Test {
 protected:
  void TearDown() override {
    emulated_cuda::set_devices(1);
    emulated_cuda::set_driver_version(CUDART_VERSION);
    emulated_cuda::set_compute_capability(8);
    emulated_cuda::fail_allocation(0);
    emulated_cuda::fail_work(0);
    emulated_cuda::set_device_memory(emulated_cuda::usual_device_memory);
    emulated_cuda::fail_handle(0);
    emulated_cuda::fail_factorization(0);
  }
};

template <class Expected>
void expect_error(const std::function<void()>& call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown instead of: " << text;
  } catch (const Expected& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

}  // namespace natgrad::tests
