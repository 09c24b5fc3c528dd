# How the tests of an executable become entries of ctest, as NATGRAD_TEST_ENTRIES says: one a test, or
# one an executable. A process costs most of what a small test costs where it starts slowly: with
# the CUDA libraries (0.1 s), and under a sanitizer. docs/ci.md has the figures.
include(GoogleTest)

if(NOT NATGRAD_TEST_ENTRIES MATCHES "^(test|executable)$")
  message(FATAL_ERROR "NATGRAD_TEST_ENTRIES=${NATGRAD_TEST_ENTRIES}: expected test or executable")
endif()

# natgrad_entries(TARGET [PREFIX p] [ENTRIES test|executable] [PROPERTIES ...]): entries that are named
# PREFIX SUITE.TEST, or PREFIX and the target's name without `emulated_`, `gpu_` and `_tests`.
function(natgrad_entries target)
  cmake_parse_arguments(PARSE_ARGV 1 entries "" "PREFIX;ENTRIES" "PROPERTIES")
  if(NOT entries_ENTRIES)
    set(entries_ENTRIES ${NATGRAD_TEST_ENTRIES})
  endif()
  # Several entries run at once: threads that wait must not spin. One variable, for of a list the
  # first alone would reach the test.
  if(NOT "ENVIRONMENT" IN_LIST entries_PROPERTIES)
    list(APPEND entries_PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
  endif()
  if(entries_ENTRIES STREQUAL "test")
    gtest_discover_tests(${target} TEST_PREFIX "${entries_PREFIX}" DISCOVERY_TIMEOUT 60
      PROPERTIES ${entries_PROPERTIES})
    return()
  endif()
  string(REGEX REPLACE "^(emulated_|gpu_)|_tests$" "" name ${target})
  # Of the suites whose own names begin so.
  if(target MATCHES "^emulated_" AND NOT entries_PREFIX)
    set(entries_PREFIX emulated.)
  endif()
  add_test(NAME ${entries_PREFIX}${name} COMMAND ${target} --gtest_brief=1)
  set_tests_properties(${entries_PREFIX}${name} PROPERTIES TIMEOUT 1800 ${entries_PROPERTIES})
endfunction()
