# A program that knows the public headers alone writes checkpoints, and Python reads them. Skipped
# where the interpreter lacks a package of tests/requirements.txt.
set(NATGRAD_PYTHON "" CACHE FILEPATH
  "Python whose packages hold tests/requirements.txt; empty: the one that CMake finds")
set(python ${NATGRAD_PYTHON})
if(NOT python)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  set(python ${Python3_EXECUTABLE})
endif()

add_executable(write_checkpoint io/write_checkpoint.cpp)
target_link_libraries(write_checkpoint PRIVATE natgrad::natgrad)
if(python)
  add_test(NAME checkpoint.is_read_by_python
    COMMAND ${python} ${CMAKE_CURRENT_SOURCE_DIR}/io/read_checkpoint.py
      $<TARGET_FILE:write_checkpoint>)
  set_tests_properties(checkpoint.is_read_by_python PROPERTIES
    SKIP_RETURN_CODE 77 ENVIRONMENT OMP_WAIT_POLICY=passive)
else()
  message(STATUS "No Python was found: nothing tests that it reads checkpoints")
endif()
