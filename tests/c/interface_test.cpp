#include "c/handles.hpp"
#include "c/train.h"
#include "natgrad/natgrad.hpp"
#include "support/files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The rest of the C interface: what it gives is what the C++ interface gives, and tensors are held
// and freed as natgrad.h says.

namespace natgrad::tests {

namespace {

using Doubles = std::vector<double>;

/// Logistic regression by dense rows, through the C interface.
struct Regression {
  CountedTensor<double> theta{{0.1, -0.2, 0.3, 0.4}, {regression_size}};
  CountedTensor<double> rows{make_rows(), {regression_samples, regression_size}};
  Handle<natgrad_context> context = c_context();
  Handle<natgrad_parameters> parameters =
      made<natgrad_parameters>(natgrad_parameters_create, context.get());
  Handle<natgrad_scores> scores;

  explicit Regression(std::int32_t kind = NATGRAD_EMPIRICAL) {
    std::int32_t segment = -1;
    EXPECT_EQ(natgrad_parameters_add(parameters.get(), theta, "theta", &segment), NATGRAD_OK);
    EXPECT_EQ(segment, 0);
    scores = made<natgrad_scores>(natgrad_scores_create_dense, parameters.get(), kind);
    EXPECT_EQ(natgrad_scores_begin_dense(scores.get(), rows, nullptr), NATGRAD_OK)
        << natgrad_error_text();
  }
  natgrad_batch batch() const {
    auto result = defaults<natgrad_batch>(natgrad_batch_init);
    result.fisher = scores.get();
    return result;
  }
  static Doubles make_rows() {
    const std::array<double, regression_size> at = {0.1, -0.2, 0.3, 0.4};
    Doubles rows(regression_samples * regression_size);
    regression_rows(at.data(), rows.data(), nullptr);
    return rows;
  }
};

std::string parameter_name(const natgrad_parameters* parameters, std::size_t capacity) {
  std::string name(capacity, '?');
  std::size_t length = 0;
  EXPECT_EQ(natgrad_parameters_name(parameters, 0, name.data(), capacity, &length), NATGRAD_OK);
  EXPECT_EQ(length, 5U);
  return name.c_str();
}

TEST(c_interface, texts_and_numbers_of_parameters) {
  const Regression r;
  EXPECT_STREQ(natgrad_version_text(), version());
  EXPECT_EQ(parameter_name(r.parameters.get(), 10), "theta");
  EXPECT_EQ(parameter_name(r.parameters.get(), 4), "the");
  EXPECT_EQ(natgrad_parameters_name(r.parameters.get(), 0, nullptr, 0, nullptr), NATGRAD_OK);
  EXPECT_EQ(natgrad_parameters_name(r.parameters.get(), 0, nullptr, 3, nullptr),
            NATGRAD_ERROR_ARGUMENT);
  std::int64_t size = 0;
  std::int32_t segments = 0;
  std::int64_t offset = -1;
  EXPECT_EQ(natgrad_parameters_size(r.parameters.get(), &size), NATGRAD_OK);
  EXPECT_EQ(natgrad_parameters_segments(r.parameters.get(), &segments), NATGRAD_OK);
  EXPECT_EQ(natgrad_parameters_offset(r.parameters.get(), 0, &offset), NATGRAD_OK);
  EXPECT_EQ(natgrad_parameters_offset(r.parameters.get(), 1, &offset), NATGRAD_ERROR_ARGUMENT);
  EXPECT_EQ(size, regression_size);
  EXPECT_EQ(segments, 1);
  EXPECT_EQ(offset, 0);
  CountedTensor<double> all(Doubles(4, 0), {4});
  EXPECT_EQ(natgrad_parameters_gather(r.parameters.get(), all), NATGRAD_OK);
  EXPECT_EQ(all.numbers(), (Doubles{0.1, -0.2, 0.3, 0.4}));
  CountedTensor<double> other({1, 2, 3, 4}, {4});
  EXPECT_EQ(natgrad_parameters_scatter(r.parameters.get(), other), NATGRAD_OK);
  EXPECT_EQ(r.theta.numbers(), (Doubles{1, 2, 3, 4}));
}

TEST(c_interface, tensors_are_freed_once_when_nothing_needs_them) {
  CountedTensor<double> theta({0.1, -0.2, 0.3, 0.4}, {regression_size});
  CountedTensor<double> first(Regression::make_rows(), {regression_samples, regression_size});
  CountedTensor<double> second(Regression::make_rows(), {regression_samples, regression_size});
  CountedTensor<double> weights(Doubles(regression_samples, 0.1), {regression_samples});
  auto context = c_context();
  auto parameters = made<natgrad_parameters>(natgrad_parameters_create, context.get());
  EXPECT_EQ(natgrad_parameters_add(parameters.get(), theta, nullptr, nullptr), NATGRAD_OK);
  auto scores =
      made<natgrad_scores>(natgrad_scores_create_dense, parameters.get(), NATGRAD_EMPIRICAL);
  auto optimizer = made<natgrad_optimizer>(natgrad_optimizer_create, parameters.get(), nullptr);
  parameters.reset();
  const auto synchronize = [&] {
    EXPECT_EQ(natgrad_context_synchronize(context.get()), NATGRAD_OK);
  };

  auto batch = defaults<natgrad_batch>(natgrad_batch_init);
  batch.fisher = scores.get();
  EXPECT_EQ(natgrad_scores_begin_dense(scores.get(), first, nullptr), NATGRAD_OK);
  EXPECT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  EXPECT_EQ(first.freed, 0);
  auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
  set.weights = weights;
  EXPECT_EQ(natgrad_scores_begin_dense(scores.get(), second, &set), NATGRAD_OK)
      << natgrad_error_text();
  synchronize();
  EXPECT_EQ(first.freed, 1);
  EXPECT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  EXPECT_EQ(second.freed + weights.freed, 0);
  EXPECT_EQ(natgrad_scores_release(scores.get()), NATGRAD_OK);
  synchronize();
  EXPECT_EQ(second.freed, 1);
  EXPECT_EQ(weights.freed, 1);
  EXPECT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_ERROR_ARGUMENT)
      << "no rows are left";
  scores.reset();
  EXPECT_EQ(theta.freed, 0);
  optimizer.reset();
  EXPECT_EQ(theta.freed, 1);
  EXPECT_EQ(first.freed + second.freed + weights.freed, 3);
}

TEST(c_interface, own_tensors_share_their_memory) {
  const auto context = c_context();
  auto first =
      made<DLManagedTensorVersioned>(natgrad_tensor_new, context.get(), 2, 3, NATGRAD_FLOAT32);
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(natgrad_tensor_write(context.get(), numbers.data(), first.get()), NATGRAD_OK);
  const auto second = made<DLManagedTensorVersioned>(natgrad_tensor_share, first.get());
  EXPECT_EQ(natgrad_tensor_data(first.get()), natgrad_tensor_data(second.get()));
  first.reset();
  std::vector<float> read(6);
  EXPECT_EQ(natgrad_tensor_read(context.get(), second.get(), read.data()), NATGRAD_OK);
  EXPECT_EQ(read, numbers);
  EXPECT_EQ(natgrad_tensor_data(nullptr), nullptr);

  // Gathering rows.
  CountedTensor<std::int32_t> list({1, 1, 0}, {3});
  CountedTensor<float> rows(std::vector<float>(9, 0), {3, 3});
  EXPECT_EQ(natgrad_gather_rows(context.get(), second.get(), list, rows), NATGRAD_OK);
  EXPECT_EQ(rows.numbers(), (std::vector<float>{4, 5, 6, 4, 5, 6, 1, 2, 3}));
}

/// The direction of these rows by the C interface.
Doubles direction_of(const Regression& r) {
  const auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), &options);
  CountedTensor<double> direction(Doubles(regression_size, 0), {regression_size});
  const natgrad_batch batch = r.batch();
  EXPECT_EQ(natgrad_optimizer_direction(optimizer.get(), &batch, direction), NATGRAD_OK)
      << natgrad_error_text();
  natgrad_solve_report report;
  report.size = sizeof report;
  EXPECT_EQ(natgrad_optimizer_direction_report(optimizer.get(), &report), NATGRAD_OK);
  EXPECT_EQ(report.outcome, NATGRAD_ACCEPTED);
  EXPECT_GT(report.quadratic_form, 0);
  EXPECT_EQ(direction.freed, 0) << "a call only looks at it";
  return direction.numbers();
}

