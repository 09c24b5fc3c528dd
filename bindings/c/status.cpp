#include "bindings/c/status.hpp"

#include "core/memory_errors.hpp"
#include "natgrad/version.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace natgrad::c {

namespace {

/// Of this thread's last call that failed.
thread_local natgrad_status last_status = NATGRAD_OK;
thread_local std::string last_text;  // NOLINT(cert-err58-cpp): an empty one does not throw
/// Stands for a text that found no memory.
thread_local const char* last_words = "";

natgrad_status remember(natgrad_status status, const char* text) noexcept {
  last_status = status;
  try {
    last_text = text;
    last_words = last_text.c_str();
  } catch (...) {
    last_words = detail::host_memory_error().what();
  }
  return status;
}

constexpr bool same(ErrorCode code, natgrad_status status) {
  return static_cast<natgrad_status>(code) == status;
}
static_assert(same(ErrorCode::argument, NATGRAD_ERROR_ARGUMENT) &&
              same(ErrorCode::shape, NATGRAD_ERROR_SHAPE) &&
              same(ErrorCode::type, NATGRAD_ERROR_TYPE) &&
              same(ErrorCode::device, NATGRAD_ERROR_DEVICE) &&
              same(ErrorCode::option, NATGRAD_ERROR_OPTION) &&
              same(ErrorCode::file, NATGRAD_ERROR_FILE) &&
              same(ErrorCode::memory, NATGRAD_ERROR_MEMORY) &&
              same(ErrorCode::step_failed, NATGRAD_ERROR_STEP_FAILED) &&
              same(ErrorCode::other, NATGRAD_ERROR_OTHER));

}  // namespace

natgrad_status remember_exception() noexcept {
  try {
    throw;
  } catch (const CallbackError& error) {
    return remember(NATGRAD_ERROR_CALLBACK, error.what());
  } catch (const Error& error) {
    return remember(static_cast<natgrad_status>(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return remember(NATGRAD_ERROR_MEMORY, detail::host_memory_error().what());
  } catch (const std::length_error&) {
    return remember(NATGRAD_ERROR_MEMORY, detail::host_memory_error().what());
  } catch (const std::exception& error) {
    return remember(NATGRAD_ERROR_OTHER, error.what());
  } catch (...) {
    return remember(NATGRAD_ERROR_OTHER, "something was thrown that is no std::exception");
  }
}

void copy_text(std::string_view text, char* buffer, std::size_t capacity, std::size_t* length) {
  if (buffer == nullptr && capacity > 0)
    throw ArgumentError("buffer is null, its capacity is not 0");
  if (length != nullptr) *length = text.size();
  if (capacity == 0) return;
  const std::size_t bytes = std::min(text.size(), capacity - 1);
  std::memcpy(buffer, text.data(), bytes);
  buffer[bytes] = '\0';
}

}  // namespace natgrad::c

const char* natgrad_error_text() { return natgrad::c::last_words; }

natgrad_status natgrad_error_status() { return natgrad::c::last_status; }

const char* natgrad_version_text() { return natgrad::version(); }
