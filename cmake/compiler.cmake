# Flags of our own targets, as one interface target: nothing here reaches a user of the library.
add_library(natgrad_flags INTERFACE)
target_compile_features(natgrad_flags INTERFACE cxx_std_20)
target_compile_options(natgrad_flags INTERFACE -Wall -Wextra -Wconversion -Wno-sign-conversion
  $<$<BOOL:${NATGRAD_WERROR}>:-Werror>
  # Vector loops over formulas: selects need no branch, sqrt no errno, comparisons no trap.
  -fno-math-errno -fno-trapping-math)

if(NATGRAD_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(NATGRAD_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread -fno-omit-frame-pointer)
elseif(NATGRAD_SANITIZE)
  message(FATAL_ERROR "NATGRAD_SANITIZE=${NATGRAD_SANITIZE}: expected address or thread")
endif()
if(sanitizers)
  # What a sanitizer adds hides from g++ that a variable is always set.
  target_compile_options(natgrad_flags INTERFACE -Wno-maybe-uninitialized)
  target_compile_options(natgrad_flags INTERFACE ${sanitizers})
  target_link_options(natgrad_flags INTERFACE ${sanitizers})
  if(NATGRAD_SANITIZE STREQUAL "thread")
    # Those of OpenMP, which is left out.
    target_compile_options(natgrad_flags INTERFACE -Wno-unknown-pragmas)
  endif()
  # Resolvers of multiversioned functions run before a sanitizer's runtime is up.
  target_compile_definitions(natgrad_flags INTERFACE NATGRAD_NO_MULTIVERSIONING)
endif()

# ccache looks up what was compiled with a precompiled header only where g++ names it so.
if(NATGRAD_PRECOMPILED_HEADERS AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(natgrad_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()
