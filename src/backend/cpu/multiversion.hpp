#pragma once

// A function marked so is compiled for several instruction sets and chosen when the program loads:
// the library itself is built for the oldest x86-64.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(NATGRAD_NO_MULTIVERSIONING)
#define NATGRAD_MULTIVERSION [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]]
#else
#define NATGRAD_MULTIVERSION
#endif