TEST(c_interface, strides_and_offsets_are_honoured) {
  const Regression plain;
  const Doubles expected = direction_of(plain);
  // Rows of 6 numbers, the first of them and the last no part of it, before them two more.
  Doubles padded(2 + 6 * regression_samples, 1e300);
  const Doubles rows = Regression::make_rows();
  for (std::size_t n = 0; n < regression_samples; ++n) {
    for (std::size_t i = 0; i < regression_size; ++i) {
      padded[2 + 6 * n + i + 1] = rows[regression_size * n + i];
    }
  }
  CountedTensor<double> strided(padded, {regression_samples, 2, 2}, {6, 2, 1});
  strided.tensor.dl_tensor.byte_offset = 3 * sizeof(double);
  // Coefficients two apart, which are 1.
  Doubles ones(2 * regression_samples, 7);
  for (std::size_t n = 0; n < regression_samples; ++n) ones[2 * n] = 1;
  CountedTensor<double> coefficients(ones, {regression_samples}, {2});
  const Regression r;
  auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
  set.coefficients = coefficients;
  ASSERT_EQ(natgrad_scores_begin_dense(r.scores.get(), strided, &set), NATGRAD_OK)
      << natgrad_error_text();
  EXPECT_EQ(direction_of(r), expected);
}

