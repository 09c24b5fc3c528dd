#include "models/head.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "core/option_errors.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "natgrad/error.hpp"

#include <array>
#include <cmath>

namespace natgrad {

using detail::message;

namespace {

Shape targets_shape(const Head::Options& options, std::int64_t rows) {
  return {rows, formulas::targets_of(options.distribution.likelihood, options.outputs)};
}

ElementType targets_type(const Head::Options& options) {
  return formulas::target_type(options.distribution.likelihood, options.type);
}

}  // namespace

void Head::Options::check() const {
  const auto [likelihood, sigma] = distribution;
  detail::require_enumerator("fully connected", ".likelihood", likelihood);
  const std::int64_t multiple = formulas::outputs_a_target(likelihood);
  if (outputs % multiple != 0) {
    throw OptionError(message("fully connected: .sizes ends with ", outputs, " outputs, must be ",
                              multiple,
                              " for each target of .likelihood = ", to_string(likelihood)));
  }
  if (!(std::isfinite(sigma) && sigma > 0)) {
    throw OptionError(message("fully connected: .sigma = ", sigma, ", must be finite and > 0"));
  }
}

Head::Head(const Context& context, const Options& options)
    : options_(options), context_(context), backend_(context.state().backend()) {
  sums_ = context.array({2, 1}, ElementType::float64);
  drawings_ = context.array({1, 1}, ElementType::float64);
  backend_.fill(0, drawings_);
}

void Head::reserve(std::int64_t rows) {
  if (values_.rows() >= rows) return;
  values_.replace(backend_);
  values_.replace(backend_, context_.array({rows, 1}, ElementType::float64));
}

void Head::check_targets(const char* caller, const ConstView& targets, std::int64_t rows) const {
  if (rows == 0) throw ArgumentError(message(caller, ": call forward first"));
  detail::require_operand({caller, "targets"}, targets, targets_shape(options_, rows),
                          targets_type(options_), context_.state().memory());
}

void Head::score(const ConstView& z, const ConstView& targets, const View& score) const {
  backend_.likelihood_score(options_.distribution, z, targets, score);
}

ConstView Head::sample(const ConstView& z, std::int64_t draws) {
  const std::int64_t wanted = z.rows() * draws;
  if (drawn_.rows() < wanted) {
    drawn_.replace(backend_);  // first: the old and the new together would be twice the memory
    drawn_.replace(backend_,
                   context_.array(targets_shape(options_, wanted), targets_type(options_)));
  }
  const View targets = drawn_.view().row_range(0, wanted);
  backend_.likelihood_sample(options_.distribution, z, options_.key, draws, drawings_, targets);
  return targets;
}

void Head::log_likelihood(const ConstView& z, const ConstView& targets, const View& log_p) const {
  backend_.log_likelihood(options_.distribution, z, targets, log_p);
}

void Head::evaluate(const ConstView& z, const ConstView& targets, const View& sums) const {
  backend_.likelihood_evaluate(options_.distribution, z, targets, sums);
}

Head::Means Head::evaluate(const ConstView& z, const ConstView& targets) const {
  evaluate(z, targets, sums_);
  std::array<double, 2> sums{};
  backend_.download(sums_, sums.data());
  const auto n = static_cast<double>(z.rows());
  return {.log_p = sums[0] / n, .figure = sums[1] / n};
}

void Head::exact(const ConstView& z, const ConstView& targets, const View& rows,
                 const View& r) const {
  backend_.likelihood_exact(options_.distribution, z, targets, rows, r);
}

void Head::loss(const ConstView& z, const ConstView& targets, const ConstView& weights,
                const View& loss) const {
  const View log_p = rows_of_values(z.rows());
  backend_.log_likelihood(options_.distribution, z, targets, log_p);
  sum(-1, log_p, weights, loss);
}

void Head::kl(const ConstView& z, const ConstView& now, const ConstView& weights,
              const View& kl) const {
  const View of_rows = rows_of_values(z.rows());
  backend_.likelihood_kl(options_.distribution, z, now, of_rows);
  sum(1, of_rows, weights, kl);
}

/// result = factor times the weighted sum, or the mean without weights.
void Head::sum(double factor, const ConstView& values, const ConstView& weights,
               const View& result) const {
  if (weights.empty()) {
    backend_.column_sums(factor / static_cast<double>(values.rows()), values, result);
  } else {
    const View inner = sums_.view().row_range(0, 1);
    backend_.dot(values, weights, inner);
    backend_.axpby(factor, inner, 0, result);
  }
}

std::int64_t Head::draw_counter() const {
  double counter = 0;
  backend_.download(drawings_, &counter);
  return static_cast<std::int64_t>(counter);
}

void Head::set_draw_counter(std::int64_t counter) const {
  constexpr std::int64_t largest = std::int64_t{1} << 53;  // exact in double
  if (counter < 0 || counter > largest) {
    throw OptionError(message("set_draw_counter: ", counter, ", must be >= 0 and <= 2^53"));
  }
  backend_.fill(static_cast<double>(counter), drawings_);
}

void Head::count(const Options& options, std::int64_t rows, std::int64_t draws, ByteCount& bytes) {
  bytes.add(3, 1, size_of(ElementType::float64));     // sums and counter
  bytes.add(rows, 1, size_of(ElementType::float64));  // values
  const std::int64_t of_row = targets_shape(options, 1).size() * size_of(targets_type(options));
  bytes.add(rows, draws, of_row);
}

}  // namespace natgrad
