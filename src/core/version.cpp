#include "natgrad/version.hpp"

#define NATGRAD_STRING(x) #x
#define NATGRAD_DOTTED(a, b, c) NATGRAD_STRING(a) "." NATGRAD_STRING(b) "." NATGRAD_STRING(c)

namespace natgrad {

const char* version() {
  return NATGRAD_DOTTED(NATGRAD_VERSION_MAJOR, NATGRAD_VERSION_MINOR, NATGRAD_VERSION_PATCH);
}

}  // namespace natgrad