TEST(c_interface, layers_of_more_axes_are_rows_of_terms) {
  // The gradient of three axes (N, T, d) and of two (N T, d).
  const auto gradient = [](const std::vector<std::int64_t>& input_shape,
                           const std::vector<std::int64_t>& score_shape) {
    CountedTensor<float> weight({1, 2, 3, 4, 5, 6}, {2, 3});
    CountedTensor<float> input({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, input_shape);
    CountedTensor<float> score({1, -1, 2, -2, 3, -3, 4, -4}, score_shape);
    CountedTensor<float> result(std::vector<float>(6, 0), {6});
    const auto context = c_context();
    const auto parameters = made<natgrad_parameters>(natgrad_parameters_create, context.get());
    EXPECT_EQ(natgrad_parameters_add(parameters.get(), weight, nullptr, nullptr), NATGRAD_OK);
    const auto scores =
        made<natgrad_scores>(natgrad_scores_create_layers, parameters.get(), NATGRAD_EMPIRICAL);
    auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
    set.samples = 2;
    EXPECT_EQ(natgrad_scores_begin_layers(scores.get(), &set), NATGRAD_OK);
    auto layer = defaults<natgrad_layer>(natgrad_layer_init);
    layer.weight = 0;
    layer.input = input;
    layer.output_score = score;
    layer.terms = 2;
    EXPECT_EQ(natgrad_scores_add(scores.get(), &layer), NATGRAD_OK) << natgrad_error_text();
    EXPECT_EQ(natgrad_scores_gradient(scores.get(), result), NATGRAD_OK) << natgrad_error_text();
    auto check = natgrad_scores_check{};
    check.size = sizeof check;
    std::size_t length = 0;
    EXPECT_EQ(natgrad_scores_compare(scores.get(), result, &check, nullptr, 0, &length),
              NATGRAD_OK);
    EXPECT_LT(check.distance, 1e-6);
    EXPECT_GT(length, 0U);
    return result.numbers();
  };
  const std::vector<float> expected = gradient({4, 3}, {4, 2});
  EXPECT_EQ(gradient({2, 2, 3}, {2, 2, 2}), expected);
  EXPECT_EQ(gradient({2, 1, 2, 3}, {1, 4, 2}), expected) << "axes of one element have no stride";
}

TEST(c_interface, rows_are_checked_against_log_p) {
  const Regression r;
  auto check = natgrad_likelihood_check{};
  check.size = sizeof check;
  struct User {
    const Regression* regression;
  } user = {&r};
  const auto log_p = [](void* self, double* result, std::int64_t rows) -> std::int32_t {
    const Regression& regression = *static_cast<User*>(self)->regression;
    const Doubles theta = regression.theta.numbers();
    Doubles unused(regression_samples * regression_size);
    Doubles numbers(static_cast<std::size_t>(rows));
    regression_rows(theta.data(), unused.data(), numbers.data());
    DLManagedTensorVersioned* array = nullptr;
    const Device device = test_device();
    if (natgrad_tensor_view(result, NATGRAD_FLOAT64, rows, 1, 0,
                            static_cast<std::int32_t>(device.kind), device.index,
                            &array) != NATGRAD_OK) {
      return 1;
    }
    const natgrad_status status =
        natgrad_tensor_write(regression.context.get(), numbers.data(), array);
    natgrad_tensor_destroy(array);
    return status;
  };
  std::array<char, 300> text = {};
  ASSERT_EQ(natgrad_check_scores(r.scores.get(), log_p, &user, nullptr, &check, text.data(),
                                 text.size(), nullptr),
            NATGRAD_OK)
      << natgrad_error_text();
  EXPECT_LT(check.distance, 1e-6) << text.data();
  EXPECT_EQ(check.rows_off, 0);
  EXPECT_EQ(check.uncovered, 0);
}

TEST(c_interface, a_batch_in_parts_and_a_gradient_of_numbers) {
  // SPRING has a momentum, which both ways must have alike.
  const Regression whole;
  const Regression parts;
  auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  options.form = NATGRAD_FORM_PRIMAL;
  const auto first =
      made<natgrad_optimizer>(natgrad_optimizer_create, whole.parameters.get(), &options);
  const auto second =
      made<natgrad_optimizer>(natgrad_optimizer_create, parts.parameters.get(), &options);
  natgrad_batch batch = whole.batch();
  CountedTensor<double> gradient({-1, 2, 1, -3}, {regression_size});
  batch.gradient = gradient;
  batch.gradient_scale = -0.5;
  ASSERT_EQ(natgrad_optimizer_step(first.get(), &batch), NATGRAD_OK) << natgrad_error_text();

  CountedTensor<double> half({0.25, -0.5, -0.25, 0.75}, {regression_size});
  for (const std::size_t from : {0, 6}) {
    Doubles rows = Regression::make_rows();
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(from) * regression_size,
               rows.begin() + static_cast<std::ptrdiff_t>(from + 6) * regression_size);
    CountedTensor<double> part(rows, {6, regression_size});
    auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
    set.batch_samples = regression_samples;
    ASSERT_EQ(natgrad_scores_begin_dense(parts.scores.get(), part, &set), NATGRAD_OK);
    natgrad_batch given = parts.batch();
    given.gradient = half;
    ASSERT_EQ(natgrad_optimizer_accumulate(second.get(), &given), NATGRAD_OK)
        << natgrad_error_text();
    ASSERT_EQ(natgrad_scores_release(parts.scores.get()), NATGRAD_OK);
    ASSERT_EQ(natgrad_context_synchronize(parts.context.get()), NATGRAD_OK);
    EXPECT_EQ(part.freed, 1);
  }
  ASSERT_EQ(natgrad_optimizer_step_accumulated(second.get()), NATGRAD_OK) << natgrad_error_text();
  const Doubles a = whole.theta.numbers();
  const Doubles b = parts.theta.numbers();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12 * std::abs(a[i]));
  EXPECT_NE(a[0], 0.1);
  EXPECT_EQ(natgrad_optimizer_discard(second.get()), NATGRAD_OK);
  batch.gradient_rows = whole.scores.get();
  EXPECT_EQ(natgrad_optimizer_step(first.get(), &batch), NATGRAD_ERROR_ARGUMENT);
}

