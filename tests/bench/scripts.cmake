# The scripts of bench/ that run natgrad-train and draw, on a few steps. They need no package until
# they draw: without matplotlib all is tested but the pictures.
if(python AND TARGET natgrad-train)
  add_test(NAME bench.scripts
    COMMAND ${python} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/scripts_test.py
      ${PROJECT_SOURCE_DIR}/bench $<TARGET_FILE:natgrad-train>
      $<TARGET_FILE:example_gaussian_paths>)
  set_tests_properties(bench.scripts PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
endif()
