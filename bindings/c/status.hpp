#pragma once

#include "core/message.hpp"
#include "natgrad/error.hpp"
#include "natgrad/natgrad.h"

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

// How exceptions become a status and a text, for every function of the C interface.

namespace natgrad::c {

/// A function of the caller's did not do its work.
class CallbackError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Keeps status and text of the exception that is being handled, for this thread, and returns the
/// status.
natgrad_status remember_exception() noexcept;

/// Runs the body of a function of the interface.
template <class Body>
natgrad_status guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return NATGRAD_OK;
  } catch (...) {
    return remember_exception();
  }
}

/// What a pointer of the caller's points to. Throws `ArgumentError` for null.
template <class T>
T& required(const char* name, T* pointer) {
  if (pointer == nullptr) throw ArgumentError(detail::message(name, " is null"));
  return *pointer;
}

/// A text for the caller, as natgrad.h says under "Texts". Throws `ArgumentError` for a capacity
/// without a buffer.
void copy_text(std::string_view text, char* buffer, std::size_t capacity, std::size_t* length);

/// Calls a function of the caller's. Throws `CallbackError` where it returns non-zero or throws.
template <class Function, class... Arguments>
void call_back(const char* name, Function function, Arguments... arguments) {
  std::int32_t result = 0;
  try {
    result = function(arguments...);
  } catch (const std::exception& error) {
    throw CallbackError(detail::message(name, " threw: ", error.what()));
  } catch (...) {
    throw CallbackError(detail::message(name, " threw what is no std::exception"));
  }
  if (result != 0) throw CallbackError(detail::message(name, " returned ", result));
}

}  // namespace natgrad::c