TEST(c_interface, rate_and_damping_in_force) {
  const Regression r;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), nullptr);
  EXPECT_EQ(natgrad_optimizer_set_rate(optimizer.get(), 0.125), NATGRAD_OK);
  auto damping = defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_CONSTANT);
  damping.absolute = 0.75;
  EXPECT_EQ(natgrad_optimizer_set_damping(optimizer.get(), &damping), NATGRAD_OK);
  EXPECT_EQ(natgrad_optimizer_reset_momentum(optimizer.get()), NATGRAD_OK);
  const natgrad_batch batch = r.batch();
  EXPECT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  natgrad_step_report report;
  report.size = sizeof report;
  EXPECT_EQ(natgrad_optimizer_report(optimizer.get(), &report), NATGRAD_OK);
  EXPECT_EQ(report.rate, 0.125);
  EXPECT_EQ(report.damping, 0.75);
  EXPECT_EQ(report.size, sizeof report);
  EXPECT_EQ(natgrad_optimizer_set_rate(optimizer.get(), -1), NATGRAD_ERROR_OPTION);
}

TEST(c_interface, defaults_are_those_of_cpp) {
  const auto kl = defaults<natgrad_step_rule>(natgrad_step_rule_init, NATGRAD_STEP_KL_TRUST_REGION);
  EXPECT_EQ(kl.radius, KlTrustRegion().radius);
  EXPECT_EQ(kl.max_rate, KlTrustRegion().max_rate);
  EXPECT_EQ(kl.trials, KlTrustRegion().trials);
  EXPECT_EQ(kl.shrink, KlTrustRegion().shrink);
  const auto quadratic =
      defaults<natgrad_step_rule>(natgrad_step_rule_init, NATGRAD_STEP_QUADRATIC_MODEL);
  EXPECT_EQ(quadratic.rate, QuadraticModel().rate);
  const auto damping =
      defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_LEVENBERG_MARQUARDT);
  EXPECT_EQ(damping.factor, LevenbergMarquardt().factor);
  EXPECT_EQ(damping.smallest, LevenbergMarquardt().smallest);
  EXPECT_EQ(damping.largest, LevenbergMarquardt().largest);
  EXPECT_EQ(damping.absolute, Damping().absolute);
  const auto schedule = defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_SCHEDULE);
  EXPECT_EQ(schedule.factor, DampingSchedule().factor);
  EXPECT_EQ(schedule.floor, DampingSchedule().floor);
}

/// What a step with these options moves theta to.
Doubles moved(natgrad_optimizer_options options, std::int32_t kind = NATGRAD_EMPIRICAL) {
  const Regression r(kind);
  auto damping = defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_SCHEDULE);
  damping.factor = 0.5;
  options.damping = &damping;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), &options);
  natgrad_batch batch = r.batch();
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK) << natgrad_error_text();
  }
  return r.theta.numbers();
}
Doubles moved(NaturalGradient::Options options) {
  SharedVector<double> theta = {0.1, -0.2, 0.3, 0.4};
  const Doubles numbers = Regression::make_rows();
  const SharedVector<double> rows(numbers.begin(), numbers.end());
  Parameters parameters(test_context());
  parameters.add(shared_view(theta, {regression_size}));
  options.damping.rule = DampingSchedule{.factor = 0.5};
  NaturalGradient optimizer(parameters, options);
  DenseScores scores(parameters);
  scores.begin(shared_view(rows, {regression_samples, regression_size}));
  for (int step = 0; step < 3; ++step) optimizer.step(scores);
  synchronize_device();
  return {theta.begin(), theta.end()};
}

TEST(c_interface, options_are_those_of_cpp) {
  const natgrad_segment_factor factor = {0, 0, 0.5};
  const std::int32_t group = 0;
  auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  options.momentum = NATGRAD_MOMENTUM_HEAVY_BALL;
  options.momentum_decay = 0.3;
  options.rate_decay = NATGRAD_DECAY_COSINE;
  options.rate_decay_steps = 5;
  options.max_norm = 0.25;
  options.weight_decay = 0.01;
  options.weight_decay_factors = &factor;
  options.weight_decay_factor_count = 1;
  options.l2 = 0.02;
  options.rate_factors = &factor;
  options.rate_factor_count = 1;
  options.structure = NATGRAD_STRUCTURE_BLOCK_DIAGONAL;
  options.groups = &group;
  options.group_count = 1;
  options.form = NATGRAD_FORM_DUAL;
  options.gram_type = NATGRAD_FLOAT64;
  options.refinement = 1;
  const SegmentFactor half = {{0}, 0.5};
  EXPECT_EQ(moved(options),
            moved(NaturalGradient::Options{.schedule = {.decay = RateDecay::cosine, .steps = 5},
                                           .max_norm = 0.25,
                                           .momentum = HeavyBall{.decay = 0.3},
                                           .weight_decay = 0.01,
                                           .l2 = 0.02,
                                           .rate_factors = {half},
                                           .weight_decay_factors = {half},
                                           .structure = Structure::block_diagonal,
                                           .groups = {{{0}}},
                                           .form = Form::dual,
                                           .gram_type = ElementType::float64,
                                           .refinement = 1}));
}

