#pragma once

#include "natgrad/export.hpp"

#include <cstdint>
#include <string>
#include <vector>

// Settings of the whole process. The library never changes them by itself: these functions are for
// a program's main.

namespace natgrad {

/// An environment variable that the loaded BLAS should have been started with.
struct BlasAdvice {
  std::string variable;
  std::string value;
  std::string reason;
};

/// Says what is wrong with the BLAS of this process: kernels of an old processor chosen for a new
/// one (8 times slower), or a pool of threads beside OpenMP's (2.6 times slower). Returns one entry
/// for each variable to set; none where all is well or the user has set the variable.
NATGRAD_EXPORT std::vector<BlasAdvice> blas_advice();

/// How OpenMP's threads wait for work unless the user has said how. Waiting passively is a tenth
/// slower on an otherwise idle machine, where small factorizations wake the threads often, and ten
/// times faster where other processes use the cores too.
enum class Waiting : std::uint8_t { as_ever, passive };

/// Restarts the process with the variables that `blas_advice` names, at most once. Call it first in
/// main. `argv`: main's. Where the restart fails, the program runs on without the variables.
NATGRAD_EXPORT void apply_blas_advice(char** argv, Waiting waiting);

/// Sets the number of OpenMP threads of this process from here on; the BLAS follows it.
NATGRAD_EXPORT void set_threads(int count);
/// Returns the number of OpenMP threads; 1 in a build without OpenMP.
NATGRAD_EXPORT int threads();

}  // namespace natgrad
