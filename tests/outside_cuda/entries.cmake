# outside.*cuda*: a project of somebody else's in CUDA C++ gets the library of this very build, whose
# kernels are not compiled again; without a GPU it is linked and skipped.
if(NATGRAD_HAS_CUDA AND NATGRAD_INSTALL)
  set(outside_cuda ${CMAKE_CURRENT_BINARY_DIR}/outside_cuda)
  configure_file(outside_cuda/settings.cmake.in ${outside_cuda}/settings.cmake @ONLY)

  # outside_cuda_test(NAME WAY)
  function(outside_cuda_test name way)
    add_test(NAME outside.${name} COMMAND ${CMAKE_COMMAND}
      -DWAY=${way} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
      -DWORK=${outside_cuda} -DGENERATOR=${CMAKE_GENERATOR}
      -P ${CMAKE_CURRENT_SOURCE_DIR}/outside/try.cmake)
    set_tests_properties(outside.${name} PROPERTIES LABELS "slow;gpu;outside" TIMEOUT 600
      ENVIRONMENT OMP_WAIT_POLICY=passive SKIP_REGULAR_EXPRESSION "SKIPPED without a GPU")
  endfunction()

  # What is installed must be there.
  add_dependencies(gpu_tests natgrad)
  if(NATGRAD_BUILD_TRAINER)
    add_dependencies(gpu_tests natgrad-train)
  endif()

  outside_cuda_test(cuda_install install_build)
  outside_cuda_test(find_package_cuda find_package_cuda)
  set_tests_properties(outside.cuda_install PROPERTIES FIXTURES_SETUP outside_cuda)
  set_tests_properties(outside.find_package_cuda PROPERTIES FIXTURES_REQUIRED outside_cuda)
endif()
