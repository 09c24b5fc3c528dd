#pragma once

#include "natgrad/check_scores.hpp"

#include <string>

namespace natgrad::tests {

inline bool speaks_of(const LikelihoodCheck& check, const std::string& text) {
  return check.text.find(text) != std::string::npos;
}

}  // namespace natgrad::tests