TEST(c_interface, plans_of_a_batch_and_of_its_shape) {
  const Regression r;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), nullptr);
  const natgrad_batch batch = r.batch();
  const auto of_batch = made<natgrad_plan>(natgrad_optimizer_plan, optimizer.get(), &batch);
  auto shape = defaults<natgrad_scores_shape>(natgrad_scores_shape_init);
  shape.samples = regression_samples;
  const auto of_shape = made<natgrad_plan>(natgrad_optimizer_plan_shape, optimizer.get(), &shape);
  std::int64_t bytes = 0;
  std::int64_t scratch = 0;
  std::int32_t form = -1;
  std::int64_t same = 0;
  ASSERT_NE(of_batch, nullptr);
  EXPECT_EQ(natgrad_plan_numbers(of_batch.get(), &bytes, &scratch, &form), NATGRAD_OK);
  EXPECT_EQ(natgrad_plan_numbers(of_shape.get(), &same, nullptr, nullptr), NATGRAD_OK);
  EXPECT_EQ(bytes, same);
  EXPECT_GT(bytes, scratch);
  EXPECT_TRUE(form == NATGRAD_FORM_PRIMAL || form == NATGRAD_FORM_DUAL);
  std::size_t length = 0;
  EXPECT_EQ(natgrad_plan_text(of_batch.get(), nullptr, 0, &length), NATGRAD_OK);
  EXPECT_GT(length, 20U);
  EXPECT_EQ(natgrad_optimizer_reserve(optimizer.get(), of_batch.get()), NATGRAD_OK);
  const natgrad_layer_shape layer = {4, 1, 1, 0, 1};
  shape.layers = &layer;
  shape.layer_count = 1;
  EXPECT_EQ(natgrad_plan_numbers(
                made<natgrad_plan>(natgrad_optimizer_plan_shape, optimizer.get(), &shape).get(),
                &same, nullptr, nullptr),
            NATGRAD_OK);
  shape.samples = 0;
  natgrad_plan* none = nullptr;
  EXPECT_EQ(natgrad_optimizer_plan_shape(optimizer.get(), &shape, &none), NATGRAD_ERROR_OPTION);
}

TEST(c_interface, checkpoints_hold_blobs_and_bring_a_run_back) {
  const TemporaryDirectory folder;
  const std::string path = folder.file("run.safetensors");
  const Regression r;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), nullptr);
  const natgrad_batch batch = r.batch();
  ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  const std::array<natgrad_blob, 2> blobs = {{{"place", "abc", 3}, {"empty", nullptr, 0}}};
  auto options = defaults<natgrad_save_options>(natgrad_save_options_init);
  options.blobs = blobs.data();
  options.blob_count = 2;
  ASSERT_EQ(natgrad_optimizer_save(optimizer.get(), path.c_str(), &options), NATGRAD_OK)
      << natgrad_error_text();
  const Doubles saved = r.theta.numbers();
  ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  const Doubles next = r.theta.numbers();
  ASSERT_NE(next, saved);

  const auto checkpoint = made<natgrad_checkpoint>(natgrad_checkpoint_read, path.c_str());
  std::int64_t count = 0;
  natgrad_blob blob = {};
  EXPECT_EQ(natgrad_checkpoint_blobs(checkpoint.get(), &count), NATGRAD_OK);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(natgrad_checkpoint_blob(checkpoint.get(), 1, &blob), NATGRAD_OK);
  EXPECT_STREQ(blob.name, "place");
  EXPECT_EQ(std::string_view(static_cast<const char*>(blob.data), 3), "abc");
  EXPECT_EQ(natgrad_checkpoint_blob(checkpoint.get(), 2, &blob), NATGRAD_ERROR_ARGUMENT);
  ASSERT_EQ(natgrad_checkpoint_restore(checkpoint.get(), optimizer.get()), NATGRAD_OK);
  EXPECT_EQ(r.theta.numbers(), saved);
  ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  EXPECT_EQ(r.theta.numbers(), next);

  natgrad_checkpoint* none = nullptr;
  EXPECT_EQ(natgrad_checkpoint_read((path + "?").c_str(), &none), NATGRAD_ERROR_FILE);
  const std::array<natgrad_blob, 2> twice = {{{"a", "b", 1}, {"a", "b", 1}}};
  options.blobs = twice.data();
  EXPECT_EQ(natgrad_optimizer_save(optimizer.get(), path.c_str(), &options),
            NATGRAD_ERROR_ARGUMENT);
}

TEST(c_interface, checkpoints_in_memory_without_parameters) {
  const Regression r;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), nullptr);
  const natgrad_batch batch = r.batch();
  ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  auto options = defaults<natgrad_save_options>(natgrad_save_options_init);
  options.without_parameters = 1;
  const auto bytes =
      made<natgrad_bytes>(natgrad_optimizer_save_to_memory, optimizer.get(), &options);
  const void* data = nullptr;
  std::int64_t size = 0;
  ASSERT_EQ(natgrad_bytes_data(bytes.get(), &data, &size), NATGRAD_OK);
  const auto checkpoint = made<natgrad_checkpoint>(natgrad_checkpoint_read_memory, data, size);
  ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
  const Doubles after = r.theta.numbers();
  ASSERT_EQ(natgrad_checkpoint_restore(checkpoint.get(), optimizer.get()), NATGRAD_OK)
      << natgrad_error_text();
  EXPECT_EQ(r.theta.numbers(), after) << "they were not saved";
  natgrad_step_report report;
  report.size = sizeof report;
  EXPECT_EQ(natgrad_optimizer_report(optimizer.get(), &report), NATGRAD_OK);
  EXPECT_EQ(report.step, 1);
  natgrad_checkpoint* none = nullptr;
  EXPECT_EQ(natgrad_checkpoint_read_memory(data, size - 1, &none), NATGRAD_ERROR_FILE);
  EXPECT_EQ(natgrad_checkpoint_read_memory(data, -1, &none), NATGRAD_ERROR_ARGUMENT);
}

