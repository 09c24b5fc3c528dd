#pragma once

#include "natgrad/error.hpp"

#include <new>
#include <stdexcept>
#include <utility>

namespace natgrad::detail {

/// What is thrown when the host has no memory: made in advance, because a text made then would
/// itself take memory. Copies share its text and allocate nothing.
const MemoryError& host_memory_error();

/// Runs the body of a public entry point and returns its result. Throws `MemoryError` where a
/// container of the host found no memory (`std::bad_alloc`, or `std::length_error` for more
/// elements than it can count). It stands outermost, so that whatever a failure undoes on its way
/// is undone.
template <class Body>
decltype(auto) with_memory_errors(Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    throw MemoryError(host_memory_error());
  } catch (const std::length_error&) {
    throw MemoryError(host_memory_error());
  }
}

}  // namespace natgrad::detail
