# two_blas.*: natgrad beside a library that brings a BLAS of its own, in every order of linking. Where
# natgrad's BLAS is linked, its names may take the place of that library's (docs/linking.md).
if(NOT NATGRAD_LOAD_BLAS OR NOT NATGRAD_C_INTERFACE)
  return()
endif()

natgrad_c_sources(blas/other_zdotc.c blas/other_vdot.c)
add_library(other_blas SHARED blas/other_zdotc.c blas/other_vdot.c)
target_include_directories(other_blas INTERFACE blas)
# The same from further behind: a model's library needs it, the program does not know it.
add_library(other_model SHARED blas/model_vdot.cpp)
target_link_libraries(other_model PRIVATE other_blas)

# two_blas(NAME libraries...): linked in this order, whether they are needed or not.
function(two_blas name)
  add_executable(two_blas_${name} blas/two_blas.cpp)
  target_link_options(two_blas_${name} PRIVATE LINKER:--no-as-needed)
  target_include_directories(two_blas_${name} PRIVATE blas)
  target_link_libraries(two_blas_${name} PRIVATE ${ARGN})
  add_test(NAME two_blas.${name} COMMAND two_blas_${name})
  set_tests_properties(two_blas.${name} PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()
two_blas(natgrad_first natgrad::natgrad other_blas)
two_blas(natgrad_last other_blas natgrad::natgrad)
two_blas(natgrad_before_a_model natgrad::natgrad other_model)
two_blas(natgrad_after_a_model other_model natgrad::natgrad)
foreach(name natgrad_before_a_model natgrad_after_a_model)
  target_compile_definitions(two_blas_${name} PRIVATE other_vdot=model_vdot)
endforeach()
