# The tests of any device again, on CUDA devices: on an emulated one, with names that begin
# `emulated.`, wherever there are the toolkit's headers; on a real one, with the label `gpu`, in a
# build with CUDA. They are the objects of the CPU's tests, linked with other libraries.
if(NATGRAD_HAS_CUDA_HEADERS AND (NATGRAD_HAS_CUDA OR NATGRAD_TEST_EMULATED_CUDA))
  # Against either the real libraries or the stand-ins.
  add_library(cuda_test_objects OBJECT support/device_cuda.cpp)
  add_library(operations_cuda_test_objects OBJECT backend/operations_cuda_test.cpp)
  foreach(objects cuda_test_objects operations_cuda_test_objects)
    target_link_libraries(${objects} PRIVATE natgrad_test_support)
    target_include_directories(${objects} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  endforeach()

endif()

if(NATGRAD_HAS_CUDA_HEADERS AND NATGRAD_TEST_EMULATED_CUDA)
  add_subdirectory(support/emulated_cuda)

  # The device itself. Its suites have the names that ctest is to show.
  add_executable(emulated_device_test cuda/emulated_device_test.cpp cuda/emulated_libraries_test.cpp
    cuda/emulated_memory_test.cpp cuda/planted_faults_test.cpp)
  target_link_libraries(emulated_device_test PRIVATE natgrad_emulated)
  gtest_discover_tests(emulated_device_test DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS emulated ENVIRONMENT OMP_WAIT_POLICY=passive)

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
  target_link_libraries(natgrad_emulated PUBLIC natgrad_flags natgrad_emulated_cuda
    ${host_libraries} GTest::gtest)

  # Of many small steps or large sizes: too slow under ThreadSanitizer.
  set(long_on_the_emulated_device "accuracy.error_bounds*:accuracy.three_refinements*"
    "centering.steps_are*:loop.eight_parts*_dual_form")
  list(JOIN long_on_the_emulated_device ":" long_on_the_emulated_device)
  # discover(NAME PREFIX FILTER LABEL ENVIRONMENT): one variable, for of a list the first alone would
  # reach the test.
  function(discover name prefix filter label environment)
    gtest_discover_tests(emulated_${name} TEST_PREFIX ${prefix} TEST_FILTER "${filter}"
      DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS ${label} ENVIRONMENT "${environment}")
  endfunction()
  # emulated_test(NAME objects...): its tests, whose work runs as late as allowed, and once more at
  # once, which no sanitizer needs to see again.
  function(emulated_test name)
    add_executable(emulated_${name} ${ARGN})
    target_link_libraries(emulated_${name} PRIVATE natgrad_emulated)
    discover(${name} emulated. "*-${long_on_the_emulated_device}" emulated
      OMP_WAIT_POLICY=passive)
    # Of a suite that has some; the pattern of one begins with its name.
    string(REPLACE "_test" "" suite ${name})
    if(":${long_on_the_emulated_device}" MATCHES ":${suite}[.]")
      discover(${name} emulated. "${long_on_the_emulated_device}" long
        OMP_WAIT_POLICY=passive)
    endif()
    discover(${name} emulated.eager. "*" slow NATGRAD_EMULATED_EAGER=1)
  endfunction()

  emulated_test(operations_test $<TARGET_OBJECTS:operations_cuda_test_objects>
    $<TARGET_OBJECTS:operation_cases>)
  emulated_test(contracts_test cuda/emulated_contracts_test.cpp)
  foreach(path ${device_tests})
    get_filename_component(name ${path} NAME)
    emulated_test(${name}_test $<TARGET_OBJECTS:${name}_test_objects>)
  endforeach()
endif()

if(NATGRAD_HAS_CUDA)
  # All that `ctest -L gpu` runs.
  add_custom_target(gpu_tests)

  # gpu_test(NAME objects...)
  function(gpu_test name)
    add_executable(gpu_${name} ${ARGN} support/require_gpu.cpp $<TARGET_OBJECTS:cuda_test_objects>)
    target_link_libraries(gpu_${name} PRIVATE natgrad_test_support)
    add_dependencies(gpu_tests gpu_${name})
    gtest_discover_tests(gpu_${name} TEST_PREFIX gpu. DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS gpu ENVIRONMENT OMP_WAIT_POLICY=passive
      SKIP_REGULAR_EXPRESSION "SKIPPED without a GPU")
  endfunction()

  gpu_test(graph_test cuda/gpu_graph_test.cpp)
  gpu_test(operations_test $<TARGET_OBJECTS:operations_cuda_test_objects>
    $<TARGET_OBJECTS:operation_cases>)
  foreach(path ${device_tests})
    get_filename_component(name ${path} NAME)
    gpu_test(${name}_test $<TARGET_OBJECTS:${name}_test_objects>)
  endforeach()
endif()
