#include "backend/array_sizes.hpp"
#include "support/operation_table.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// Memory, vectors and elementwise work.

namespace natgrad::tests {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ElementType float32 = ElementType::float32;
constexpr ElementType float64 = ElementType::float64;
constexpr ElementType int32 = ElementType::int32;

void add_memory_cases(OperationTable& table) {
  const auto transfers = [](auto transfer) {
    return [=](TestDevice& device) {
      for (ElementType type : {int32, float32, float64}) {
        for (std::int64_t size : {0, 1, 13 * 15}) {
          SCOPED_TRACE(std::to_string(size) + " " + to_string(type));
          Trial trial(device);
          transfer(trial, size, type);
        }
      }
    };
  };
  table.add(
      "upload", "", transfers([](Trial& trial, std::int64_t size, ElementType type) {
        // Never null, as `Context` demands, also where there is nothing to copy.
        const std::vector<std::int64_t> host(static_cast<std::size_t>(size) + 1,
                                             0x4142434445464748);
        const Operand to = trial.vector(size, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) { backend.upload(host.data(), of(to)); });
        trial.expect_equal(to);
      }));
  table.add("download", "", transfers([](Trial& trial, std::int64_t size, ElementType type) {
              const Operand from = trial.vector(size, type, Use::input);
              std::vector<std::int64_t> tested(static_cast<std::size_t>(size) + 1, 7);
              std::vector<std::int64_t> reference = tested;
              trial.run([&](Backend& backend, const Side& of) {
                if (of.place() != Side::magnitude) {
                  backend.download(of(from),
                                   (of.place() == Side::tested ? tested : reference).data());
                }
              });
              EXPECT_EQ(tested, reference);
              EXPECT_EQ(tested.back(), 7) << "written past the end";
            }));
  table.add("synchronize", "returns", [](TestDevice& device) {
    device.backend->synchronize();
    device.backend->synchronize();
  });

  using Types = std::pair<ElementType, ElementType>;
  for (auto [from_type, to_type] :
       {Types{int32, int32}, Types{float32, float32}, Types{float32, float64},
        Types{float64, float32}, Types{float64, float64}}) {
    table.add(
        "copy", to_string(from_type) + std::string("_to_") + to_string(to_type),
        [=](TestDevice& device) {
          for_sizes(device, [=](Trial& trial, const Size& size) {
            const Operand from = array(trial, size, from_type, Use::input);
            const Operand to = array(trial, size, to_type, Use::output);
            trial.run([&](Backend& backend, const Side& of) { backend.copy(of(from), of(to)); });
            trial.expect_equal(to);
          });
        });
  }
  table.add_types("copy", "not_finite", [](TestDevice& device, ElementType type) {
    Trial trial(device);
    const Operand from = trial.vector(float64, Use::input, {nan, infinity, -infinity, 1e300, -0.0});
    const Operand to = trial.vector(5, type, Use::output);
    trial.run([&](Backend& backend, const Side& of) { backend.copy(of(from), of(to)); });
    trial.expect_equal(to);
  });

