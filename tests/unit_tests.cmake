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
add_library(natgrad_test_support STATIC
  support/fenced.cpp
  support/main.cpp
  support/reference_backend.cpp
  support/reference_backend_models.cpp
  support/reference_backend_rows.cpp
  support/operation_table.cpp
  support/trial.cpp)
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

# natgrad_tests(FOLDER [DEVICE name...] [HOST name...] [OBJECTS library...] [LIBRARIES library...]): the
# files FOLDER/NAME_test.cpp as one executable FOLDER_tests, linked with LIBRARIES too. Those of DEVICE
# go through the library's own interface on whatever device they are linked for: they are compiled
# once, here, and linked again for CUDA devices by cuda_tests.cmake.
function(natgrad_tests folder)
  cmake_parse_arguments(PARSE_ARGV 1 tests "" "" "DEVICE;HOST;OBJECTS;LIBRARIES")
  list(TRANSFORM tests_DEVICE REPLACE "(.+)" "${folder}/\\1_test.cpp")
  list(TRANSFORM tests_HOST REPLACE "(.+)" "${folder}/\\1_test.cpp")
  set_property(GLOBAL PROPERTY natgrad_test_files_${folder} ${tests_DEVICE} ${tests_HOST})
  natgrad_keep_files_with_threads(device_files ${tests_DEVICE})
  natgrad_keep_files_with_threads(host_files ${tests_HOST})
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
# likelihood brings its reference and its values in a file of its own.
file(GLOB likelihoods CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/likelihoods/*.cpp)
add_library(operation_cases OBJECT EXCLUDE_FROM_ALL ${likelihoods}
  backend/operations_factorization.cpp
  backend/operations_likelihoods.cpp
  backend/operations_matrices.cpp
  backend/operations_models.cpp
  backend/operations_rows.cpp
  backend/operations_solve_scalars.cpp
  backend/operations_step_scalars.cpp
  backend/operations_vectors.cpp)
target_link_libraries(operation_cases PRIVATE natgrad_test_support)
natgrad_test_sources(operation_cases)

# Every file of tests, by its folder: a new one is a line here.
natgrad_tests(api
  DEVICE
    threads
  HOST
    contracts
    contracts_loop
    enumerators
    includes
    readme)
natgrad_tests(backend
  HOST
    activations
    operations
    reference_backend
    trial
  OBJECTS
    operation_cases)
natgrad_tests(core
  DEVICE
    gather)
natgrad_tests(curvature
  DEVICE
    accuracy
    centering
    fisher_matrix
    identities
    structure
    structure_limits)
natgrad_tests(io
  DEVICE
    checkpoint
  HOST
    bad_checkpoint
    checkpoint_entries
    first_order_checkpoint)
if(TARGET io_tests)
  target_include_directories(io_tests SYSTEM PRIVATE ${NLOHMANN_JSON_INCLUDE_DIR})
endif()
natgrad_tests(models
  DEVICE
    model_identities
    sampled_scores)
natgrad_tests(optimizer
  DEVICE
    failed_steps
    first_order
    golden
    gradients
    kl_trust_region
    loop
    loop_rules
    natural_gradient
    singular
    structure_step
    ten_steps
  HOST
    traps)
natgrad_tests(scores
  DEVICE
    check
    check_scores
    check_scores_noise
    columns
    term_identities
    terms
  HOST
    row_store)
if(NATGRAD_BUILD_TRAINER)
  natgrad_tests(trainer
    HOST
      data
      task
      trainer
      trainer_resume
    LIBRARIES
      natgrad_trainer
      nlohmann_json::nlohmann_json
      ZLIB::ZLIB)
  if(TARGET trainer_tests)
    target_compile_definitions(trainer_tests PRIVATE NATGRAD_TRAIN="$<TARGET_FILE:natgrad-train>")
    add_dependencies(trainer_tests natgrad-train)
  endif()
endif()

# Processes of their own: one counts what operator new gives, the other the process's peak of memory.
foreach(name allocations memory)
  natgrad_keep_files_with_threads(file api/${name}_test.cpp)
  if(file)
    natgrad_test(${name}_tests ${file})
  endif()
endforeach()
# It replaces operator new by malloc, which g++ takes for a mistake once it inlines.
set_source_files_properties(api/allocations_test.cpp PROPERTIES
  COMPILE_OPTIONS -Wno-mismatched-new-delete)

# A file that no executable has would never run.
foreach(folder api backend core curvature io models optimizer scores trainer)
  get_property(registered GLOBAL PROPERTY natgrad_test_files_${folder})
  list(APPEND registered api/allocations_test.cpp api/memory_test.cpp)  # above
  list(APPEND registered backend/operations_cuda_test.cpp)              # cuda_tests.cmake
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}
    ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp)
  list(REMOVE_ITEM files ${registered})
  if(files AND (NATGRAD_BUILD_TRAINER OR NOT folder STREQUAL trainer))
    message(FATAL_ERROR "tests/${files}: no executable has it; add it to tests/unit_tests.cmake")
  endif()
endforeach()

include(cuda_tests.cmake)
