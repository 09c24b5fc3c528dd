#pragma once

#include <cstdint>
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

/// How OpenMP's threads wait for work unless the user has said how. Passively: a tenth slower on a
/// machine of one's own, where small factorizations wake them often, and ten times faster where
/// others use the cores too.
enum class Waiting : std::uint8_t { as_ever, passive };

/// For programs, first thing in main: restarts the process with the advised variables, at most
/// once.
void apply_blas_advice(char** argv, Waiting waiting);

/// For programs: the OpenMP threads of this process from here on, which the BLAS follows.
void set_threads(int count);
int threads();

}  // namespace natgrad
