find_package(GTest REQUIRED)
include(entries.cmake)

# Tests are compiled more often than they run.
set(test_options $<$<CONFIG:Release>:-O1>)

# What every test includes, compiled once; not where an include that is forgotten must show.
add_library(natgrad_test_pch OBJECT support/precompiled.cpp)
target_link_libraries(natgrad_test_pch PRIVATE natgrad_internal GTest::gtest)
target_compile_options(natgrad_test_pch PRIVATE ${test_options})
if(NATGRAD_PRECOMPILED_HEADERS)
  target_precompile_headers(natgrad_test_pch PRIVATE support/precompiled.hpp)
endif()
# natgrad_test_sources(TARGET): these are sources of tests.
function(natgrad_test_sources target)
  if(NATGRAD_PRECOMPILED_HEADERS)
    target_precompile_headers(${target} REUSE_FROM natgrad_test_pch)
  endif()
endfunction()

# natgrad_keep_files_with_threads(RESULT files...): under ThreadSanitizer, which finds races and nothing
# else, those that start threads; all files without it, and where the library itself starts threads.
set(start_of_a_thread "std::(j?thread|async)[ ({]")
set(library_starts_threads OFF)
if(NATGRAD_SANITIZE STREQUAL "thread")
  file(GLOB_RECURSE library_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.[ch]pp)
  foreach(source ${library_sources})
    file(STRINGS ${source} lines REGEX "${start_of_a_thread}")
    if(lines)
      set(library_starts_threads ON)
    endif()
  endforeach()
endif()
function(natgrad_keep_files_with_threads result)
  set(kept ${ARGN})
  if(NATGRAD_SANITIZE STREQUAL "thread" AND NOT library_starts_threads)
    foreach(file ${ARGN})
      file(STRINGS ${file} lines REGEX "${start_of_a_thread}")
      if(NOT lines)
        list(REMOVE_ITEM kept ${file})
      endif()
    endforeach()
  endif()
  set(${result} ${kept} PARENT_SCOPE)
endfunction()

