#pragma once

// For programs that train with LibTorch, header only: tensors as views, a context on torch's
// stream, and a recorder of layers. Link natgrad and torch; docs/linking.md gives the CMake lines.

#include "natgrad/torch/capture.hpp"
#include "natgrad/torch/tensors.hpp"
