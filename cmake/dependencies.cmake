# BLAS with its C interface, LAPACK, OpenMP; Random123 and nlohmann-json, which are headers only, so
# that a program that links the library needs neither. What belongs to the binaries alone is found
# where they are built.
find_package(Threads REQUIRED)
find_package(BLAS REQUIRED)
find_package(LAPACK REQUIRED)

# Thread Sanitizer does not see libgomp's synchronization: every parallel loop would be a report.
if(NOT NATGRAD_SANITIZE STREQUAL "thread")
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()

find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas openblas-openmp cblas)
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h)
# 3.9 or later.
find_path(NLOHMANN_JSON_INCLUDE_DIR nlohmann/json.hpp)
foreach(header CBLAS_INCLUDE_DIR RANDOM123_INCLUDE_DIR NLOHMANN_JSON_INCLUDE_DIR)
  if(NOT ${header})
    message(FATAL_ERROR "${header} not found; Debian: libopenblas-openmp-dev librandom123-dev "
      "nlohmann-json3-dev")
  endif()
endforeach()

include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_INCLUDES ${CBLAS_INCLUDE_DIR})
set(CMAKE_REQUIRED_LIBRARIES ${BLAS_LIBRARIES} ${LAPACK_LIBRARIES})
check_cxx_source_compiles("
  extern \"C\" {
  #include <cblas.h>
  void spotrf_(const char*, const int*, float*, const int*, int*);
  }
  int main() {
    float a = 1; int n = 1, info;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, 1, 1, 1, 1, &a, 1, &a, 1, 0, &a, 1);
    spotrf_(\"U\", &n, &a, &n, &info);
    return info;
  }" NATGRAD_CBLAS_LINKS)
if(NOT NATGRAD_CBLAS_LINKS)
  message(FATAL_ERROR "${BLAS_LIBRARIES} has no CBLAS or no LAPACK; Debian: libopenblas-openmp-dev")
endif()

# Where the BLAS is one shared library with LAPACK in it, it is loaded at run time and kept out of the
# process's global symbols (src/backend/cpu/blas_library.hpp), else it is linked.
set(NATGRAD_BLAS_SONAME "")
list(GET BLAS_LIBRARIES 0 blas_library)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_READELF AND IS_ABSOLUTE "${blas_library}")
  set(CMAKE_REQUIRED_LIBRARIES ${blas_library})
  check_cxx_source_compiles("
    extern \"C\" void cblas_sgemm();
    extern \"C\" void dsyevd_();
    int main() { cblas_sgemm(); dsyevd_(); }" NATGRAD_BLAS_HAS_LAPACK)
  set(CMAKE_REQUIRED_LIBRARIES ${BLAS_LIBRARIES} ${LAPACK_LIBRARIES})
  execute_process(COMMAND ${CMAKE_READELF} -d ${blas_library} OUTPUT_VARIABLE dynamic ERROR_QUIET)
  if(NATGRAD_BLAS_HAS_LAPACK AND dynamic MATCHES "\\(SONAME\\)[^[]*\\[([^]]+)\\]")
    set(NATGRAD_BLAS_SONAME "${CMAKE_MATCH_1}")
  endif()
endif()
include(CMakeDependentOption)
cmake_dependent_option(NATGRAD_LOAD_BLAS
  "Load the BLAS at run time, so that it and the BLAS of another library do not disturb each other"
  ON "NATGRAD_BLAS_SONAME" OFF)

# Two pools of threads, OpenMP's and the BLAS's own, starve each other (2.6 times slower, measured).
if(OpenMP_CXX_FOUND AND NOT CMAKE_CROSSCOMPILING)
  include(CheckCXXSourceRuns)
  check_cxx_source_runs("
    extern \"C\" int openblas_get_parallel();
    int main() { return openblas_get_parallel() == 1; }" NATGRAD_OPENBLAS_SHARES_THREADS)
  check_cxx_source_compiles("
    extern \"C\" int openblas_get_parallel();
    int main() { return openblas_get_parallel(); }" NATGRAD_BLAS_IS_OPENBLAS)
  if(NATGRAD_BLAS_IS_OPENBLAS AND NOT NATGRAD_OPENBLAS_SHARES_THREADS)
    message(WARNING "${BLAS_LIBRARIES} is OpenBLAS with threads of its own, which fight with OpenMP's; "
      "prefer its OpenMP flavour (Debian: libopenblas-openmp-dev)")
  endif()
endif()
unset(CMAKE_REQUIRED_INCLUDES)
unset(CMAKE_REQUIRED_LIBRARIES)
