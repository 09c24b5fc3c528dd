#include "backend/array_sizes.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

// Residuals, updates and elementwise steps of parameters.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float64 = ElementType::float64;

struct ManyTensors {
  struct Tensor {
    Operand theta;
    Operand d;
    double decay;
  };
  std::vector<Tensor> all;

  std::vector<UpdatedTensor> operator()(const Side& of) const {
    std::vector<UpdatedTensor> tensors;
    for (const Tensor& tensor : all) {
      tensors.push_back({of(tensor.theta), of(tensor.d), tensor.decay});
    }
    return tensors;
  }
};

void add_residual_cases(OperationTable& table) {
  table.add_types("residual", "", [](TestDevice& device, ElementType type) {
    for (const std::int64_t n : {0, 1, 13, 4096, 20001}) {
      SCOPED_TRACE(n);
      Trial trial(device);
      const Operand b = trial.vector(n, type, Use::input);
      const Operand product = trial.vector(n, type, Use::input);
      const Operand x = trial.vector(n, type, Use::input);
      const Operand shift = trial.scalar(0.3);
      const Operand result = trial.vector(n, type, Use::output);
      const Operand square = trial.scalar_output();
      trial.run([&](Backend& backend, const Side& of) {
        backend.residual(of(b), of(product), of(shift), of(x), of(result), of(square));
      });
      // Elements are within [-1, 1], so that what is summed is at most 3.
      const double error = rounding_bound(4, type, 3);
      trial.expect_within(result, error);
      trial.expect_within(square, static_cast<double>(n) * 2 * 3 * 2 * error);
    }
  });
}

