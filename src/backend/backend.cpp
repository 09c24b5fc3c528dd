#include "backend/backend.hpp"

namespace natgrad {

Backend::~Backend() = default;

}  // namespace natgrad
