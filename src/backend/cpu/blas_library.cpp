#include "backend/cpu/blas_library.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <dlfcn.h>
#include <string>

namespace natgrad::blas {

#ifdef NATGRAD_BLAS_LIBRARY

namespace {

/// Whether a sanitizer runs in this process: it ends one that asks for RTLD_DEEPBIND.
bool is_sanitized() {
  for (const char* name : {"__asan_init", "__tsan_init", "__msan_init", "__hwasan_init"}) {
    if (dlsym(RTLD_DEFAULT, name) != nullptr) return true;
  }
  return false;
}

/// The library, which is never closed: its threads may be at work.
void* open_library() {
  int flags = RTLD_NOW | RTLD_LOCAL;
#ifdef RTLD_DEEPBIND
  // What it calls is its own, even where another BLAS stands in the global scope.
  if (!is_sanitized()) flags |= RTLD_DEEPBIND;
#endif
  // Where the loader looks, as for any library; else where it was when this one was built.
  void* library = dlopen(NATGRAD_BLAS_LIBRARY, flags);
  if (library != nullptr) return library;
  const char* reason = dlerror();
  const std::string text = reason == nullptr ? "no reason is known" : reason;
  library = dlopen(NATGRAD_BLAS_FILE, flags);
  if (library != nullptr) return library;
  throw DeviceError(detail::message("BLAS: ", NATGRAD_BLAS_LIBRARY, " cannot be loaded: ", text));
}

void* library() {
  static void* const opened = open_library();
  return opened;
}

template <class Function>
void find(Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(dlsym(library(), name));
  if (function == nullptr) {
    throw DeviceError(detail::message("BLAS: ", NATGRAD_BLAS_LIBRARY, " has no ", name));
  }
}

Functions find_all() {
  Functions all = {};
  find(all.sgemm, "cblas_sgemm");
  find(all.dgemm, "cblas_dgemm");
  find(all.ssyrk, "cblas_ssyrk");
  find(all.dsyrk, "cblas_dsyrk");
  find(all.sgemv, "cblas_sgemv");
  find(all.dgemv, "cblas_dgemv");
  find(all.ssymv, "cblas_ssymv");
  find(all.dsymv, "cblas_dsymv");
  find(all.spotrf, "spotrf_");
  find(all.dpotrf, "dpotrf_");
  find(all.spotrs, "spotrs_");
  find(all.dpotrs, "dpotrs_");
  find(all.dsyevd, "dsyevd_");
  return all;
}

}  // namespace

const Functions& functions() {
  static const Functions all = find_all();
  return all;
}

void* find_function(const char* name) {
  try {
    return dlsym(library(), name);
  } catch (const DeviceError&) {
    return nullptr;
  }
}

#else

const Functions& functions() {
  static constexpr Functions all = {cblas_sgemm, cblas_dgemm, cblas_ssyrk, cblas_dsyrk, cblas_sgemv,
                                    cblas_dgemv, cblas_ssymv, cblas_dsymv, spotrf_,     dpotrf_,
                                    spotrs_,     dpotrs_,     dsyevd_};
  return all;
}

void* find_function(const char* name) { return dlsym(RTLD_DEFAULT, name); }

#endif

}  // namespace natgrad::blas
