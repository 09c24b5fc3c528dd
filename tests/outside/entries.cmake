# outside.*: a project of somebody else's gets the library in every way that the README shows.
set(outside ${CMAKE_CURRENT_BINARY_DIR}/outside)
configure_file(outside/settings.cmake.in ${outside}/settings.cmake @ONLY)
find_program(NATGRAD_PKG_CONFIG pkg-config)

# outside_test(NAME WAY SHARED): SHARED is ON, OFF, or BOTH.
function(outside_test name way shared)
  add_test(NAME outside.${name} COMMAND ${CMAKE_COMMAND}
    -DWAY=${way} -DSHARED=${shared} -DSOURCE=${PROJECT_SOURCE_DIR} -DWORK=${outside}
    -DGENERATOR=${CMAKE_GENERATOR} -DPKG_CONFIG=${NATGRAD_PKG_CONFIG}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/outside/try.cmake)
  # Four of them compile the whole library.
  set_tests_properties(outside.${name} PROPERTIES LABELS slow PROCESSORS 2 TIMEOUT 1200
    ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

outside_test(install_static install OFF)
outside_test(install_shared install ON)
outside_test(find_package_static find_package OFF)
outside_test(find_package_shared find_package ON)
outside_test(pkg_config pkg_config BOTH)
outside_test(add_subdirectory add_subdirectory OFF)
outside_test(fetch_content fetch_content ON)

foreach(library static shared)
  set_tests_properties(outside.install_${library} PROPERTIES FIXTURES_SETUP outside_${library})
  set_tests_properties(outside.find_package_${library} PROPERTIES
    FIXTURES_REQUIRED outside_${library})
endforeach()
set_tests_properties(outside.pkg_config PROPERTIES
  FIXTURES_REQUIRED "outside_static;outside_shared" SKIP_REGULAR_EXPRESSION "^SKIPPED:")
