#include "natgrad/process.hpp"
#include "trainer/program.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace {

/// A file opened later must not become a closed standard stream, whose text it would then hold.
void open_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) == -1) static_cast<void>(open("/dev/null", O_RDWR));
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  natgrad::apply_blas_advice(argv, natgrad::Waiting::passive);
  return natgrad::trainer::run(argc, argv);
}
