#include "models/head.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "kernels/formulas/likelihoods/table.hpp"
#include "natgrad/error.hpp"

#include <array>

namespace natgrad {

using detail::message;

namespace {

constexpr std::int64_t largest_counter = std::int64_t{1} << 53;  // exact in double

Shape targets_shape(const Head::Options& options, std::int64_t rows) {
  return {rows, formulas::targets_of(options.likelihood, options.outputs)};
}

ElementType targets_type(const Head::Options& options) {
  return formulas::target_type(options.likelihood, options.type);
}

}  // namespace

Head::Head(const Context& context, const Options& options)
    : options_(options), context_(context), backend_(context.state().backend()) {
  if (formulas::name_of(options.likelihood) == nullptr) {
    throw OptionError(
        message("likelihood = ", static_cast<int>(options.likelihood), ", must be a Likelihood"));
  }
  sums_ = context.array({2, 1}, ElementType::float64);
  drawings_ = context.array({1, 1}, ElementType::float64);
  backend_.fill(0, drawings_);
}

void Head::check_targets(const char* caller, const ConstView& targets, std::int64_t rows) const {
  if (rows == 0) throw ArgumentError(message(caller, ": call forward first"));
  detail::require_operand({caller, "labels"}, targets, targets_shape(options_, rows),
                          targets_type(options_), context_.state().memory());
}

void Head::score(const ConstView& z, const ConstView& targets, const View& score) const {
  backend_.likelihood_score(options_.likelihood, z, targets, score);
}

ConstView Head::sample(const ConstView& z, std::int64_t draws) {
  const std::int64_t wanted = z.rows() * draws;
  if (drawn_.rows() < wanted) {
    drawn_.replace(backend_);  // first: the old and the new together would be twice the memory
    drawn_.replace(backend_,
                   context_.array(targets_shape(options_, wanted), targets_type(options_)));
  }
  const View targets = drawn_.view().row_range(0, wanted);
  backend_.likelihood_sample(options_.likelihood, z, options_.key, draws, drawings_, targets);
  return targets;
}

void Head::log_likelihood(const ConstView& z, const ConstView& targets, const View& log_p) const {
  backend_.log_likelihood(options_.likelihood, z, targets, log_p);
}

void Head::evaluate(const ConstView& z, const ConstView& targets, const View& sums) const {
  backend_.likelihood_evaluate(options_.likelihood, z, targets, sums);
}

Head::Means Head::evaluate(const ConstView& z, const ConstView& targets) const {
  evaluate(z, targets, sums_);
  std::array<double, 2> sums{};
  backend_.download(sums_, sums.data());
  const auto n = static_cast<double>(z.rows());
  return {.log_p = sums[0] / n, .figure = sums[1] / n};
}

std::int64_t Head::draw_counter() const {
  double counter = 0;
  backend_.download(drawings_, &counter);
  return static_cast<std::int64_t>(counter);
}

void Head::set_draw_counter(std::int64_t counter) const {
  if (counter < 0 || counter > largest_counter) {
    throw OptionError(message("set_draw_counter: ", counter, ", must be >= 0 and <= 2^53"));
  }
  backend_.fill(static_cast<double>(counter), drawings_);
}

void Head::count(const Options& options, std::int64_t rows, std::int64_t draws, ByteCount& bytes) {
  bytes.add(3, 1, size_of(ElementType::float64));  // sums and counter
  const std::int64_t of_row = targets_shape(options, 1).size() * size_of(targets_type(options));
  bytes.add(rows, draws, of_row);
}

}  // namespace natgrad
