#include "natgrad/models/poisson_problem.hpp"

#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/operands.hpp"
#include "core/option_errors.hpp"
#include "models/byte_count.hpp"
#include "natgrad/error.hpp"

namespace natgrad {

namespace {

constexpr std::int64_t most_points = 1'000'000'000;
constexpr std::int64_t most_drawings = std::int64_t{1} << 32;

const PoissonProblem::Options& checked_problem(const PoissonProblem::Options& options) {
  detail::OptionErrors errors("poisson problem");
  const auto check = [&](const char* name, std::int64_t value, std::int64_t least,
                         std::int64_t most, const char* range) {
    errors.check(name, static_cast<double>(value), value >= least && value <= most, range);
  };
  check(".dimension", options.dimension, 1, 1000, "1 to 1000");
  check(".interior", options.interior, 1, most_points, "1 to 10^9");
  check(".boundary", options.boundary, 0, most_points, "0 to 10^9");
  check(".drawing", options.drawing, 0, most_drawings - 1, "0 to 2^32 - 1");
  errors.check(".boundary_weight", options.boundary_weight, options.boundary_weight > 0,
               "finite and > 0");
  errors.check_enumerator(".solution", options.solution);
  errors.throw_if_any();
  if (options.type != ElementType::float32 && options.type != ElementType::float64) {
    throw OptionError(detail::message("poisson problem: .type = ", to_string(options.type),
                                      ", must be float32 or float64"));
  }
  return options;
}

}  // namespace

struct PoissonProblem::State {
  Options options;
  Context context;
  Backend& backend;
  Array interior;   // (N_i, d)
  Array boundary;   // (N_b, d)
  Array laplacian;  // (N_i), as those below float64
  Array values;     // (N_b)
  Array weights;    // (N)
  Array counter;    // drawings so far
  Array one;        // the number 1

  State(const Context& where, const Options& wanted)
      : options(checked_problem(wanted)),
        context(where),
        backend(where.state().backend()),
        interior(where.array({options.interior, options.dimension}, options.type)),
        laplacian(where.array({options.interior, 1}, ElementType::float64)),
        weights(where.array({options.interior + options.boundary, 1}, ElementType::float64)),
        counter(where.array({1, 1}, ElementType::float64)),
        one(where.array({1, 1}, ElementType::float64)) {
    backend.fill(1, one);
    const std::int64_t inside = options.interior;
    const std::int64_t faces = options.boundary;
    backend.fill(1 / static_cast<double>(inside), weights.view().row_range(0, inside));
    if (faces > 0) {
      boundary = where.array({faces, options.dimension}, options.type);
      values = where.array({faces, 1}, ElementType::float64);
      backend.fill(options.boundary_weight / static_cast<double>(faces),
                   weights.view().row_range(inside, faces));
    }
    backend.fill(static_cast<double>(options.drawing), counter);
    draw();
  }

  void draw() {
    backend.draw_points(options.key, counter, false, interior);
    backend.solution_at(options.solution, true, interior, laplacian);
    if (boundary.empty()) return;
    backend.draw_points(options.key, counter, true, boundary);
    backend.solution_at(options.solution, false, boundary, values);
  }
};

PoissonProblem::PoissonProblem(const Context& context, const Options& options)
    : state_(
          detail::with_memory_errors([&] { return std::make_unique<State>(context, options); })) {}
PoissonProblem::~PoissonProblem() = default;
PoissonProblem::PoissonProblem(PoissonProblem&&) noexcept = default;
PoissonProblem& PoissonProblem::operator=(PoissonProblem&&) noexcept = default;

const PoissonProblem::Options& PoissonProblem::options() const { return state_->options; }
std::int64_t PoissonProblem::samples() const {
  return state_->options.interior + state_->options.boundary;
}
ConstView PoissonProblem::interior() const { return state_->interior; }
ConstView PoissonProblem::laplacian() const { return state_->laplacian; }
ConstView PoissonProblem::boundary() const { return state_->boundary; }
ConstView PoissonProblem::values() const { return state_->values; }
ConstView PoissonProblem::weights() const { return state_->weights; }

void PoissonProblem::resample() {
  State& s = *state_;
  s.backend.axpby(1.0, s.one, 1.0, s.counter);
  s.draw();
}

std::int64_t PoissonProblem::drawings() const {
  double counter = 0;
  state_->backend.download(state_->counter, &counter);
  return static_cast<std::int64_t>(counter);
}

void PoissonProblem::set_drawings(std::int64_t drawings) {
  State& s = *state_;
  if (drawings < 0 || drawings >= most_drawings) {
    throw OptionError(
        detail::message("poisson problem: drawings = ", drawings, ", must be 0 to 2^32 - 1"));
  }
  s.backend.fill(static_cast<double>(drawings), s.counter);
  s.draw();
}

void PoissonProblem::solution_at(const ConstView& points, const View& u) const {
  const State& s = *state_;
  detail::require_operand({"solution_at", "points"}, points, {points.rows(), s.options.dimension},
                          s.options.type, s.backend);
  detail::require_operand({"solution_at", "u"}, u, {points.rows(), 1}, ElementType::float64,
                          s.backend);
  s.backend.solution_at(s.options.solution, false, points, u);
}

std::int64_t PoissonProblem::bytes(const Options& options) {
  checked_problem(options);
  ByteCount bytes("poisson problem: points");
  const std::int64_t points = options.interior + options.boundary;
  bytes.add(points, options.dimension, size_of(options.type));
  bytes.add(points, 2, size_of(ElementType::float64));
  bytes.add(2, 1, size_of(ElementType::float64));
  return bytes.bytes();
}

}  // namespace natgrad