TEST(c_interface, a_step_that_is_handed_out_is_the_step) {
  const Regression moved;
  const Regression told;
  const auto first =
      made<natgrad_optimizer>(natgrad_optimizer_create, moved.parameters.get(), nullptr);
  const auto second =
      made<natgrad_optimizer>(natgrad_optimizer_create, told.parameters.get(), nullptr);
  const natgrad_segment_factor half = {0, 0, 0.5};
  for (natgrad_optimizer* optimizer : {first.get(), second.get()}) {
    ASSERT_EQ(natgrad_optimizer_set_rate_factors(optimizer, &half, 1), NATGRAD_OK);
    ASSERT_EQ(natgrad_optimizer_set_weight_decay_factors(optimizer, &half, 1), NATGRAD_OK);
  }
  EXPECT_EQ(natgrad_optimizer_set_rate_factors(first.get(), nullptr, 1), NATGRAD_ERROR_ARGUMENT);
  const Doubles start = moved.theta.numbers();
  natgrad_batch batch = moved.batch();
  ASSERT_EQ(natgrad_optimizer_step(first.get(), &batch), NATGRAD_OK);
  CountedTensor<double> step(Doubles(regression_size, 0), {regression_size});
  batch = told.batch();
  ASSERT_EQ(natgrad_optimizer_propose(second.get(), &batch, step), NATGRAD_OK)
      << natgrad_error_text();
  const Doubles end = moved.theta.numbers();
  const Doubles added = step.numbers();
  EXPECT_EQ(told.theta.numbers(), start);
  for (std::size_t i = 0; i < end.size(); ++i) EXPECT_NEAR(start[i] + added[i], end[i], 1e-15);
  EXPECT_NE(added[0], 0);
  EXPECT_EQ(natgrad_optimizer_propose_accumulated(second.get(), step), NATGRAD_ERROR_ARGUMENT)
      << "nothing was accumulated";
}

TEST(c_interface, parameters_are_bound_to_other_tensors) {
  CountedTensor<double> other({0.1, -0.2, 0.3, 0.4}, {regression_size});
  CountedTensor<double> longer(Doubles(5, 0), {5});
  {
    Regression r;
    const auto optimizer =
        made<natgrad_optimizer>(natgrad_optimizer_create, r.parameters.get(), nullptr);
    EXPECT_EQ(natgrad_parameters_rebind(r.parameters.get(), 0, longer), NATGRAD_ERROR_SHAPE);
    EXPECT_EQ(natgrad_parameters_rebind(r.parameters.get(), 1, other), NATGRAD_ERROR_ARGUMENT);
    EXPECT_EQ(r.theta.freed, 0);
    ASSERT_EQ(natgrad_parameters_rebind(r.parameters.get(), 0, other), NATGRAD_OK)
        << natgrad_error_text();
    EXPECT_EQ(r.theta.freed, 1);
    const natgrad_batch batch = r.batch();
    ASSERT_EQ(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_OK);
    EXPECT_NE(other.numbers()[0], 0.1);
    EXPECT_EQ(r.theta.numbers()[0], 0.1);
    EXPECT_EQ(other.freed, 0);
  }
  EXPECT_EQ(other.freed, 1);
  EXPECT_EQ(longer.freed, 0);
}

