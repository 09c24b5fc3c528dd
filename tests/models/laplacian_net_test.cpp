#include "natgrad/models/laplacian_net.hpp"

#include "core/context_state.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"
#include "support/device.hpp"
#include "support/loop.hpp"
#include "support/plain.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

// Residuals of Poisson's equation and their derivatives against second derivatives that are taken
// one coordinate at a time, in long double, with derivatives by a weight carried along or
// differenced.

namespace natgrad::tests {

namespace {

using Real = long double;

/// A number and its derivative by one weight.
struct Dual {
  Real value = 0;
  Real slope = 0;
};
Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
Dual operator*(Dual a, Dual b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
Dual tanh_of(Dual z) {
  const Real a = std::tanh(z.value);
  return {a, (1 - a * a) * z.slope};
}

/// The first three numbers of the series of a function along one coordinate: value, first and
/// second derivative.
struct Jet {
  Dual value, first, second;
};

/// Layers as in `Parameters`, and u along coordinate `along` of x, where `weight` of all the
/// numbers counts as the variable, or none (-1).
struct NaiveNet {
  std::int64_t dimension;
  std::vector<std::int64_t> hidden;
  std::vector<Real> theta;

  Jet along(const std::vector<double>& x, std::int64_t coordinate, std::int64_t weight) const {
    std::vector<Jet> a;
    for (std::int64_t i = 0; i < dimension; ++i) {
      a.push_back({{x[static_cast<std::size_t>(i)]}, {i == coordinate ? Real{1} : Real{0}}, {}});
    }
    std::size_t next = 0;
    const auto number = [&] {
      const Dual result{theta[next], static_cast<std::int64_t>(next) == weight ? Real{1} : Real{0}};
      ++next;
      return result;
    };
    for (std::size_t l = 0; l <= hidden.size(); ++l) {
      const bool is_last = l == hidden.size();
      std::vector<Jet> z(is_last ? 1 : static_cast<std::size_t>(hidden[l]));
      for (Jet& jet : z) {
        for (const Jet& input : a) {
          const Dual w = number();
          jet.value = jet.value + w * input.value;
          jet.first = jet.first + w * input.first;
          jet.second = jet.second + w * input.second;
        }
      }
      for (Jet& jet : z) jet.value = jet.value + number();
      if (!is_last) {
        for (Jet& jet : z) {
          const Dual t = tanh_of(jet.value);
          const Dual slope = Dual{1} - t * t;
          jet = {t, slope * jet.first,
                 slope * jet.second - Dual{2} * t * slope * jet.first * jet.first};
        }
      }
      a = z;
    }
    return a.front();
  }
  Dual laplacian(const std::vector<double>& x, std::int64_t weight) const {
    Dual sum;
    for (std::int64_t i = 0; i < dimension; ++i) sum = sum + along(x, i, weight).second;
    return sum;
  }
  Dual value(const std::vector<double>& x, std::int64_t weight) const {
    return along(x, -1, weight).value;
  }
};

struct FieldCase {
  std::int64_t dimension;
  std::vector<std::int64_t> hidden;
};
const std::vector<FieldCase> field_cases = {{1, {3}},       {1, {3, 2, 4, 3}}, {2, {5}},
                                            {2, {4, 3}},    {2, {3, 4, 2}},    {5, {6}},
                                            {5, {4, 3, 5}}, {5, {3, 2, 4, 3}}};

/// A net with its problem, and rows.
struct Field {
  Context context;
  PoissonProblem problem;
  LaplacianNet net;
  LayerScores rows;

  Field(const Context& where, const FieldCase& c, PoissonProblem::Options options = {})
      : context(where),
        problem(where, with_dimension(options, c.dimension)),
        net(where, {.dimension = c.dimension, .hidden = c.hidden, .type = options.type, .seed = 7}),
        rows(net.parameters(), {.kind = FisherKind::residual}) {}

  static PoissonProblem::Options with_dimension(PoissonProblem::Options options, std::int64_t d) {
    options.dimension = d;
    return options;
  }
  void linearize() {
    net.linearize({.interior = problem.interior(),
                   .laplacian = problem.laplacian(),
                   .boundary = problem.boundary(),
                   .values = problem.values()});
  }
  /// The rows without weights.
  std::vector<double> jacobian() {
    const std::int64_t n = problem.samples();
    const Array ones = context.array({n, 1}, ElementType::float64);
    const Array out = context.array({n, net.parameters().size()}, net.options().type);
    Backend& backend = context.state().backend();
    backend.fill(1, ones);
    net.add_to(rows, ones);
    backend.materialize(rows.rows().blocks(), 0, out);
    return host_copy<double>(context, out);
  }
  std::vector<double> residuals() {
    const Array r = context.array({problem.samples(), 1}, ElementType::float64);
    net.residuals_to(r);
    return host_copy<double>(context, r);
  }
  NaiveNet naive() const {
    const Array theta = context.array({net.parameters().size(), 1}, net.options().type);
    net.parameters().gather(theta);
    const auto numbers = host_copy<double>(context, theta);
    return {net.options().dimension, net.options().hidden, {numbers.begin(), numbers.end()}};
  }
  std::vector<double> point(std::int64_t n) const {
    const bool inside = n < problem.options().interior;
    const auto all = host_copy<double>(context, inside ? problem.interior() : problem.boundary());
    const std::int64_t d = problem.options().dimension;
    const auto first = all.begin() + (inside ? n : n - problem.options().interior) * d;
    return {first, first + d};
  }
};

TEST(laplacian_net, residuals_and_their_derivatives_are_the_naive_ones) {
  for (const FieldCase& c : field_cases) {
    SCOPED_TRACE(testing::Message() << "d " << c.dimension << ", depth " << c.hidden.size());
    Field field(test_context(), c,
                {.solution = PoissonSolution::cos, .interior = 3, .boundary = 2, .key = 5});
    field.linearize();
    const std::vector<double> J = field.jacobian();
    const auto coefficients = host_copy<double>(field.context, field.net.coefficients());
    const std::vector<double> residuals = field.residuals();
    const auto f = host_copy<double>(field.context, field.problem.laplacian());
    const auto g = host_copy<double>(field.context, field.problem.values());
    const NaiveNet naive = field.naive();
    const auto size = static_cast<std::int64_t>(naive.theta.size());
    for (std::int64_t n = 0; n < 5; ++n) {
      const std::vector<double> x = field.point(n);
      const auto at = static_cast<std::size_t>(n);
      const auto output = [&](const NaiveNet& net, std::int64_t weight) {
        return n < 3 ? net.laplacian(x, weight) : net.value(x, weight);
      };
      const Real wanted = n < 3 ? f[at] : g[at - 3];
      const auto r = static_cast<double>(output(naive, -1).value - wanted);
      EXPECT_TRUE(within(residuals[at], r, 1e-12)) << n;
      EXPECT_TRUE(within(coefficients[at], -r, 1e-12)) << n;
      for (std::int64_t k = 0; k < size; ++k) {
        const double found = J[static_cast<std::size_t>(n * size + k)];
        const auto exact = static_cast<double>(output(naive, k).slope);
        EXPECT_TRUE(within(found, exact, 1e-11 * (1 + std::abs(exact)))) << n << ", " << k;
        NaiveNet more = naive;
        NaiveNet less = naive;
        constexpr Real h = 1e-5L;
        more.theta[static_cast<std::size_t>(k)] += h;
        less.theta[static_cast<std::size_t>(k)] -= h;
        const auto difference =
            static_cast<double>((output(more, -1).value - output(less, -1).value) / (2 * h));
        EXPECT_TRUE(within(found, difference, 1e-8 * (1 + std::abs(exact)))) << n << ", " << k;
      }
    }
  }
}

TEST(laplacian_net, what_is_tried_leaves_the_rows_as_they_were) {
  Field field(test_context(), {2, {4, 3}}, {.interior = 6, .boundary = 3});
  field.linearize();
  const std::vector<double> before = field.jacobian();
  Backend& backend = field.context.state().backend();
  for (int i = 0; i < field.net.parameters().segments(); ++i) {
    backend.fill(0.3, field.net.parameters().tensor({i}));
  }
  const std::vector<double> moved = field.residuals();
  EXPECT_NE(moved, host_copy<double>(field.context, field.net.coefficients()));
  EXPECT_EQ(field.jacobian(), before);
}

TEST(laplacian_net, a_loss_is_half_the_weighted_squares) {
  Field field(test_context(), {2, {4}}, {.interior = 5, .boundary = 3, .boundary_weight = 4});
  field.linearize();
  const auto r = host_copy<double>(field.context, field.net.coefficients());
  double inside = 0;
  double faces = 0;
  for (std::size_t n = 0; n < 8; ++n) (n < 5 ? inside : faces) += r[n] * r[n];
  const Array loss = field.context.array({1, 1}, ElementType::float64);
  field.net.loss_of(field.net.coefficients(), loss, field.problem.weights());
  const double weighted = inside / 10 + 4 * faces / 6;
  EXPECT_TRUE(within(host_copy<double>(field.context, loss)[0], weighted, 1e-14 * weighted));
  field.net.loss_of(field.net.coefficients(), loss);
  const double mean = (inside + faces) / 16;
  EXPECT_TRUE(within(host_copy<double>(field.context, loss)[0], mean, 1e-14 * mean));
}

TEST(laplacian_net, values_are_those_of_the_net) {
  Field field(test_context(), {3, {4, 3}}, {.interior = 5, .boundary = 0});
  const Array u = field.context.array({5, 1}, ElementType::float64);
  field.net.values_to(field.problem.interior(), u);
  const NaiveNet naive = field.naive();
  for (std::int64_t n = 0; n < 5; ++n) {
    const auto exact = static_cast<double>(naive.value(field.point(n), -1).value);
    EXPECT_TRUE(
        within(host_copy<double>(field.context, u)[static_cast<std::size_t>(n)], exact, 1e-14));
  }
  field.linearize();
  EXPECT_EQ(field.residuals().size(), 5U) << "no boundary";
}

TEST(laplacian_net, points_are_of_the_cube_and_its_faces_and_come_back) {
  const Context context = test_context();
  PoissonProblem problem(context, {.dimension = 3, .interior = 50, .boundary = 60, .key = 2});
  const auto first = host_copy<double>(context, problem.interior());
  const auto faces = host_copy<double>(context, problem.boundary());
  int seen[6] = {};
  for (std::size_t n = 0; n < 60; ++n) {
    int on = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      const double x = faces[3 * n + j];
      EXPECT_TRUE(x >= 0 && x <= 1);
      if (x == 0 || x == 1) ++on, ++seen[2 * j + (x == 1 ? 1 : 0)];
    }
    EXPECT_EQ(on, 1);
  }
  for (const int count : seen) EXPECT_GT(count, 2);
  problem.resample();
  EXPECT_EQ(problem.drawings(), 1);
  const auto second = host_copy<double>(context, problem.interior());
  EXPECT_NE(second, first);
  const auto laplacian = host_copy<double>(context, problem.laplacian());
  problem.set_drawings(0);
  EXPECT_EQ(host_copy<double>(context, problem.interior()), first);
  EXPECT_EQ(host_copy<double>(context, problem.boundary()), faces);
  problem.set_drawings(1);
  EXPECT_EQ(host_copy<double>(context, problem.laplacian()), laplacian);
}

TEST(laplacian_net, ten_steps_are_those_of_the_cpu) {
  const auto errors_of = [](const Context& context) {
    Field field(context, {2, {12}}, {.interior = 40, .boundary = 16, .key = 1});
    NaturalGradient optimizer(
        field.net.parameters(),
        {.damping = {.absolute = 1e-3, .rule = StepLengthDamping{.smallest = 1e-6}},
         .step = GeodesicAcceleration{.trials = 6},
         .momentum = NoMomentum{}});
    std::vector<double> losses;
    for (int k = 0; k < 10; ++k) {
      field.linearize();
      field.net.add_to(field.rows, field.problem.weights());
      optimizer.step(
          {.fisher = field.rows, .residuals = [&](const View& r) { field.net.residuals_to(r); }});
      const StepReport report = optimizer.report();
      EXPECT_EQ(report.outcome, Outcome::accepted);
      losses.push_back(report.loss_after.value());
    }
    return losses;
  };
  const std::vector<double> host = errors_of(Context::cpu());
  const std::vector<double> device = errors_of(test_context());
  for (std::size_t k = 0; k < 10; ++k) {
    EXPECT_TRUE(within(device[k], host[k], 1e-6 * host[k])) << k;
  }
  EXPECT_LT(host.back(), 0.5 * host.front());
}

TEST(laplacian_net, its_bytes_are_those_of_its_arrays) {
  std::int64_t held = 0;
  const Allocator counting{.allocate =
                               [&](std::size_t bytes, void*) {
                                 held += static_cast<std::int64_t>(bytes);
                                 return allocate_shared(bytes);
                               },
                           .deallocate =
                               [&](void* memory, std::size_t bytes, void*) {
                                 held -= static_cast<std::int64_t>(bytes);
                                 free_shared(memory, bytes);
                               }};
  const Context context = test_context({.allocator = counting});
  const std::int64_t empty = held;
  const PoissonProblem problem(context, {.dimension = 3, .interior = 7, .boundary = 5});
  EXPECT_EQ(held - empty, PoissonProblem::bytes(problem.options()));
  const std::int64_t with_problem = held;
  LaplacianNet net(context, {.dimension = 3, .hidden = {4, 2}});
  EXPECT_EQ(held - with_problem, LaplacianNet::bytes(net.options(), 0, 0));
  net.linearize({.interior = problem.interior(),
                 .laplacian = problem.laplacian(),
                 .boundary = problem.boundary(),
                 .values = problem.values()});
  const Array u = context.array({7, 1}, ElementType::float64);
  net.values_to(problem.interior(), u);
  EXPECT_EQ(held - with_problem - 7 * 8, LaplacianNet::bytes(net.options(), 7, 5, 7));
}

TEST(laplacian_net, refuses_what_does_not_fit) {
  const Context context = test_context();
  const auto refused = [](const char* text, const auto& call) {
    try {
      call();
      ADD_FAILURE() << "nothing was thrown instead of: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  const auto net_of = [&](const LaplacianNet::Options& options) { LaplacianNet(context, options); };
  refused(".dimension = 0", [&] { net_of({.dimension = 0}); });
  refused(".hidden is empty", [&] { net_of({.hidden = {}}); });
  refused(".hidden has 0", [&] { net_of({.hidden = {3, 0}}); });
  refused(".type = int32", [&] { net_of({.type = ElementType::int32}); });
  refused("-1 points", [&] { LaplacianNet::bytes({}, -1, 0); });
  const auto problem_of = [&](const PoissonProblem::Options& o) { PoissonProblem(context, o); };
  refused(".dimension = 0", [&] { problem_of({.dimension = 0}); });
  refused(".interior = 0", [&] { problem_of({.interior = 0}); });
  refused(".boundary = -1", [&] { problem_of({.boundary = -1}); });
  refused(".boundary_weight = 0", [&] { problem_of({.boundary_weight = 0}); });
  refused(".solution = 9", [&] { problem_of({.solution = static_cast<PoissonSolution>(9)}); });

  Field field(context, {2, {3}}, {.interior = 4, .boundary = 2});
  const Array r = context.array({6, 1}, ElementType::float64);
  refused("before linearize", [&] { field.net.residuals_to(r); });
  refused("before linearize", [&] { field.net.add_to(field.rows); });
  refused("interior",
          [&] { field.net.linearize({.interior = {}, .laplacian = field.problem.laplacian()}); });
  refused("laplacian", [&] {
    field.net.linearize(
        {.interior = field.problem.interior(), .laplacian = field.problem.values()});
  });
  field.linearize();
  refused("residuals", [&] { field.net.residuals_to(r.view().row_range(0, 5)); });
  LayerScores empirical(field.net.parameters());
  refused("FisherKind::residual", [&] { field.net.add_to(empirical); });
  Field other(context, {2, {3}}, {.interior = 4, .boundary = 2});
  refused("other parameters", [&] { field.net.add_to(other.rows); });
}

}  // namespace

}  // namespace natgrad::tests
