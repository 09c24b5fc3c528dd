#pragma once

#include <string>
#include <vector>

namespace natgrad {

/// An environment variable that the loaded BLAS should have been started with.
struct BlasAdvice {
  std::string variable;
  std::string value;
  std::string reason;
};

/// What is wrong with the BLAS of this process: kernels of an old processor chosen for a new one (8
/// times slower), or a pool of threads beside OpenMP's (2.6 times slower). Empty where all is well,
/// and where the user has set the variable.
std::vector<BlasAdvice> blas_advice();

/// For programs, first thing in main: restarts the process with the advised variables, and with
/// OpenMP's threads waiting passively unless the user has said how; at most once.
void apply_blas_advice(char** argv);

/// For programs: the OpenMP threads of this process from here on, which the BLAS follows.
void set_threads(int count);
int threads();

}  // namespace natgrad