  table.add_types("fill", "", [](TestDevice& device, ElementType type) {
    for (double value : {0.0, -1.25, nan, infinity}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand to = array(trial, size, type, Use::output);
        trial.run([&](Backend& backend, const Side& of) { backend.fill(value, of(to)); });
        trial.expect_equal(to);
      });
    }
  });

  for (ElementType type : {int32, float32, float64}) {
    table.add("gather_rows", to_string(type), [=](TestDevice& device) {
      for (Size size : {Size{13, 15, 0}, Size{13, 15, 3}, Size{7, 1, 0}, Size{1, 1, 2}}) {
        for (std::int64_t count : {0, 1, 300}) {
          SCOPED_TRACE(to_string(Shape{size.rows, size.columns}) + ", " + std::to_string(count));
          Trial trial(device, size.padding);
          const Operand from = trial.matrix(size.rows, size.columns, type, Use::input);
          std::vector<double> source = trial.given(from);
          for (double& element : source) element = std::round(1000 * element);
          if (type != int32) source.front() = nan;
          trial.set(from, source);
          std::vector<double> chosen;
          for (std::int64_t i = 0; i < count; ++i) {
            chosen.push_back(static_cast<double>((5 * i + size.rows - 1) % size.rows));
          }
          const Operand rows = trial.vector(int32, Use::input, chosen);
          const Operand to = trial.matrix(count, size.columns, type, Use::output);
          trial.run([&](Backend& backend, const Side& of) {
            backend.gather_rows(of(from), of(rows), of(to));
          });
          trial.expect_equal(to);
        }
      }
    });
  }

  table.add_types("commit", "", [](TestDevice& device, ElementType type) {
    for (double flag : {1.0, 0.5, 0.0, -1.0, nan}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand chosen = trial.scalar(flag);
        const Operand from = array(trial, size, type, Use::input);
        const Operand to = array(trial, size, type, Use::both);
        // The operand that is not selected is full of NaN.
        const Operand other = flag > 0 ? to : from;
        trial.set(other, filled(trial, other, nan));
        trial.run([&](Backend& backend, const Side& of) {
          // On absolute values a negative flag would select the other one.
          if (of.place() != Side::magnitude) backend.commit(of(chosen), of(from), of(to));
        });
        trial.expect_equal(to);
      });
    }
  });
}

