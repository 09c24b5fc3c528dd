#include "curvature/form.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "support/device.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

// The form that a FisherMatrix takes, and the memory of it.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};

/// 4 x 5 + 5 + 3 x 2 + 3 = 34 parameters.
const std::vector<LayerShape> layers = {{.inputs = 4, .outputs = 5},
                                        {.inputs = 3, .outputs = 2, .bias = false},
                                        {.inputs = 0, .outputs = 3}};

/// Counts what a context allocates.
struct Counter {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;  // held now
  Allocator allocator() {
    return {.allocate =
                [this](std::size_t size, void*) {
                  ++calls;
                  bytes += static_cast<std::int64_t>(size);
                  return allocate_shared(size);
                },
            .deallocate =
                [this](void* memory, std::size_t size, void*) {
                  bytes -= static_cast<std::int64_t>(size);
                  free_shared(memory, size);
                }};
  }
};

TEST(fisher_matrix, the_primal_form_takes_the_same_memory_for_any_number_of_rows) {
  Counter counter;
  const LayeredBatch<float> batch({.layers = layers, .samples = 100},
                                  test_context({.allocator = counter.allocator()}));
  EXPECT_EQ(counter.calls, 0);
  const LayerScores scores = batch.scores({.batch_samples = 20000});
  const std::int64_t before = counter.bytes;
  FisherMatrix fisher(batch.parameters, {.form = Form::primal, .samples = 20000, .tile_rows = 32});
  Tensor<float> direction = zeros<float>(fisher.size());
  for (int i = 0; i < 10; ++i) fisher.accumulate(scores);
  fisher.solve(Coefficients{}, direction.view());
  EXPECT_EQ(fisher.samples(), 1000);
  const std::int64_t bytes = counter.bytes - before;
  const std::int64_t calls = counter.calls;
  EXPECT_GT(bytes, 34 * 34 * 8);
  for (int i = 0; i < 190; ++i) fisher.accumulate(scores);
  fisher.solve(Coefficients{}, direction.view());
  EXPECT_EQ(fisher.samples(), 20000);
  EXPECT_EQ(counter.bytes - before, bytes);
  EXPECT_EQ(counter.calls, calls);
}

TEST(fisher_matrix, chooses_its_form_by_operations_and_memory) {
  struct Case {
    std::int64_t rows, parameters;
    double gram_operations;
    ElementType type;
    double damping;
    Form expected;
    const char* why;
  };
  constexpr ElementType f32 = ElementType::float32;
  constexpr ElementType f64 = ElementType::float64;
  const std::vector<Case> cases = {
      {1000, 1'000'000, 4000, f32, 1, Form::dual, "N^2 sum(d) = 4e9, N P^2 = 1e15"},
      {100'000, 100, 30, f64, 1, Form::primal, "N P^2 = 1e9, N^2 sum(d) + N^3 / 3 = 3e14"},
      {100'000, 100, 30, f32, 1, Form::primal, "twice for float rows is still less"},
      {600, 600, 601, f64, 1, Form::primal, "N P^2 + P^3 / 3 just below N^2 601 + N^3 / 3"},
      {600, 600, 601, f32, 1, Form::dual, "the primal operations are in double"},
      {600, 600, 598, f64, 1, Form::dual, "now just above"},
      {600, 600, 598, f64, 0, Form::primal, "damping 0 and P <= N"},
      {599, 600, 2, f64, 0, Form::dual, "damping 0 and P > N"},
      {1000, 2000, 9000, f32, 1, Form::dual,
       "9.3e9 operations against 2 (4e9 + 2.7e9): dual, whatever the memory"},
      {1000, 2000, 60000, f32, 1, Form::dual,
       "primal has fewer operations, but 8 P (P + 256) bytes > 4 times 4 N^2"},
      {2000, 2000, 60000, f32, 1, Form::primal, "there the primal memory is 2.3 times the dual's"},
      {20'000, 3000, 10, f64, 1, Form::primal, "1.9e11 against 2.7e12"},
  };
  for (const Case& c : cases) {
    const Form form = detail::choose_form({.form = Form::automatic,
                                           .damped = c.damping > 0,
                                           .rows = c.rows,
                                           .parameters = c.parameters,
                                           .gram_operations = c.gram_operations,
                                           .tile_rows = 256,
                                           .type = c.type,
                                           .gram = c.type});
    EXPECT_EQ(form, c.expected) << c.rows << " rows, " << c.parameters << " parameters: " << c.why;
  }
  for (Form form : forms)
    EXPECT_EQ(detail::choose_form({.form = form, .rows = 1, .parameters = 1}), form);
}

TEST(fisher_matrix, fixes_its_form_with_the_first_rows) {
  const LayeredBatch<double> batch({.layers = layers, .samples = 5});
  const LayerScores scores = batch.scores();
  FisherMatrix few(batch.parameters, {.tile_rows = 8});
  EXPECT_EQ(few.form(), Form::automatic);
  few.accumulate(scores);
  EXPECT_EQ(few.form(), Form::dual);
  // It is told that more will come.
  FisherMatrix many(batch.parameters, {.samples = 1000, .tile_rows = 8});
  many.accumulate(scores);
  EXPECT_EQ(many.form(), Form::primal);
}

}  // namespace

}  // namespace natgrad::tests
