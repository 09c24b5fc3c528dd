# The CUDA backend, where there is a toolkit: NATGRAD_HAS_CUDA says whether the library gets it,
# NATGRAD_HAS_CUDA_HEADERS whether its sources can at least be compiled (the emulated device of the
# tests needs no more).
set(NATGRAD_HAS_CUDA OFF)
set(NATGRAD_HAS_CUDA_HEADERS OFF)
if(NOT NATGRAD_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "NATGRAD_CUDA=${NATGRAD_CUDA}: expected AUTO, ON or OFF")
endif()

if(NOT NATGRAD_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # The user's, else an A100 and an H100 or H200, and what comes after them.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual CACHE STRING "CUDA architectures")
    endif()
    enable_language(CUDA)
    # As the library's: two in one process would each have a state of their own.
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
    find_package(CUDAToolkit REQUIRED)
    # The first that tells a stream's device.
    if(CUDAToolkit_VERSION VERSION_LESS 12.8)
      message(FATAL_ERROR "CUDA ${CUDAToolkit_VERSION} is too old: natgrad needs 12.8; "
        "NATGRAD_CUDA=OFF builds for the CPU alone")
    endif()
    set(NATGRAD_HAS_CUDA ON)
    message(STATUS "natgrad: CUDA ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(NATGRAD_CUDA STREQUAL "ON")
    message(FATAL_ERROR "NATGRAD_CUDA=ON, but no CUDA compiler was found: put nvcc on the PATH, or "
      "name it in CMAKE_CUDA_COMPILER")
  else()
    message(STATUS "No CUDA compiler was found: the library is built for the CPU alone")
  endif()
elseif(NATGRAD_BUILD_TESTS)
  find_package(CUDAToolkit QUIET)
endif()
if(CUDAToolkit_FOUND AND CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8 AND TARGET CUDA::cublas AND TARGET CUDA::cusolver)
  set(NATGRAD_HAS_CUDA_HEADERS ON)
elseif(NATGRAD_HAS_CUDA)
  message(FATAL_ERROR "The CUDA toolkit ${CUDAToolkit_VERSION} has no cuBLAS or no cuSOLVER")
endif()