void add_elementwise_cases(OperationTable& table) {
  table.add_types("axpby", "constants", [](TestDevice& device, ElementType type) {
    for (auto [a, b] :
         {std::pair{1.0, 1.0}, std::pair{-0.3, 0.7}, std::pair{0.0, -2.0}, std::pair{1.5, 0.0}}) {
      for_sizes(device, [=, a = a, b = b](Trial& trial, const Size& size) {
        const Operand x = array(trial, size, type, Use::input);
        const Operand y = array(trial, size, type, Use::both);
        if (b == 0) trial.set(y, filled(trial, y, nan));
        trial.run(
            [&](Backend& backend, const Side& of) { backend.axpby(of(a), of(x), of(b), of(y)); });
        trial.expect_rounded(y, 2);
      });
    }
  });
  table.add_types("axpby", "elements", [](TestDevice& device, ElementType type) {
    for (double factor : {0.7, 0.0}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand a = trial.scalar(-0.3);
        const Operand b = trial.scalar(factor);
        const Operand x = array(trial, size, type, Use::input);
        const Operand y = array(trial, size, type, Use::both);
        if (factor == 0) trial.set(y, filled(trial, y, infinity));
        trial.run(
            [&](Backend& backend, const Side& of) { backend.axpby(of(a), of(x), of(b), of(y)); });
        trial.expect_rounded(y, 2);
      });
    }
  });

  table.add_types("axpby", "of_the_other_type", [](TestDevice& device, ElementType type) {
    const ElementType other =
        type == ElementType::float64 ? ElementType::float32 : ElementType::float64;
    for (double b : {0.7, 0.0}) {
      for_sizes(device, [=](Trial& trial, const Size& size) {
        const Operand x = array(trial, size, other, Use::input);
        const Operand y = array(trial, size, type, Use::both);
        if (b == 0) trial.set(y, filled(trial, y, nan));
        trial.run([&](Backend& backend, const Side& of) {
          backend.axpby(of(-1.3), of(x), of(b), of(y));
        });
        trial.expect_rounded(y, 2);
      });
    }
  });

  const auto multiplies = [](TestDevice& device, ElementType factors, ElementType products) {
    for_sizes(device, [=](Trial& trial, const Size& size) {
      const Operand x = array(trial, size, factors, Use::input);
      const Operand y = array(trial, size, factors, Use::input);
      const Operand z = array(trial, size, products, Use::output);
      trial.run([&](Backend& backend, const Side& of) { backend.multiply(of(x), of(y), of(z)); });
      // Products of floats are exact in double.
      if (factors == products)
        trial.expect_rounded(z, 1);
      else
        trial.expect_equal(z);
    });
  };
  table.add_row_types("multiply", "", multiplies);
  table.add_types("multiply", "in_place", [](TestDevice& device, ElementType type) {
    // z is x, y, or both.
    for (auto [first, second] : {std::pair{true, false}, {false, true}, {true, true}}) {
      for_sizes(device, [=, first = first, second = second](Trial& trial, const Size& size) {
        const Operand other = array(trial, size, type, Use::input);
        const Operand z = array(trial, size, type, Use::both);
        trial.run([&](Backend& backend, const Side& of) {
          backend.multiply(of(first ? z : other), of(second ? z : other), of(z));
        });
        trial.expect_rounded(z, 1);
      });
    }
  });
  table.add_row_types(
      "multiply", "not_finite", [](TestDevice& device, ElementType factors, ElementType products) {
        Trial trial(device);
        const Operand x = trial.vector(factors, Use::input, {nan, 1, infinity, infinity, 0, 0});
        const Operand y = trial.vector(factors, Use::input, {1, nan, 0, -2, nan, 5});
        const Operand z = trial.vector(6, products, Use::output);
        trial.run([&](Backend& backend, const Side& of) { backend.multiply(of(x), of(y), of(z)); });
        trial.expect_equal(z);
        EXPECT_EQ(trial.actual(z)[3], -infinity);
        EXPECT_EQ(trial.actual(z)[5], 0);
      });

  for (bool in_place : {false, true}) {
    table.add_types(
        "divide", in_place ? "in_place" : "", [=](TestDevice& device, ElementType type) {
          for (const std::int64_t n : {0, 1, 13, 2048, 2049, 20001}) {
            for (const std::int64_t padding : {0, 1}) {
              SCOPED_TRACE(std::to_string(n) + ", padding " + std::to_string(padding));
              Trial trial(device, padding);
              const Operand f = trial.vector(n, type, Use::input);
              std::vector<double> elements = trial.given(f);
              for (double& element : elements) element = std::abs(element);
              trial.set(f, elements);
              const Operand shift = trial.scalar(0.3);
              const Operand b = trial.vector(n, type, in_place ? Use::both : Use::input);
              const Operand x = in_place ? b : trial.vector(n, type, Use::output);
              const Operand info = trial.scalar_output();
              trial.run([&](Backend& backend, const Side& of) {
                backend.divide(of(f), of(shift), of(b), of(x), of(info));
              });
              trial.expect_rounded(x, 2);
              trial.expect_equal(info);
              EXPECT_EQ(trial.actual(info).front(), 0);
            }
          }
        });
  }
  table.add_types("divide", "not_positive", [](TestDevice& device, ElementType type) {
    Trial trial(device);
    const Operand f =
        trial.vector(type, Use::input, {0, 0.5, -0.25, -1, nan, infinity, -infinity, 0.75});
    const Operand b = trial.vector(type, Use::input, {1, 3, nan, infinity, 2, 7, 5, nan});
    const Operand x = trial.vector(8, type, Use::output);
    const Operand info = trial.scalar_output();
    for (const double shift : {0.25, 0.0, nan}) {
      SCOPED_TRACE(shift);
      trial.run([&](Backend& backend, const Side& of) {
        backend.divide(of(f), shift, of(b), of(x), of(info));
      });
      trial.expect_equal(info);
      trial.expect_equal(x);  // the quotients are whole
      EXPECT_EQ(trial.actual(info).front(), shift > 0 ? 4 : shift == 0 ? 5 : 8);
      EXPECT_EQ(trial.actual(x)[0], shift > 0 ? 4 : 0);
      for (const int i : {2, 3, 4, 6}) EXPECT_EQ(trial.actual(x)[i], 0) << i;
    }
  });
  table.add_types("divide", "many_not_positive", [](TestDevice& device, ElementType type) {
    for (const std::int64_t n : {13, 2049, 100003}) {
      Trial trial(device);
      const Operand f = trial.vector(n, type, Use::input);
      const Operand b = trial.vector(n, type, Use::input);
      const Operand x = trial.vector(n, type, Use::output);
      const Operand info = trial.scalar_output();
      std::int64_t bad = 0;
      std::vector<double> elements = trial.given(f);
      for (double& element : elements) {
        element = element < 0 ? -1 : element + 0.5;
        if (element < 0) ++bad;
      }
      trial.set(f, elements);
      trial.run([&](Backend& backend, const Side& of) {
        backend.divide(of(f), of(0.25), of(b), of(x), of(info));
      });
      trial.expect_rounded(x, 2);
      EXPECT_EQ(trial.actual(info).front(), static_cast<double>(bad));
    }
  });

  table.add_types("inverse_roots", "", [](TestDevice& device, ElementType type) {
    for (const std::int64_t n : {0, 1, 13, 2049}) {
      for (bool in_place : {false, true}) {
        Trial trial(device);
        const Operand x = trial.vector(n, type, in_place ? Use::both : Use::input);
        std::vector<double> elements = trial.given(x);
        for (double& element : elements) element = std::abs(element) + 0.125;
        trial.set(x, elements);
        const Operand y = in_place ? x : trial.vector(n, type, Use::output);
        trial.run(
            [&](Backend& backend, const Side& of) { backend.inverse_roots(of(x), 0.25, of(y)); });
        trial.expect_rounded(y, 3);
      }
    }
  });
  table.add_types("inverse_roots", "not_positive", [](TestDevice& device, ElementType type) {
    Trial trial(device);
    const Operand x = trial.vector(type, Use::input, {4, 0, -1, 0.25, nan, infinity, -infinity});
    const Operand y = trial.vector(7, type, Use::output);
    trial.run([&](Backend& backend, const Side& of) { backend.inverse_roots(of(x), 0.5, of(y)); });
    trial.expect_equal(y);
    const std::vector<double> roots = trial.actual(y);
    EXPECT_EQ(roots[0], 0.5);
    for (const std::size_t i : {1, 2, 3, 6}) EXPECT_EQ(roots[i], 0) << i;
    EXPECT_TRUE(std::isnan(roots[4]) && std::isnan(roots[5]));
  });

  for (bool with_itself : {false, true}) {
    table.add_types(
        "dot", with_itself ? "with_itself" : "", [=](TestDevice& device, ElementType type) {
          for (Size size : array_sizes) {
            size.padding = 0;  // matrices are whole
            SCOPED_TRACE(to_string(Shape{size.rows, size.columns}));
            Trial trial(device);
            const Operand x = array(trial, size, type, Use::input);
            const Operand y = with_itself ? x : array(trial, size, type, Use::input);
            const Operand result = trial.scalar_output();
            trial.run(
                [&](Backend& backend, const Side& of) { backend.dot(of(x), of(y), of(result)); });
            trial.expect_sums(result, size.rows * size.columns);
          }
        });
  }
  table.add_types("dot", "not_finite", [](TestDevice& device, ElementType type) {
    for (double value : {nan, infinity}) {
      Trial trial(device);
      const Operand x = trial.vector(type, Use::input, {1, 2, value, 4});
      const Operand y = trial.vector(type, Use::input, {1, 1, 1, 1});
      const Operand result = trial.scalar_output();
      trial.run([&](Backend& backend, const Side& of) { backend.dot(of(x), of(y), of(result)); });
      trial.expect_equal(result);
    }
  });
}

}  // namespace

void add_vector_cases(OperationTable& table) {
  add_memory_cases(table);
  add_elementwise_cases(table);
}

}  // namespace natgrad::tests
