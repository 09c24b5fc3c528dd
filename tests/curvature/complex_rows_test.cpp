#include "support/device.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

// Rows of a complex log psi as real and imaginary parts, against complex arithmetic: a state of two
// spins whose Hamiltonian has imaginary matrix elements.

namespace natgrad::tests {

namespace {

using Complex = std::complex<double>;
using Numbers = std::vector<double>;

constexpr std::size_t P = 5;
constexpr std::size_t states = 4;  // of two spins

/// log psi(s) = (t0 + i t1) s1 + (t2 + i t3) s2 + (t4 + i t4^2) s1 s2.
struct TwoSpins {
  Numbers theta = {0.3, -0.2, 0.1, 0.4, -0.25};

  static double spin(std::size_t state, int i) { return ((state >> i) & 1) != 0 ? 1 : -1; }
  Complex log_psi(std::size_t state) const {
    const double s1 = spin(state, 0);
    const double s2 = spin(state, 1);
    return Complex(theta[0], theta[1]) * s1 + Complex(theta[2], theta[3]) * s2 +
           Complex(theta[4], theta[4] * theta[4]) * s1 * s2;
  }
  /// d log psi / d theta.
  std::vector<Complex> row(std::size_t state) const {
    const Complex i(0, 1);
    const double s1 = spin(state, 0);
    const double s2 = spin(state, 1);
    return {s1, i * s1, s2, i * s2, Complex(1, 2 * theta[4]) * s1 * s2};
  }
  /// H = Z1 Z2 + 0.7 X1 + 0.4 Y2 + 0.3 X1 Y2, row `a`, column `b`.
  static Complex element(std::size_t a, std::size_t b) {
    const bool same1 = ((a ^ b) & 1) == 0;
    const bool same2 = ((a ^ b) & 2) == 0;
    const Complex y = Complex(0, spin(a, 1));
    if (same1 && same2) return spin(a, 0) * spin(a, 1);
    if (same2) return 0.7;
    return same1 ? 0.4 * y : 0.3 * y;
  }
  Complex local_energy(std::size_t state) const {
    Complex sum = 0;
    for (std::size_t b = 0; b < states; ++b) {
      sum += element(state, b) * std::exp(log_psi(b) - log_psi(state));
    }
    return sum;
  }
  Numbers probabilities() const {
    Numbers p;
    double sum = 0;
    for (std::size_t s = 0; s < states; ++s) {
      p.push_back(std::exp(2 * log_psi(s).real()));
      sum += p.back();
    }
    for (double& x : p) x /= sum;
    return p;
  }
  double energy() const {
    const Numbers p = probabilities();
    Complex sum = 0;
    for (std::size_t s = 0; s < states; ++s) sum += p[s] * local_energy(s);
    return sum.real();
  }
};

/// x of A x = b by Gauss, with pivots.
Numbers solve(std::vector<Numbers> A, Numbers b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t best = k;
    for (std::size_t i = k; i < n; ++i) {
      if (std::abs(A[i][k]) > std::abs(A[best][k])) best = i;
    }
    std::swap(A[k], A[best]);
    std::swap(b[k], b[best]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = A[i][k] / A[k][k];
      for (std::size_t j = k; j < n; ++j) A[i][j] -= factor * A[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= A[k][j] * b[j];
    b[k] /= A[k][k];
  }
  return b;
}

/// F and g of complex rows, means taken out in complex arithmetic.
struct ComplexGeometry {
  std::vector<Numbers> F{P, Numbers(P, 0.0)};
  Numbers g = Numbers(P, 0.0);

  ComplexGeometry(const TwoSpins& of, const Numbers& w, bool centred) {
    double total = 0;
    std::vector<Complex> mean(P, 0);
    Complex mean_energy = 0;
    for (std::size_t s = 0; s < states; ++s) {
      total += w[s];
      for (std::size_t k = 0; k < P; ++k) mean[k] += w[s] * of.row(s)[k];
      mean_energy += w[s] * of.local_energy(s);
    }
    for (std::size_t s = 0; s < states; ++s) {
      std::vector<Complex> o = of.row(s);
      Complex c = of.local_energy(s);
      if (centred) {
        for (std::size_t k = 0; k < P; ++k) o[k] -= mean[k] / total;
        c -= mean_energy / total;
      }
      for (std::size_t i = 0; i < P; ++i) {
        for (std::size_t j = 0; j < P; ++j) F[i][j] += w[s] * (std::conj(o[i]) * o[j]).real();
        g[i] += w[s] * (std::conj(o[i]) * c).real();
      }
    }
  }
  Numbers direction(double damping) const {
    std::vector<Numbers> A = F;
    for (std::size_t i = 0; i < P; ++i) A[i][i] += damping;
    return solve(A, g);
  }
};

/// The rows as the library takes them.
struct Batch2 {
  Context context = test_context();
  SharedVector<double> theta = SharedVector<double>(P);
  SharedVector<double> rows, coefficients, weights;
  Parameters parameters{context};
  Segment segment;

  explicit Batch2(const TwoSpins& of, const Numbers& w) : weights(w.begin(), w.end()) {
    std::copy(of.theta.begin(), of.theta.end(), theta.begin());
    segment = parameters.add(shared_view(theta, {static_cast<std::int64_t>(P), 1}));
    for (const bool real_part : {true, false}) {
      for (std::size_t s = 0; s < states; ++s) {
        for (const Complex& o : of.row(s)) rows.push_back(real_part ? o.real() : o.imag());
        const Complex c = of.local_energy(s);
        coefficients.push_back(real_part ? c.real() : c.imag());
      }
    }
  }
  ConstView all_rows() { return shared_view(rows, {2 * states, static_cast<std::int64_t>(P)}); }
  RowSet set(Centering centering, bool weighted = true) {
    return {.samples = states,
            .weights = weighted ? ConstView(shared_view(weights, {states, 1})) : ConstView(),
            .coefficients = shared_view(coefficients, {2 * states, 1}),
            .centering = centering,
            .parts = 2};
  }
  Numbers direction_of(const Scores& scores, double damping, Form form) {
    NaturalGradient optimizer(
        parameters, {.damping = {.absolute = damping}, .momentum = NoMomentum{}, .form = form});
    const Array d = context.array({static_cast<std::int64_t>(P), 1}, ElementType::float64);
    optimizer.direction(scores, d);
    EXPECT_EQ(optimizer.direction_report().outcome, Outcome::accepted);
    return host_copy<double>(context, d);
  }
};

TEST(complex_rows, directions_are_those_of_complex_arithmetic) {
  const TwoSpins state;
  const Numbers p = state.probabilities();
  for (const Centering centering : {Centering::rows, Centering::none}) {
    for (const bool weighted : {true, false}) {
      const Numbers w = weighted ? p : Numbers(states, 1.0 / states);
      const ComplexGeometry geometry(state, w, centering == Centering::rows);
      for (const Form form : {Form::primal, Form::dual}) {
        Batch2 batch(state, w);
        DenseScores scores(batch.parameters, {.kind = FisherKind::exact});
        scores.begin(batch.all_rows(), batch.set(centering, weighted));
        EXPECT_EQ(scores.samples(), static_cast<std::int64_t>(states));
        EXPECT_EQ(scores.batch_samples(), static_cast<std::int64_t>(states));
        EXPECT_TRUE(relative_error_within(batch.direction_of(scores, 0.01, form),
                                          geometry.direction(0.01), 1e-12));
        const Array g =
            batch.context.array({static_cast<std::int64_t>(P), 1}, ElementType::float64);
        scores.gradient(g);
        EXPECT_TRUE(relative_error_within(host_copy<double>(batch.context, g), geometry.g, 1e-12));
      }
    }
  }
}

TEST(complex_rows, the_gradient_is_half_that_of_the_energy) {
  const TwoSpins state;
  const ComplexGeometry geometry(state, state.probabilities(), true);
  for (std::size_t k = 0; k < P; ++k) {
    constexpr double h = 1e-5;
    TwoSpins above = state;
    TwoSpins below = state;
    above.theta[k] += h;
    below.theta[k] -= h;
    EXPECT_NEAR(2 * geometry.g[k], (above.energy() - below.energy()) / (2 * h), 1e-9);
  }
}

TEST(complex_rows, layers_take_parts_as_they_are) {
  const TwoSpins state;
  const Numbers w = state.probabilities();
  Batch2 batch(state, w);
  LayerScores scores(batch.parameters, {.kind = FisherKind::exact});
  scores.begin(batch.set(Centering::none));
  scores.add({.bias = batch.segment, .output_score = batch.all_rows()});
  EXPECT_TRUE(relative_error_within(batch.direction_of(scores, 0.01, Form::automatic),
                                    ComplexGeometry(state, w, false).direction(0.01), 1e-12));
}

TEST(complex_rows, a_matrix_of_them_is_that_of_the_optimizer) {
  const TwoSpins state;
  const Numbers w = state.probabilities();
  Batch2 batch(state, w);
  DenseScores scores(batch.parameters, {.kind = FisherKind::exact});
  scores.begin(batch.all_rows(), batch.set(Centering::rows));
  FisherMatrix fisher(batch.parameters, {});
  fisher.accumulate(scores);
  const Array dense = batch.context.array(
      {static_cast<std::int64_t>(P), static_cast<std::int64_t>(P)}, ElementType::float64);
  fisher.to_dense(dense);
  const ComplexGeometry geometry(state, w, true);
  const Numbers F = host_copy<double>(batch.context, dense);
  for (std::size_t i = 0; i < P; ++i) {
    for (std::size_t j = 0; j < P; ++j) EXPECT_NEAR(F[P * i + j], geometry.F[i][j], 1e-13);
  }
}

TEST(complex_rows, a_mean_that_is_large_takes_no_digits) {
  const TwoSpins state;
  const Numbers w = state.probabilities();
  Batch2 batch(state, w);
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    batch.rows[i] += i < states * P ? 1000 : -3000;  // each part its own
  }
  for (std::size_t i = 0; i < 2 * states; ++i) batch.coefficients[i] += i < states ? 500 : 900;
  DenseScores scores(batch.parameters, {.kind = FisherKind::exact});
  scores.begin(batch.all_rows(), batch.set(Centering::rows));
  for (const Form form : {Form::primal, Form::dual}) {
    EXPECT_TRUE(relative_error_within(batch.direction_of(scores, 0.01, form),
                                      ComplexGeometry(state, w, true).direction(0.01), 1e-10));
  }
}

TEST(complex_rows, check_scores_compares_both_parts) {
  TwoSpins state;
  const Numbers w = state.probabilities();
  for (const bool wrong : {false, true}) {
    Batch2 batch(state, w);
    if (wrong) batch.rows[(states + 2) * P + 3] += 0.5;  // an imaginary part
    DenseScores scores(batch.parameters, {.kind = FisherKind::exact});
    scores.begin(batch.all_rows(), batch.set(Centering::rows));
    const auto log_psi = [&](const View& result) {
      TwoSpins moved;
      batch.context.read(shared_view(batch.theta, {static_cast<std::int64_t>(P), 1}),
                         moved.theta.data());
      Numbers numbers;
      for (std::size_t s = 0; s < states; ++s) numbers.push_back(moved.log_psi(s).real());
      for (std::size_t s = 0; s < states; ++s) numbers.push_back(moved.log_psi(s).imag());
      batch.context.write(numbers.data(), result);
    };
    const LikelihoodCheck check = check_scores(scores, log_psi);
    EXPECT_EQ(check.rows_off, wrong ? 1 : 0) << check.text;
    if (wrong) {
      EXPECT_EQ(check.worst_row, static_cast<std::int64_t>(states) + 2) << check.text;
    }
  }
}

TEST(complex_rows, the_plan_counts_both_parts) {
  const TwoSpins state;
  Batch2 batch(state, state.probabilities());
  DenseScores scores(batch.parameters, {.kind = FisherKind::exact});
  scores.begin(batch.all_rows(), batch.set(Centering::rows));
  const NaturalGradient optimizer(batch.parameters, {.damping = {.absolute = 0.1}});
  const MemoryPlan of_batch = optimizer.plan(Batch{.fisher = scores});
  const MemoryPlan of_shape =
      optimizer.plan({.samples = states, .centering = Centering::rows, .parts = 2});
  EXPECT_EQ(of_batch.bytes, of_shape.bytes);
  EXPECT_EQ(of_batch.shape.samples, static_cast<std::int64_t>(states));
  EXPECT_EQ(of_batch.shape.parts, 2);
  EXPECT_EQ(of_batch.items.back().bytes, static_cast<std::int64_t>(2 * states * P * 8));
  EXPECT_THROW(optimizer.plan(ScoresShape{.samples = 4, .parts = 3}), OptionError);
}

TEST(complex_rows, refuses_what_has_no_mean_of_a_part) {
  const TwoSpins state;
  Batch2 batch(state, state.probabilities());
  DenseScores dense(batch.parameters, {.kind = FisherKind::exact});
  RowSet set = batch.set(Centering::rows);
  set.parts = 3;
  EXPECT_THROW(dense.begin(batch.all_rows(), set), OptionError);
  set = batch.set(Centering::rows);
  set.batch_samples = 9;
  EXPECT_THROW(dense.begin(batch.all_rows(), set), OptionError);
  set = batch.set(Centering::none);
  set.samples = 2 * states;  // rows in place of samples
  EXPECT_THROW(dense.begin(batch.all_rows(), set), Error);
  set = batch.set(Centering::rows);
  set.coefficients = shared_view(batch.coefficients, {states, 1});
  EXPECT_THROW(dense.begin(batch.all_rows(), set), ShapeError);
  LayerScores layers(batch.parameters, {.kind = FisherKind::exact});
  EXPECT_THROW(layers.begin(batch.set(Centering::rows)), OptionError);
  DenseScores likelihood(batch.parameters);
  set = batch.set(Centering::rows);
  set.coefficients = {};
  likelihood.begin(batch.all_rows(), set);
  const Array g = batch.context.array({static_cast<std::int64_t>(P), 1}, ElementType::float64);
  EXPECT_THROW(likelihood.gradient(g), ArgumentError);
}

}  // namespace

}  // namespace natgrad::tests