# The naive reference, fenced buffers, and a main that the BLAS's advice may restart.
file(GLOB support CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} support/*.cpp)
list(REMOVE_ITEM support support/device_cpu.cpp support/device_cuda.cpp support/precompiled.cpp
  support/require_gpu.cpp)
add_library(natgrad_test_support STATIC ${support})
target_include_directories(natgrad_test_support PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(natgrad_test_support PUBLIC NATGRAD_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(natgrad_test_support PUBLIC natgrad_internal GTest::gtest)
target_compile_options(natgrad_test_support PUBLIC ${test_options})
natgrad_test_sources(natgrad_test_support)

# The device that tests run on unless they name one (support/device.hpp).
add_library(natgrad_test_cpu STATIC support/device_cpu.cpp)
target_link_libraries(natgrad_test_cpu PUBLIC natgrad_test_support)
natgrad_test_sources(natgrad_test_cpu)

# natgrad_test(TARGET sources...): an executable of tests of the host alone.
function(natgrad_test target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE natgrad_test_cpu natgrad_test_support)
  natgrad_test_sources(${target})
  # With the CUDA libraries a process takes 0.1 s to start, more than most of these tests.
  if(NATGRAD_HAS_CUDA)
    natgrad_entries(${target} ENTRIES executable)
  else()
    natgrad_entries(${target})
  endif()
endfunction()

# natgrad_tests(FOLDER [HOST name...] [WITHOUT name...] [OBJECTS library...] [LIBRARIES library...]): the
# files FOLDER/NAME_test.cpp as one executable FOLDER_tests, linked with LIBRARIES too; not those of
# WITHOUT, which the caller has another use for. They go through the library's own interface on
# whatever device they are linked for: they are compiled once, here, and linked again for CUDA devices
# by cuda_tests.cmake. Those of HOST, names or patterns, are for the CPU alone.
function(natgrad_tests folder)
  cmake_parse_arguments(PARSE_ARGV 1 tests "" "" "HOST;WITHOUT;OBJECTS;LIBRARIES")
  foreach(names tests_HOST tests_WITHOUT)
    list(TRANSFORM ${names} REPLACE "(.+)" "${folder}/\\1_test.cpp")
  endforeach()
  file(GLOB device CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${folder}/*_test.cpp)
  set(host "")
  if(tests_HOST)
    file(GLOB host CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${tests_HOST})
  endif()
  list(REMOVE_ITEM device "" ${host} ${tests_WITHOUT})
  list(REMOVE_ITEM host "" ${tests_WITHOUT})
  natgrad_keep_files_with_threads(device_files ${device})
  natgrad_keep_files_with_threads(host_files ${host})
  if(NOT device_files AND NOT host_files)
    return()
  endif()
  set(objects "")
  if(device_files)
    add_library(${folder}_device_tests OBJECT ${device_files})
    target_link_libraries(${folder}_device_tests PRIVATE natgrad_test_support)
    natgrad_test_sources(${folder}_device_tests)
    set(objects $<TARGET_OBJECTS:${folder}_device_tests>)
    set_property(GLOBAL APPEND PROPERTY natgrad_device_test_folders ${folder})
  endif()
  foreach(library ${tests_OBJECTS})
    list(APPEND objects $<TARGET_OBJECTS:${library}>)
  endforeach()
  natgrad_test(${folder}_tests ${host_files} ${objects})
  target_link_libraries(${folder}_tests PRIVATE ${tests_LIBRARIES})
endfunction()

# Cases that any device runs: an executable links them for the devices that it registers. A
# likelihood or density brings its reference and its values in a file of its own.
file(GLOB cases CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} backend/densities/*.cpp
  backend/likelihoods/*.cpp backend/operations_*.cpp)
list(FILTER cases EXCLUDE REGEX "_test\\.cpp$")
add_library(operation_cases OBJECT EXCLUDE_FROM_ALL ${cases})
target_link_libraries(operation_cases PRIVATE natgrad_test_support)
natgrad_test_sources(operation_cases)

# Every folder of tests. Those of `api` that count memory have processes of their own below.
natgrad_tests(api
  HOST contracts* enumerators includes readme
  WITHOUT allocations refused_allocations memory memory_plan)
natgrad_tests(backend
  HOST *
  WITHOUT operations_cuda gram_cuda split_cuda
  OBJECTS operation_cases)
# With the program in C that they compare with.
if(NATGRAD_C_INTERFACE)
  natgrad_tests(c
    HOST allocator structs)
  foreach(target c_device_tests c_tests)
    if(TARGET ${target})
      target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
    endif()
  endforeach()
  if(TARGET c_device_tests)
    natgrad_c_sources(c/train.c)
    target_sources(c_device_tests PRIVATE c/train.c)
  endif()
endif()
natgrad_tests(core)
natgrad_tests(curvature)
natgrad_tests(io
  HOST bad_checkpoint checkpoint_entries checkpoint_versions first_order_checkpoint
    unwritable_checkpoint)
if(TARGET io_tests)
  target_include_directories(io_tests SYSTEM PRIVATE ${NLOHMANN_JSON_INCLUDE_DIR})
endif()
natgrad_tests(models)
natgrad_tests(optimizer
  HOST traps)
natgrad_tests(scores
  HOST row_store)
natgrad_tests(theory)
if(NATGRAD_BUILD_TRAINER)
  natgrad_tests(trainer
    HOST *
    WITHOUT defaults
    LIBRARIES natgrad_trainer nlohmann_json::nlohmann_json ZLIB::ZLIB)
  # An executable of its own: `ctest -R defaults` finds it where an entry is an executable, too.
  natgrad_keep_files_with_threads(defaults trainer/defaults_test.cpp)
  if(defaults)
    natgrad_test(defaults_tests ${defaults})
    target_link_libraries(defaults_tests PRIVATE natgrad_trainer nlohmann_json::nlohmann_json)
  endif()
  foreach(target trainer_tests defaults_tests)
    if(TARGET ${target})
      target_compile_definitions(${target} PRIVATE NATGRAD_TRAIN="$<TARGET_FILE:natgrad-train>")
      add_dependencies(${target} natgrad-train)
    endif()
  endforeach()
endif()

# Processes of their own: one counts what operator new gives, the other the process's peak of memory.
natgrad_keep_files_with_threads(allocations api/allocations_test.cpp api/refused_allocations_test.cpp)
if(allocations)
  natgrad_test(allocations_tests api/counted_new.cpp ${allocations})
endif()
natgrad_keep_files_with_threads(memory api/memory_test.cpp api/memory_plan_test.cpp)
if(memory)
  natgrad_test(memory_tests ${memory})
endif()
# It replaces operator new by malloc, which g++ takes for a mistake once it inlines.
set_source_files_properties(api/counted_new.cpp PROPERTIES
  COMPILE_OPTIONS -Wno-mismatched-new-delete)

include(cuda_tests.cmake)
