#include "natgrad/spectrum.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <limits>

namespace natgrad {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void check_damping(const char* caller, double damping) {
  if (damping >= 0 && std::isfinite(damping)) return;
  throw OptionError(
      detail::message("spectrum: ", caller, ": damping = ", damping, ", must be finite and >= 0"));
}

}  // namespace

std::int64_t Spectrum::rank(double tolerance) const {
  if (!(tolerance >= 0)) {
    throw OptionError(detail::message("spectrum: rank: tolerance = ", tolerance, ", must be >= 0"));
  }
  std::int64_t count = 0;
  for (const double value : eigenvalues) {
    if (value > tolerance * eigenvalues.back()) ++count;
  }
  return count;
}

double Spectrum::condition(double damping) const {
  check_damping("condition", damping);
  if (eigenvalues.empty()) return nan;
  const bool has_others = static_cast<std::int64_t>(eigenvalues.size()) < size;
  const double smallest = (has_others ? 0 : eigenvalues.front()) + damping;
  return smallest > 0 ? (eigenvalues.back() + damping) / smallest : infinity;
}

double Spectrum::log_determinant(double damping) const {
  check_damping("log determinant", damping);
  if (eigenvalues.empty()) return nan;
  double sum = 0;
  for (const double value : eigenvalues) sum += std::log(value + damping);
  const auto others = static_cast<double>(size) - static_cast<double>(eigenvalues.size());
  return others > 0 ? sum + others * std::log(damping) : sum;
}

}  // namespace natgrad
