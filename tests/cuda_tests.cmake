# The tests of any device again, on CUDA devices: on an emulated one, with names that begin
# `emulated.`, wherever there are the toolkit's headers; on a real one, with the label `gpu`, in a
# build with CUDA. They are the objects of the CPU's tests, linked with other libraries.
get_property(device_test_folders GLOBAL PROPERTY natgrad_device_test_folders)

if(NATGRAD_HAS_CUDA_HEADERS AND (NATGRAD_HAS_CUDA OR NATGRAD_TEST_EMULATED_CUDA))
  # Against either the real libraries or the stand-ins.
  add_library(cuda_test_objects OBJECT EXCLUDE_FROM_ALL support/device_cuda.cpp)
  add_library(operations_cuda_test_objects OBJECT EXCLUDE_FROM_ALL
    backend/operations_cuda_test.cpp backend/gram_cuda_test.cpp backend/split_cuda_test.cpp)
  foreach(objects cuda_test_objects operations_cuda_test_objects)
    target_link_libraries(${objects} PRIVATE natgrad_test_support)
    target_include_directories(${objects} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    natgrad_test_sources(${objects})
  endforeach()
endif()

if(NATGRAD_HAS_CUDA_HEADERS AND NATGRAD_TEST_EMULATED_CUDA)
  add_subdirectory(support/emulated_cuda)

  # The same kernels by g++. 16-byte copies through float4* break its aliasing rules.
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)
  add_library(natgrad_emulated_kernels OBJECT ${kernels})
  target_compile_options(natgrad_emulated_kernels PRIVATE -fno-strict-aliasing
    $<$<CONFIG:Release>:-O2>)
  target_include_directories(natgrad_emulated_kernels PRIVATE
    ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
  target_include_directories(natgrad_emulated_kernels SYSTEM PRIVATE
    ${CUDAToolkit_INCLUDE_DIRS} ${RANDOM123_INCLUDE_DIR})
  target_link_libraries(natgrad_emulated_kernels PRIVATE natgrad_flags)

  set(host_libraries LAPACK::LAPACK BLAS::BLAS Threads::Threads ${CMAKE_DL_LIBS})
  if(OpenMP_CXX_FOUND)
    list(APPEND host_libraries OpenMP::OpenMP_CXX)
  endif()
  add_library(natgrad_emulated STATIC
    $<TARGET_OBJECTS:natgrad_objects>
    $<TARGET_OBJECTS:natgrad_cuda_objects>
    $<TARGET_OBJECTS:natgrad_emulated_kernels>
    $<TARGET_OBJECTS:natgrad_test_support>
    $<TARGET_OBJECTS:cuda_test_objects>)
  target_compile_definitions(natgrad_emulated PUBLIC NATGRAD_STATIC)
  target_link_libraries(natgrad_emulated PUBLIC natgrad_flags natgrad_emulated_cuda
    ${host_libraries} GTest::gtest)

  # emulated_test(TARGET [EAGER] sources...): its tests, whose work runs as late as allowed; with
  # EAGER once more with work that runs at once, unless there is a sanitizer, which saw it late.
  # Which folders need both, docs/ci.md says.
  function(emulated_test target)
    cmake_parse_arguments(PARSE_ARGV 1 test "EAGER" "" "")
    add_executable(${target} ${test_UNPARSED_ARGUMENTS})
    target_link_libraries(${target} PRIVATE natgrad_emulated)
    natgrad_test_sources(${target})
    natgrad_entries(${target} PREFIX emulated. PROPERTIES LABELS emulated)
    if(test_EAGER AND NOT NATGRAD_SANITIZE)
      natgrad_entries(${target} PREFIX emulated.eager. ENTRIES executable PROPERTIES
        LABELS emulated ENVIRONMENT "OMP_WAIT_POLICY=passive;NATGRAD_EMULATED_EAGER=1")
    endif()
  endfunction()

  # The device itself. Its suites have the names that ctest is to show.
  file(GLOB device_tests CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} cuda/*_test.cpp)
  list(REMOVE_ITEM device_tests cuda/emulated_contracts_test.cpp cuda/emulated_refusals_test.cpp
    cuda/graph_test.cpp cuda/outgrown_memory_test.cpp)
  add_executable(emulated_device_tests ${device_tests})
  target_link_libraries(emulated_device_tests PRIVATE natgrad_emulated)
  natgrad_entries(emulated_device_tests PROPERTIES LABELS emulated)

  # Where the host writes what queued work reads, or reads what it writes, the order matters.
  set(order_matters io optimizer)
  foreach(folder ${device_test_folders})
    set(eager "")
    if(folder IN_LIST order_matters)
      set(eager EAGER)
    endif()
    emulated_test(emulated_${folder}_tests ${eager} $<TARGET_OBJECTS:${folder}_device_tests>)
  endforeach()
  natgrad_keep_files_with_threads(operations backend/operations_cuda_test.cpp)
  if(operations)
    emulated_test(emulated_backend_tests $<TARGET_OBJECTS:operations_cuda_test_objects>
      $<TARGET_OBJECTS:operation_cases>)
    # g++ 12 crashes at the end of these files where it reads precompiled headers.
    set_source_files_properties(cuda/emulated_contracts_test.cpp cuda/emulated_refusals_test.cpp
      cuda/graph_test.cpp cuda/outgrown_memory_test.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    emulated_test(emulated_contracts_tests EAGER
      cuda/emulated_contracts_test.cpp cuda/emulated_refusals_test.cpp)
    emulated_test(emulated_graph_tests cuda/graph_test.cpp cuda/outgrown_memory_test.cpp)
  endif()
endif()

if(NATGRAD_HAS_CUDA)
  # All that `ctest -L gpu` runs.
  add_custom_target(gpu_tests)

  # gpu_test(FOLDER objects...): one entry, for a process that opens a device takes a second to start.
  function(gpu_test folder)
    add_executable(gpu_${folder}_tests ${ARGN} support/require_gpu.cpp
      $<TARGET_OBJECTS:cuda_test_objects>)
    target_link_libraries(gpu_${folder}_tests PRIVATE natgrad_test_support)
    add_dependencies(gpu_tests gpu_${folder}_tests)
    natgrad_entries(gpu_${folder}_tests PREFIX gpu. ENTRIES executable PROPERTIES
      LABELS gpu SKIP_REGULAR_EXPRESSION "SKIPPED without a GPU")
  endfunction()

  gpu_test(graph cuda/graph_test.cpp)
  gpu_test(backend $<TARGET_OBJECTS:operations_cuda_test_objects> $<TARGET_OBJECTS:operation_cases>)
  foreach(folder ${device_test_folders})
    gpu_test(${folder} $<TARGET_OBJECTS:${folder}_device_tests>)
  endforeach()
endif()

# `./build.sh gpu` with stand-ins for the GPU and for what runs on it.
if(NOT NATGRAD_SANITIZE)
  add_test(NAME build_sh.gpu_rehearsal COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/gpu_verb.sh
    ${PROJECT_SOURCE_DIR}/build.sh ${CMAKE_CURRENT_BINARY_DIR}/gpu_verb)
  set_tests_properties(build_sh.gpu_rehearsal PROPERTIES TIMEOUT 120)
endif()
