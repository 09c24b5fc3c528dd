# outside.*: a project of somebody else's gets the library in every way that the README shows.
set(outside ${CMAKE_CURRENT_BINARY_DIR}/outside)
configure_file(outside/settings.cmake.in ${outside}/settings.cmake @ONLY)
find_program(NATGRAD_PKG_CONFIG pkg-config)

# outside_test(NAME WAY SHARED)
function(outside_test name way shared)
  add_test(NAME outside.${name} COMMAND ${CMAKE_COMMAND}
    -DWAY=${way} -DSHARED=${shared} -DSOURCE=${PROJECT_SOURCE_DIR} -DWORK=${outside}
    -DBUILD=${PROJECT_BINARY_DIR} -DGENERATOR=${CMAKE_GENERATOR} -DPKG_CONFIG=${NATGRAD_PKG_CONFIG}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/outside/try.cmake)
  # Some of them compile the whole library.
  set_tests_properties(outside.${name} PROPERTIES LABELS "slow;outside" PROCESSORS 2 TIMEOUT 1200
    ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

# A static build shows the ways of the static library, which it compiles as the README says; a shared
# one those of the shared library, which is the one that was just built. docs/ci.md says who runs which.
if(BUILD_SHARED_LIBS)
  set(kind shared)
  outside_test(install_shared install_build ON)
  outside_test(find_package_shared find_package ON)
  outside_test(pkg_config_shared pkg_config ON)
  outside_test(fetch_content fetch_content ON)
else()
  set(kind static)
  add_test(NAME outside.documented_commands COMMAND bash
    ${CMAKE_CURRENT_SOURCE_DIR}/outside/documented.sh ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}
    ${outside}/documented)
  set_tests_properties(outside.documented_commands PROPERTIES LABELS "slow;outside" PROCESSORS 2 TIMEOUT 1200
    FIXTURES_SETUP outside_documented ENVIRONMENT
    # Without CUDA: the kernels would be compiled once more.
    "OMP_WAIT_POLICY=passive;CUDACXX=none;CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}")
  outside_test(install_static move_documented OFF)
  set_tests_properties(outside.install_static PROPERTIES FIXTURES_REQUIRED outside_documented)
  outside_test(find_package_static find_package OFF)
  outside_test(pkg_config_static pkg_config OFF)
  outside_test(add_subdirectory add_subdirectory OFF)
endif()

outside_test(refuses_its_source refuse_source ${BUILD_SHARED_LIBS})

set_tests_properties(outside.install_${kind} PROPERTIES FIXTURES_SETUP outside_library)
set_tests_properties(outside.find_package_${kind} outside.pkg_config_${kind} PROPERTIES
  FIXTURES_REQUIRED outside_library)
set_tests_properties(outside.pkg_config_${kind} PROPERTIES SKIP_REGULAR_EXPRESSION "^SKIPPED:")
