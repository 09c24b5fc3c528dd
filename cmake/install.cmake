# What another project finds the library by, as a CMake package and through pkg-config. Nothing here
# names a path of this machine's build: the installed tree may be moved.
include(CMakePackageConfigHelpers)

# Installed into the source tree the headers of today would lie among the sources of tomorrow.
install(CODE "
  file(REAL_PATH \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\" prefix)
  file(REAL_PATH [[${PROJECT_SOURCE_DIR}]] source)
  if(prefix STREQUAL source)
    message(FATAL_ERROR \"the prefix \${prefix} is natgrad's source tree: install into another folder, \"
      \"as --prefix ~/opt/natgrad\")
  endif()")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/natgrad)
install(TARGETS natgrad EXPORT natgradTargets
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT natgradTargets NAMESPACE natgrad:: DESTINATION ${package_dir})
# Of a library without CUDA it would promise what is not there.
set(headers_left_out "")
if(NOT NATGRAD_HAS_CUDA)
  set(headers_left_out PATTERN cuda.hpp EXCLUDE)
endif()
if(NOT NATGRAD_C_INTERFACE)
  list(APPEND headers_left_out PATTERN natgrad.h EXCLUDE PATTERN dlpack.h EXCLUDE)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/natgrad ${PROJECT_BINARY_DIR}/include/natgrad
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp PATTERN *.h ${headers_left_out})
# Not CMAKE_INSTALL_DOCDIR, which is named after the outermost project.
install(FILES LICENSE NOTICE THIRD_PARTY.md DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/natgrad)

# A shared library brings what it needs; who links a static one looks for it again.
set(find_dependencies "")
if(NOT BUILD_SHARED_LIBS)
  set(find_dependencies "include(CMakeFindDependencyMacro)\n")
  set(dependencies Threads)
  set(blas_libraries "")
  if(NOT NATGRAD_LOAD_BLAS)
    list(APPEND dependencies BLAS LAPACK)
    set(blas_libraries ${LAPACK_LIBRARIES} ${BLAS_LIBRARIES})
    # The same kind of BLAS where one was asked for: another might come without its C interface.
    foreach(choice BLA_VENDOR BLA_STATIC BLA_SIZEOF_INTEGER)
      if(DEFINED ${choice} AND NOT "${${choice}}" STREQUAL "All")
        string(APPEND find_dependencies
          "if(NOT DEFINED ${choice})\n  set(${choice} \"${${choice}}\")\nendif()\n")
      endif()
    endforeach()
  endif()
  if(NATGRAD_HAS_CUDA)
    string(APPEND find_dependencies "find_dependency(CUDAToolkit)\n")
  endif()
  foreach(dependency ${dependencies})
    string(APPEND find_dependencies "find_dependency(${dependency})\n")
  endforeach()
  if(OpenMP_CXX_FOUND)
    string(APPEND find_dependencies "find_dependency(OpenMP COMPONENTS CXX)\n")
  endif()
endif()
configure_package_config_file(cmake/natgradConfig.cmake.in natgradConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(natgradConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/natgradConfig.cmake
  ${PROJECT_BINARY_DIR}/natgradConfigVersion.cmake DESTINATION ${package_dir})

# link_flags(RESULT libraries...): libraries as a linker's flags, with -L for unusual folders only.
function(link_flags result)
  set(flags "")
  foreach(library ${ARGN})
    if(IS_ABSOLUTE "${library}")
      cmake_path(GET library PARENT_PATH folder)
      if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
        list(APPEND flags "-L${folder}")
      endif()
      cmake_path(GET library STEM name)
      string(REGEX REPLACE "^lib" "-l" library "${name}")
    elseif(NOT library MATCHES "^-")
      string(PREPEND library "-l")
    endif()
    list(APPEND flags "${library}")
  endforeach()
  list(REMOVE_DUPLICATES flags)
  list(JOIN flags " " flags)
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()

set(pc_cflags "-I\${includedir}")
list(JOIN sanitizers " " pc_libs)
string(PREPEND pc_libs "-L\${libdir} -lnatgrad ")
string(STRIP "${pc_libs}" pc_libs)
set(pc_libs_private "")
set(cuda_libraries "")
if(NATGRAD_HAS_CUDA)
  set(cuda_libraries ${CUDA_cudart_LIBRARY} ${CUDA_cublas_LIBRARY} ${CUDA_cusolver_LIBRARY})
endif()
if(NOT BUILD_SHARED_LIBS)
  string(APPEND pc_cflags " -DNATGRAD_STATIC")
  link_flags(pc_libs_private ${blas_libraries} ${OpenMP_CXX_LIBRARIES}
    ${CMAKE_THREAD_LIBS_INIT} ${CMAKE_DL_LIBS} ${cuda_libraries})
endif()
# From the .pc file's own folder up to the prefix, unless the folders were given as absolute ones.
set(pc_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  string(REGEX REPLACE "[^/]+" ".." up "${pc_folder}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
cmake_path(APPEND pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(cmake/natgrad.pc.in natgrad.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/natgrad.pc DESTINATION ${pc_folder})