TEST(c_interface, embeddings_take_the_indices_of_words) {
  CountedTensor<float> words(std::vector<float>(8, 0.5F), {4, 2});
  CountedTensor<std::int32_t> indices({3, 0, 3, 1}, {2, 2});
  CountedTensor<float> score({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  CountedTensor<float> gradient(std::vector<float>(8, -1), {8});
  const auto context = c_context();
  const auto parameters = made<natgrad_parameters>(natgrad_parameters_create, context.get());
  ASSERT_EQ(natgrad_parameters_add(parameters.get(), words, "words", nullptr), NATGRAD_OK);
  const auto scores =
      made<natgrad_scores>(natgrad_scores_create_layers, parameters.get(), NATGRAD_EMPIRICAL);
  auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
  set.samples = 2;
  ASSERT_EQ(natgrad_scores_begin_layers(scores.get(), &set), NATGRAD_OK);
  auto layer = defaults<natgrad_layer>(natgrad_layer_init);
  layer.weight = 0;
  layer.input = indices;
  layer.output_score = score;
  layer.terms = 2;
  ASSERT_EQ(natgrad_scores_add(scores.get(), &layer), NATGRAD_OK) << natgrad_error_text();
  ASSERT_EQ(natgrad_scores_gradient(scores.get(), gradient), NATGRAD_OK) << natgrad_error_text();
  EXPECT_EQ(gradient.numbers(), (std::vector<float>{1.5, 2, 3.5, 4, 0, 0, 3, 4}));
}

TEST(c_interface, rows_of_a_complex_number_have_two_parts) {
  Regression r(NATGRAD_EXACT);
  CountedTensor<double> both(Regression::make_rows(), {regression_samples, regression_size});
  CountedTensor<double> coefficients(Doubles(regression_samples, 0.5), {regression_samples});
  auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
  set.parts = 2;
  set.coefficients = coefficients;
  ASSERT_EQ(natgrad_scores_begin_dense(r.scores.get(), both, &set), NATGRAD_OK)
      << natgrad_error_text();
  std::int64_t samples = 0;
  EXPECT_EQ(natgrad_scores_samples(r.scores.get(), &samples), NATGRAD_OK);
  CountedTensor<double> gradient(Doubles(regression_size, 0), {regression_size});
  ASSERT_EQ(natgrad_scores_gradient(r.scores.get(), gradient), NATGRAD_OK);
  // Of 12 rows 6 samples: weights of 1/6.
  const Doubles rows = Regression::make_rows();
  double expected = 0;
  for (std::size_t n = 0; n < regression_samples; ++n) expected += rows[4 * n] * 0.5 / 6;
  EXPECT_NEAR(gradient.numbers()[0], expected, 1e-15);
}

TEST(c_interface, fisher_matrices) {
  const Regression r(NATGRAD_EXACT);
  const auto fisher = made<natgrad_fisher>(natgrad_fisher_create, r.parameters.get(), nullptr);
  ASSERT_EQ(natgrad_fisher_accumulate(fisher.get(), r.scores.get()), NATGRAD_OK)
      << natgrad_error_text();
  std::int64_t size = 0;
  std::int64_t samples = 0;
  std::int32_t form = -1;
  EXPECT_EQ(natgrad_fisher_numbers(fisher.get(), &size, &samples, &form), NATGRAD_OK);
  EXPECT_EQ(size, regression_size);
  EXPECT_EQ(samples, regression_samples);
  EXPECT_EQ(form, NATGRAD_FORM_PRIMAL);

  // F by plain loops.
  constexpr auto p = static_cast<std::size_t>(regression_size);
  const Doubles rows = Regression::make_rows();
  Doubles f(p * p, 0.0);
  for (std::size_t n = 0; n < regression_samples; ++n) {
    for (std::size_t i = 0; i < p; ++i) {
      for (std::size_t j = 0; j < p; ++j) {
        f[p * i + j] += rows[p * n + i] * rows[p * n + j] / int{regression_samples};
      }
    }
  }
  const auto near = [](const Doubles& found, const Doubles& expected, double tolerance) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance);
  };
  CountedTensor<double> matrix(Doubles(p * p, 0), {regression_size, regression_size});
  ASSERT_EQ(natgrad_fisher_to_dense(fisher.get(), matrix), NATGRAD_OK);
  near(matrix.numbers(), f, 1e-15);
  CountedTensor<double> vector({1, -1, 2, 0.5}, {regression_size});
  CountedTensor<double> product(Doubles(p, 0), {regression_size});
  ASSERT_EQ(natgrad_fisher_apply(fisher.get(), vector, product), NATGRAD_OK);
  const Doubles v = vector.numbers();
  Doubles fv(p, 0.0);
  double form_value = 0;
  double trace_value = 0;
  for (std::size_t i = 0; i < p; ++i) {
    for (std::size_t j = 0; j < p; ++j) fv[i] += f[p * i + j] * v[j];
    form_value += v[i] * fv[i];
    trace_value += f[p * i + i];
  }
  near(product.numbers(), fv, 1e-14);
  double value = 0;
  EXPECT_EQ(natgrad_fisher_quadratic_form(fisher.get(), vector, &value), NATGRAD_OK);
  EXPECT_NEAR(value, form_value, 1e-14);
  EXPECT_EQ(natgrad_fisher_trace(fisher.get(), &value), NATGRAD_OK);
  EXPECT_NEAR(value, trace_value, 1e-14);
  CountedTensor<double> diagonal(Doubles(p, 0), {regression_size});
  EXPECT_EQ(natgrad_fisher_diagonal(fisher.get(), diagonal), NATGRAD_OK);
  EXPECT_NEAR(diagonal.numbers()[1], f[p + 1], 1e-15);

  // (F + lambda I) d = F v + lambda v has the solution v.
  auto damping = defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_CONSTANT);
  damping.absolute = 0.5;
  EXPECT_EQ(natgrad_fisher_set_damping(fisher.get(), &damping), NATGRAD_OK);
  Doubles right(p);
  for (std::size_t i = 0; i < p; ++i) right[i] = -0.5 * (fv[i] + 0.5 * v[i]);
  CountedTensor<double> gradient(right, {regression_size});
  CountedTensor<double> direction(Doubles(p, 0), {regression_size});
  ASSERT_EQ(natgrad_fisher_solve(fisher.get(), gradient, -2, direction), NATGRAD_OK)
      << natgrad_error_text();
  near(direction.numbers(), v, 1e-13);
  natgrad_solve_report report;
  report.size = sizeof report;
  EXPECT_EQ(natgrad_fisher_report(fisher.get(), &report), NATGRAD_OK);
  EXPECT_EQ(report.damping, 0.5);
  EXPECT_LT(report.residual, 1e-14);

  // Without damping, F v has the solution v as well.
  std::int32_t outcome = -1;
  CountedTensor<double> flat(fv, {regression_size});
  ASSERT_EQ(natgrad_fisher_least_norm(fisher.get(), flat, 1, 1e-12, direction, &outcome),
            NATGRAD_OK);
  EXPECT_EQ(outcome, NATGRAD_ACCEPTED);
  near(direction.numbers(), v, 1e-10);
  ASSERT_EQ(natgrad_fisher_inverse_diagonal(fisher.get(), diagonal, &outcome), NATGRAD_OK);
  EXPECT_EQ(outcome, NATGRAD_ACCEPTED);
  EXPECT_GE(diagonal.numbers()[0], 1 / (f[0] + 0.5) - 1e-12);

  const auto spectrum = made<natgrad_spectrum>(natgrad_fisher_spectrum, fisher.get());
  const double* eigenvalues = nullptr;
  std::int64_t count = 0;
  ASSERT_EQ(natgrad_spectrum_numbers(spectrum.get(), &outcome, &eigenvalues, &count), NATGRAD_OK);
  ASSERT_EQ(count, regression_size);
  EXPECT_TRUE(std::is_sorted(eigenvalues, eigenvalues + count));
  double sum = 0;
  double logarithms = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += eigenvalues[i];
    logarithms += std::log(eigenvalues[i] + 0.5);
  }
  EXPECT_NEAR(sum, trace_value, 1e-14);
  std::int64_t rank = 0;
  EXPECT_EQ(natgrad_spectrum_rank(spectrum.get(), 0, &rank), NATGRAD_OK);
  EXPECT_EQ(rank, regression_size);
  EXPECT_EQ(natgrad_spectrum_condition(spectrum.get(), 0, &value), NATGRAD_OK);
  EXPECT_NEAR(value, eigenvalues[3] / eigenvalues[0], 1e-9 * value);
  EXPECT_EQ(natgrad_spectrum_log_determinant(spectrum.get(), 0.5, &value), NATGRAD_OK);
  EXPECT_NEAR(value, logarithms, 1e-12);
  EXPECT_EQ(natgrad_spectrum_rank(spectrum.get(), -1, &rank), NATGRAD_ERROR_OPTION);

  EXPECT_EQ(natgrad_fisher_reset(fisher.get()), NATGRAD_OK);
  EXPECT_EQ(natgrad_fisher_trace(fisher.get(), &value), NATGRAD_ERROR_ARGUMENT);
}

