#include "natgrad/models/ising_chain.hpp"

#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "models/spin_checks.hpp"
#include "natgrad/error.hpp"

#include <cmath>
#include <numbers>

namespace natgrad {

void detail::check_chain(const IsingChain& chain) {
  OptionErrors errors("Ising chain");
  errors.check(".coupling", chain.coupling, std::isfinite(chain.coupling) && chain.coupling > 0,
               "finite and > 0");
  errors.check(".field", chain.field, std::isfinite(chain.field) && chain.field >= 0,
               "finite and >= 0");
  errors.throw_if_any();
}

double ground_state_energy(const IsingChain& chain, std::int64_t sites) {
  detail::check_chain(chain);
  if (sites < 2) {
    throw OptionError(detail::message("ground_state_energy: sites = ", sites, ", must be >= 2"));
  }
  const double J = chain.coupling;
  const double h = chain.field;
  double sum = 0;
  for (std::int64_t m = 0; m < sites; ++m) {
    const double k = static_cast<double>(2 * m + 1) * std::numbers::pi / static_cast<double>(sites);
    sum += std::sqrt(J * J + h * h - 2 * J * h * std::cos(k));
  }
  return -sum;
}

}  // namespace natgrad
