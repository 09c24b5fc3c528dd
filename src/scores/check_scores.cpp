#include "natgrad/check_scores.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/option_errors.hpp"
#include "kernels/formulas/random.hpp"
#include "natgrad/error.hpp"
#include "scores/likelihood_differences.hpp"
#include "scores/not_finite.hpp"
#include "scores/score_checks.hpp"
#include "scores/score_set.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace natgrad {

namespace {

using detail::LikelihoodDifferences;

/// Moves the parameters between theta and the points theta +- h v_k. Directions are computed anew
/// from their random numbers whenever they are needed, so that memory does not grow with their
/// number. The destructor restores the parameters bit for bit.
class Points {
 public:
  Points(const Parameters& parameters, std::uint64_t seed, double step);
  ~Points() {
    try {
      restore();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch)
      // A broken device restores nothing.
    }
  }
  Points(const Points&) = delete;
  Points& operator=(const Points&) = delete;

  /// v_k (P), float64 on the device: the direction between the two points as the parameters' type
  /// rounds them.
  ConstView direction(int k);
  /// Parameters = theta + sign h v_k.
  void move(int k, double sign);
  void restore();

 private:
  struct Tensor {
    View theta;        // the caller's
    View saved;        // its bits
    View numbers;      // a part of `numbers_`
    double scale = 1;  // of its movement
  };
  double moved(const Tensor& tensor, int k, std::size_t i, double sign) const;
  void set_scales();
  template <class Body>
  void for_each(const Body& body) const;

  Parameters parameters_;
  Backend& backend_;
  std::uint64_t seed_;
  double step_;
  Array saved_;    // (P) of the parameters' type
  Array numbers_;  // (P) float64
  std::vector<double> theta_;
  std::vector<double> host_;
  std::vector<Tensor> tensors_;
};

Points::Points(const Parameters& parameters, std::uint64_t seed, double step)
    : parameters_(parameters),
      backend_(parameters.context().state().backend()),
      seed_(seed),
      step_(step),
      saved_(parameters.context().array({parameters.size(), 1}, parameters.type())),
      numbers_(parameters.context().array({parameters.size(), 1}, ElementType::float64)),
      theta_(static_cast<std::size_t>(parameters.size())),
      host_(theta_.size()) {
  // The views are kept: a function that adds parameters meanwhile must not prevent restoring.
  for (int i = 0; i < parameters.segments(); ++i) {
    tensors_.push_back({.theta = parameters.tensor({i}),
                        .saved = parameters.part({i}, saved_.view()),
                        .numbers = parameters.part({i}, numbers_.view())});
    backend_.copy(tensors_.back().theta, tensors_.back().saved);
    backend_.copy(tensors_.back().theta, tensors_.back().numbers);
  }
  backend_.download(numbers_, theta_.data());
  set_scales();
}

/// Calls body(tensor, i) for number i of the P, in their order.
template <class Body>
void Points::for_each(const Body& body) const {
  std::size_t i = 0;
  for (const Tensor& tensor : tensors_) {
    for (std::int64_t j = 0; j < tensor.theta.size(); ++j, ++i) body(tensor, i);
  }
}

/// Each tensor moves by the size of its numbers, so that large ones move at all; at least by that
/// of all parameters, so that tensors which are still zero, as biases are at first, move too.
void Points::set_scales() {
  double sum = 0;
  std::size_t i = 0;
  for (Tensor& tensor : tensors_) {
    double square = 0;
    for (std::int64_t j = 0; j < tensor.theta.size(); ++j, ++i) square += theta_[i] * theta_[i];
    sum += square;
    tensor.scale = std::sqrt(square / static_cast<double>(tensor.theta.size()));
  }
  const double all = std::sqrt(sum / static_cast<double>(theta_.size()));
  for (Tensor& tensor : tensors_) tensor.scale = all == 0 ? 1 : std::max(tensor.scale, all);
}

/// Number i of theta + sign h v_k before v_k is known: rounded as the parameters are.
double Points::moved(const Tensor& tensor, int k, std::size_t i, double sign) const {
  const std::uint64_t bits = formulas::random_bits(seed_, formulas::RandomStream::directions,
                                                   static_cast<std::uint32_t>(k), i);
  const double unit = std::sqrt(3.0) * (2 * formulas::uniform(bits) - 1);  // of variance 1
  const double value = theta_[i] + sign * step_ * tensor.scale * unit;
  return tensor.theta.type() == ElementType::float64
             ? value
             : static_cast<double>(static_cast<float>(value));
}

ConstView Points::direction(int k) {
  for_each([&](const Tensor& tensor, std::size_t i) {
    host_[i] = (moved(tensor, k, i, 1) - moved(tensor, k, i, -1)) / (2 * step_);
  });
  backend_.upload(host_.data(), numbers_);
  return numbers_;
}

void Points::move(int k, double sign) {
  for_each([&](const Tensor& tensor, std::size_t i) { host_[i] = moved(tensor, k, i, sign); });
  backend_.upload(host_.data(), numbers_);
  for (const Tensor& tensor : tensors_) backend_.copy(tensor.numbers, tensor.theta);
}

