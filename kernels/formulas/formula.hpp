#pragma once

// What marks a scalar formula: a function that the CPU's loops and the CUDA kernels both inline.
// Inlining is forced because a loop vectorizes only when nothing in its body is a call.

#ifdef __CUDACC__
#define NATGRAD_FORMULA __host__ __device__ __forceinline__
#else
#define NATGRAD_FORMULA [[gnu::always_inline]] inline
#endif