void add_step_cases(OperationTable& table) {
  const auto expect_verdict = [](TestDevice& device, ElementType type, const Size& size,
                                 double before, double rate, double theta_end, double d_end,
                                 double verdict) {
    Trial trial(device, size.padding);
    const Operand theta = array(trial, size, type, Use::input);
    const Operand d = array(trial, size, type, Use::input);
    for (auto [operand, end] : {std::pair{theta, theta_end}, std::pair{d, d_end}}) {
      std::vector<double> elements = trial.given(operand);
      if (!elements.empty()) elements.back() = end;
      trial.set(operand, elements);
    }
    const Operand rate_element = trial.scalar(rate);
    const Operand finite = trial.vector(float64, Use::both, {before});
    trial.run([&](Backend& backend, const Side& of) {
      const UpdatedTensor tensor{of(theta), of(d)};
      backend.check_update({&tensor, 1}, of(rate_element), 0.25, of(finite));
    });
    trial.expect_equal(finite);
    EXPECT_EQ(trial.actual(finite).front(), verdict)
        << theta_end << ", " << d_end << ", rate " << rate;
  };
  table.add_types("check_update", "finite", [=](TestDevice& device, ElementType type) {
    for (const Size& size : array_sizes) {
      expect_verdict(device, type, size, 1, 0.5, -1, 2, 1);
      expect_verdict(device, type, size, 0, 0.5, -1, 2, 0);  // only ever lowered
    }
  });
  table.add_types("check_update", "not_finite", [=](TestDevice& device, ElementType type) {
    const double huge = type == float64 ? 1.7e308 : 3.3e38;
    for (const Size& size : {Size{1, 1, 0}, Size{13, 15, 3}, Size{20001, 1, 0}}) {
      for (double bad : {nan, infinity, -infinity}) {
        expect_verdict(device, type, size, 1, 0.5, bad, 2, 0);
        expect_verdict(device, type, size, 1, 0.5, -1, bad, 0);
        expect_verdict(device, type, size, 1, bad, -1, 2, 0);
      }
      // Finite operands whose sum the element cannot hold.
      expect_verdict(device, type, size, 1, 0.5, huge, huge, 0);
      expect_verdict(device, type, size, 1, 1.5, 0, huge, 0);
    }
  });

  table.add_types("update", "", [](TestDevice& device, ElementType type) {
    for (double accept : {1.0, 0.0, nan}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand flag = trial.scalar(accept);
        const Operand rate = trial.scalar(0.3);
        const Operand d = array(trial, size, type, Use::input);
        const Operand theta = array(trial, size, type, Use::both);
        if (!(accept > 0)) trial.set(d, filled(trial, d, nan));
        trial.run([&](Backend& backend, const Side& of) {
          const UpdatedTensor tensor{of(theta), of(d)};
          backend.update(of(flag), {&tensor, 1}, of(rate), 0.01);
        });
        if (accept > 0)
          trial.expect_rounded(theta, 3);
        else
          trial.expect_equal(theta);
      });
    }
  });
  table.add_types("update", "constants", [](TestDevice& device, ElementType type) {
    for_sizes(device, [=](Trial& trial, const Size& size) {
      const Operand shrink = trial.scalar(0.125);
      const Operand d = array(trial, size, type, Use::input);
      const Operand theta = array(trial, size, type, Use::both);
      trial.run([&](Backend& backend, const Side& of) {
        const UpdatedTensor tensor{of(theta), of(d)};
        backend.update(1.0, {&tensor, 1}, of(-2.0), of(shrink));
      });
      trial.expect_rounded(theta, 3);
    });
  });

  // A sum of the largest number and less than half of what its neighbour would be away: infinite
  // where the product is rounded first, and not where it is not, in the check and in the update.
  table.add_types("update", "as_it_was_checked", [](TestDevice& device, ElementType type) {
    const double largest =
        type == float64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
    const double half = std::ldexp(1, type == float64 ? 970 : 103);
    Trial trial(device);
    const Operand d = trial.vector(37, type, Use::input);
    const Operand theta = trial.vector(37, type, Use::both);
    const Operand finite = trial.vector(float64, Use::both, {1});
    trial.set(d, filled(trial, d, half * (1 - epsilon(type))));
    trial.set(theta, filled(trial, theta, largest));
    trial.run([&](Backend& backend, const Side& of) {
      const UpdatedTensor tensor{of(theta), of(d)};
      const double rate = 1 + epsilon(type);
      backend.check_update({&tensor, 1}, rate, 0.0, of(finite));
      backend.update(1.0, {&tensor, 1}, rate, 0.0);
    });
    EXPECT_EQ(trial.actual(finite).front(), 1);
    EXPECT_EQ(trial.actual(theta), filled(trial, theta, largest));
  });

  // More than a backend may take at once, of all sizes.
  const auto many = [](Trial& trial, ElementType type) {
    std::vector<ManyTensors::Tensor> tensors;
    for (std::int64_t i = 0; i < 70; ++i) {
      const Size size{1 + i % 7, i % 5 == 0 ? 0 : 3 * i, 0};
      tensors.push_back({array(trial, size, type, Use::both), array(trial, size, type, Use::input),
                         0.25 * static_cast<double>(i % 3)});
    }
    return ManyTensors{std::move(tensors)};
  };
  table.add_types("update", "many_tensors", [=](TestDevice& device, ElementType type) {
    Trial trial(device, 3);
    const ManyTensors tensors = many(trial, type);
    const Operand rate = trial.scalar(0.3);
    trial.run(
        [&](Backend& backend, const Side& of) { backend.update(1.0, tensors(of), of(rate), 0.5); });
    for (const auto& tensor : tensors.all) trial.expect_rounded(tensor.theta, 3);
  });
  table.add_types("check_update", "many_tensors", [=](TestDevice& device, ElementType type) {
    for (const std::size_t bad : {1U, 31U, 32U, 69U, 70U}) {
      Trial trial(device, 3);
      const ManyTensors tensors = many(trial, type);
      const Operand finite = trial.vector(float64, Use::both, {1});
      if (bad < tensors.all.size()) {
        std::vector<double> elements = trial.given(tensors.all[bad].theta);
        elements.back() = nan;
        trial.set(tensors.all[bad].theta, elements);
      }
      trial.run([&](Backend& backend, const Side& of) {
        backend.check_update(tensors(of), 0.3, 0.5, of(finite));
      });
      trial.expect_equal(finite);
      EXPECT_EQ(trial.actual(finite).front(), bad < tensors.all.size() ? 0 : 1) << bad;
    }
  });

  table.add_types("adam", "", [](TestDevice& device, ElementType type) {
    for (std::int64_t step : {1, 2, 1000}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand g = array(trial, size, type, Use::input);
        const Operand mean = array(trial, size, type, Use::both);
        const Operand square = array(trial, size, type, Use::both);
        const Operand theta = array(trial, size, type, Use::both);
        std::vector<double> squares = trial.given(square);
        for (double& element : squares) element = step == 1 ? 0 : std::abs(element);
        trial.set(square, squares);
        if (step == 1) trial.set(mean, filled(trial, mean, 0));
        trial.run([&](Backend& backend, const Side& of) {
          backend.adam(of(g), 1e-3, 0.9, 0.999, 1e-8, step, of(mean), of(square), of(theta));
        });
        trial.expect_rounded(mean, 4);
        trial.expect_rounded(square, 4);
        // 1 - beta2^step, in double, loses what the power was rounded by.
        const double correction = 1 / (1 - std::pow(0.999, static_cast<double>(step)));
        trial.expect_rounded(theta, 4 + correction * epsilon(float64) / epsilon(type));
      });
    }
  });
}

}  // namespace

void add_update_cases(OperationTable& table) {
  add_residual_cases(table);
  add_step_cases(table);
}

}  // namespace natgrad::tests