void Points::restore() {
  for (const Tensor& tensor : tensors_) backend_.copy(tensor.saved, tensor.theta);
}

LikelihoodCheck::Options checked(LikelihoodCheck::Options options, ElementType type) {
  detail::OptionErrors errors("check_scores");
  errors.check(".directions", options.directions,
               options.directions >= 1 && options.directions <= 1000, "1 to 1000");
  errors.check(".step", options.step, options.step >= 0 && options.step < 1, ">= 0 and < 1");
  errors.check(".tolerance", options.tolerance, options.tolerance >= 0 && options.tolerance < 1,
               ">= 0 and < 1");
  errors.throw_if_any();
  const bool is_double = type == ElementType::float64;
  // A power of two, so that h and 2h round nothing. The least error, at the cube root of eps, is at
  // 2^-17 and 2^-8; less, because the share of rows that meet a kink grows with h.
  if (options.step == 0) options.step = is_double ? 0x1p-20 : 0x1p-12;
  if (options.tolerance == 0) options.tolerance = is_double ? 1e-5 : 1e-2;
  return options;
}

/// S v_k (K, N) of the rows without weights, but with `RowSet::scale`.
std::vector<double> products(const detail::ScoreSet& rows, Points& points, int directions) {
  const Context& context = rows.parameters().context();
  Backend& backend = context.state().backend();
  const Array scale = context.array({rows.size(), 1}, ElementType::float64);
  backend.fill(rows.set().scale, scale);
  const RowBatch unscaled{rows.given(), scale};
  const std::int64_t bytes = backend.rows_scratch(unscaled.blocks, unscaled.rows(),
                                                  rows.parameters().type(), ElementType::float64);
  const Array scratch = context.array({(bytes + 7) / 8, 1}, ElementType::float64);
  const Array product = context.array({rows.size(), 1}, ElementType::float64);
  const auto n = static_cast<std::size_t>(rows.size());
  std::vector<double> host(n * static_cast<std::size_t>(directions));
  for (int k = 0; k < directions; ++k) {
    backend.apply(unscaled, points.direction(k), product, {scratch.view().data(), bytes});
    backend.download(product, host.data() + n * static_cast<std::size_t>(k));
  }
  return host;
}

LikelihoodCheck compare_with(const detail::ScoreSet& rows, const LogLikelihood& log_likelihood,
                             const LikelihoodCheck::Options& wanted) {
  const Parameters& parameters = rows.parameters();
  LikelihoodDifferences data{.rows = static_cast<std::size_t>(rows.size()),
                             .directions = static_cast<std::size_t>(wanted.directions),
                             .step = wanted.step,
                             .tolerance = wanted.tolerance};
  data.above.resize(data.rows * data.directions);
  data.below.resize(data.rows * data.directions);
  data.centre.resize(data.rows);
  data.again.resize(data.rows);
  Points points(parameters, wanted.seed, wanted.step);
  data.products = products(rows, points, wanted.directions);
  // What is wrong with the rows is looked for before log p may overwrite them.
  std::vector<std::string> remarks = {detail::describe_bad_columns(rows)};
  const bool finite = std::ranges::all_of(data.products, [](double x) { return std::isfinite(x); });
  if (!finite) remarks.push_back(detail::describe_bad_factors(rows));

  const Array log_p = parameters.context().array({rows.size(), 1}, ElementType::float64);
  Backend& backend = parameters.context().state().backend();
  const auto evaluate = [&](double* host) {
    backend.fill(std::nan(""), log_p);  // a row that the function leaves out shows
    log_likelihood(log_p);
    backend.download(log_p, host);
  };
  // The two calls at the parameters as they are stand as far apart as they can: what drifts from
  // call to call shows as well as what is random.
  evaluate(data.centre.data());
  for (int k = 0; k < wanted.directions; ++k) {
    const std::size_t first = data.rows * static_cast<std::size_t>(k);
    points.move(k, 1);
    evaluate(data.above.data() + first);
    points.move(k, -1);
    evaluate(data.below.data() + first);
  }
  points.restore();
  evaluate(data.again.data());
  remarks.push_back(detail::describe_bad_parameters(parameters));

  LikelihoodCheck check = compare(data);
  for (const std::string& remark : remarks) {
    if (!remark.empty()) check.text += "; " + remark;
  }
  check.uncovered = detail::uncovered_parameters(rows);
  for (const std::string& name : check.uncovered) {
    check.text += "; no row touches parameter " + name;
  }
  return check;
}

}  // namespace

LikelihoodCheck check_scores(const Scores& scores, const LogLikelihood& log_likelihood,
                             const LikelihoodCheck::Options& options) {
  return detail::with_memory_errors([&] {
    const LikelihoodCheck::Options wanted = checked(options, scores.parameters().type());
    if (!log_likelihood) throw ArgumentError("check_scores: log_likelihood is empty");
    scores.rows().require_rows("check_scores", scores.parameters());
    return compare_with(scores.rows(), log_likelihood, wanted);
  });
}

}  // namespace natgrad
