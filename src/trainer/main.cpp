#include "backend/cpu/blas_environment.hpp"
#include "trainer/program.hpp"

int main(int argc, char** argv) {
  natgrad::apply_blas_advice(argv);
  return natgrad::trainer::run(argc, argv);
}
