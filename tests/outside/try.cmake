# cmake -DWAY=... -DSHARED=... -DSOURCE=... -DWORK=... -DGENERATOR=... -DPKG_CONFIG=... -P try.cmake:
# installs the library (WAY=install), or builds and runs the outside program against it. What the
# build in the folder BUILD has made is installed by WAY=install_build.
cmake_minimum_required(VERSION 3.24)
unset(ENV{DESTDIR})
set(library_ON shared)
set(library_OFF static)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# build(SOURCE FOLDER arguments of cmake...)
function(build source folder)
  run(${CMAKE_COMMAND} --fresh -G ${GENERATOR} -C ${WORK}/settings.cmake -S ${source} -B ${folder}
    ${ARGN})
  run(${CMAKE_COMMAND} --build ${folder} --parallel 2)
endfunction()

# No text that is installed names the place where it was built or installed first.
function(check_relocatable prefix)
  file(GLOB_RECURSE files ${prefix}/*.cmake ${prefix}/*.pc ${prefix}/*.hpp)
  list(LENGTH files count)
  if(count LESS 10)
    message(FATAL_ERROR "only ${count} files were installed: ${files}")
  endif()
  foreach(file ${files})
    file(READ ${file} text)
    foreach(path ${SOURCE} ${WORK})
      string(FIND "${text}" "${path}" place)
      if(NOT place EQUAL -1)
        message(FATAL_ERROR "${file} names ${path}")
      endif()
    endforeach()
  endforeach()
endfunction()

# Installs what was built; then the prefix moves.
function(install_build build folder)
  file(REMOVE_RECURSE ${folder}/first ${folder}/moved)
  run(${CMAKE_COMMAND} --install ${build} --prefix ${folder}/first)
  file(RENAME ${folder}/first ${folder}/moved)
  check_relocatable(${folder}/moved)
  foreach(file LICENSE NOTICE THIRD_PARTY.md)
    if(NOT EXISTS ${folder}/moved/share/doc/natgrad/${file})
      message(FATAL_ERROR "${file} was not installed")
    endif()
  endforeach()
endfunction()

# The library alone.
function(install_library)
  set(folder ${WORK}/${library_${SHARED}})
  build(${SOURCE} ${folder}/build -DBUILD_SHARED_LIBS=${SHARED} -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_INSTALL_LIBDIR=lib -DNATGRAD_BUILD_TRAINER=OFF -DNATGRAD_BUILD_BENCH=OFF
    -DNATGRAD_BUILD_TESTS=OFF)
  install_build(${folder}/build ${folder})
endfunction()

function(use_package)
  set(library ${library_${SHARED}})
  set(arguments -DCMAKE_PREFIX_PATH=${WORK}/${library}/moved)
  if(SHARED)
    # It brings these itself.
    foreach(package BLAS LAPACK Threads OpenMP)
      list(APPEND arguments -DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
    endforeach()
  endif()
  build(${SOURCE}/tests/outside ${WORK}/find_package_${library} -DWAY=find_package ${arguments})
  run(${WORK}/find_package_${library}/outside)
endfunction()

function(use_package_cuda)
  build(${SOURCE}/tests/outside_cuda ${WORK}/build -Dnatgrad_ROOT=${WORK}/moved)
  run(${WORK}/build/outside)
endfunction()

function(use_sources)
  set(folder ${WORK}/${WAY})
  # Static is what comes of a project that says nothing.
  set(arguments -DNATGRAD_SOURCE=${SOURCE} -DFETCHCONTENT_SOURCE_DIR_NATGRAD=${SOURCE})
  if(SHARED)
    list(APPEND arguments -DBUILD_SHARED_LIBS=ON)
  endif()
  build(${SOURCE}/tests/outside ${folder} -DWAY=${WAY} ${arguments})
  run(${folder}/outside)
  run(${CMAKE_COMMAND} --install ${folder} --prefix ${folder}/installed)
  file(GLOB_RECURSE installed ${folder}/installed/*)
  if(installed)
    message(FATAL_ERROR "installing the outer project installs natgrad: ${installed}")
  endif()
endfunction()

# pkg_config(RESULT arguments of pkg-config...): its flags as a list.
function(pkg_config result)
  execute_process(COMMAND ${PKG_CONFIG} ${ARGN} OUTPUT_VARIABLE flags COMMAND_ECHO STDOUT
    COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
  message(STATUS "${flags}")
  separate_arguments(flags UNIX_COMMAND "${flags}")
  set(${result} ${flags} PARENT_SCOPE)
endfunction()

# As a makefile would: the compiler with pkg-config's flags.
function(use_pkg_config library)
  include(${WORK}/settings.cmake)
  separate_arguments(own_flags UNIX_COMMAND "${CMAKE_CXX_FLAGS}")
  set(prefix ${WORK}/${library}/moved)
  set(ENV{PKG_CONFIG_PATH} ${prefix}/lib/pkgconfig)
  set(ENV{LD_LIBRARY_PATH} ${prefix}/lib:$ENV{LD_LIBRARY_PATH})
  pkg_config(compile_flags --cflags "natgrad >= 0.1")
  pkg_config(link_flags --libs ${ARGN} natgrad)
  run(${CMAKE_CXX_COMPILER} -std=c++20 ${own_flags} ${compile_flags} ${SOURCE}/tests/outside/main.cpp
    -o ${WORK}/pkg_config_${library} ${link_flags})
  run(${WORK}/pkg_config_${library})
endfunction()

if(WAY STREQUAL "install")
  install_library()
elseif(WAY STREQUAL "install_build")
  install_build(${BUILD} ${WORK})
elseif(WAY STREQUAL "find_package")
  use_package()
elseif(WAY STREQUAL "find_package_cuda")
  use_package_cuda()
elseif(WAY STREQUAL "pkg_config")
  if(NOT PKG_CONFIG)
    message("SKIPPED: no pkg-config was found when this was configured")
    return()
  endif()
  use_pkg_config(static --static)
  use_pkg_config(shared)
else()
  use_sources()
endif()