TEST(c_interface, fisher_matrices_of_coefficients) {
  const Regression r;
  auto options = defaults<natgrad_fisher_options>(natgrad_fisher_options_init);
  options.form = NATGRAD_FORM_DUAL;
  options.refinement = 2;
  const auto fisher = made<natgrad_fisher>(natgrad_fisher_create, r.parameters.get(), &options);
  ASSERT_EQ(natgrad_fisher_accumulate(fisher.get(), r.scores.get()), NATGRAD_OK);
  CountedTensor<double> own(Doubles(4, 0), {regression_size});
  CountedTensor<double> given(Doubles(4, 0), {regression_size});
  CountedTensor<double> twos(Doubles(regression_samples, 2), {regression_samples, 1});
  ASSERT_EQ(natgrad_fisher_solve_rows(fisher.get(), nullptr, own), NATGRAD_OK)
      << natgrad_error_text();
  ASSERT_EQ(natgrad_fisher_solve_rows(fisher.get(), twos, given), NATGRAD_OK)
      << natgrad_error_text();
  const Doubles a = own.numbers();
  const Doubles b = given.numbers();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(2 * a[i], b[i], 1e-12 * std::abs(b[i]));
  EXPECT_NE(a[0], 0);
}

TEST(c_interface, contexts_know_device_and_stream) {
  const auto context = c_context();
  std::int32_t kind = -1;
  std::int32_t index = -1;
  void* stream = nullptr;
  EXPECT_EQ(natgrad_context_device(context.get(), &kind, &index), NATGRAD_OK);
  EXPECT_EQ(kind, static_cast<std::int32_t>(test_device().kind));
  EXPECT_EQ(index, 0);
  if (kind == NATGRAD_CPU) {
    EXPECT_EQ(natgrad_context_stream(context.get(), &stream), NATGRAD_ERROR_DEVICE);
    EXPECT_EQ(natgrad_context_set_stream(context.get(), stream), NATGRAD_ERROR_DEVICE);
    return;
  }
  ASSERT_EQ(natgrad_context_stream(context.get(), &stream), NATGRAD_OK);
  const auto other = made<natgrad_context>(natgrad_context_cuda_on, stream, nullptr);
  void* same = nullptr;
  EXPECT_EQ(natgrad_context_stream(other.get(), &same), NATGRAD_OK);
  EXPECT_EQ(same, stream);
  std::array<double, regression_size> theta = {0.1, -0.2, 0.3, 0.4};
  EXPECT_EQ(regression_train(other.get(), 2, theta.data()), 0) << natgrad_error_text();

  const auto third = c_context();
  ASSERT_EQ(natgrad_context_set_stream(third.get(), stream), NATGRAD_OK) << natgrad_error_text();
  ASSERT_EQ(natgrad_context_stream(third.get(), &same), NATGRAD_OK);
  EXPECT_EQ(same, stream);
  EXPECT_EQ(regression_train(third.get(), 2, theta.data()), 0) << natgrad_error_text();
}

TEST(c_interface, the_process_has_threads) {
  const std::int32_t threads = natgrad_threads();
  EXPECT_GE(threads, 1);
  EXPECT_EQ(natgrad_set_threads(threads), NATGRAD_OK);
  EXPECT_EQ(natgrad_set_threads(0), NATGRAD_ERROR_OPTION);
  std::size_t length = 12345;
  EXPECT_EQ(natgrad_blas_advice(nullptr, 0, &length), NATGRAD_OK);
  EXPECT_NE(length, 12345U);
}

}  // namespace

}  // namespace natgrad::tests
