#include "core/memory_errors.hpp"

namespace natgrad::detail {

namespace {

/// Made while the library is loaded.
const MemoryError host_error("the host has no memory for the library's lists and texts");

}  // namespace

const MemoryError& host_memory_error() { return host_error; }

}  // namespace natgrad::detail
