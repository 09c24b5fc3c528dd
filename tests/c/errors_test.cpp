#include "c/handles.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// What the C interface refuses: one status and one text each, nothing changed, no tensor taken.

namespace natgrad::tests {

namespace {

void expect_failure(natgrad_status status, natgrad_status expected, const std::string& text) {
  EXPECT_EQ(status, expected) << natgrad_error_text();
  EXPECT_EQ(natgrad_error_status(), expected);
  EXPECT_NE(std::string(natgrad_error_text()).find(text), std::string::npos)
      << "\"" << natgrad_error_text() << "\" does not speak of \"" << text << "\"";
}

/// Parameters of a weight (2, 3), dense rows of four samples, an optimizer.
struct Workplace {
  CountedTensor<float> weight{{1, 2, 3, 4, 5, 6}, {2, 3}};
  CountedTensor<float> rows{std::vector<float>(24, 0.5F), {4, 6}};
  Handle<natgrad_context> context = c_context();
  Handle<natgrad_parameters> parameters =
      made<natgrad_parameters>(natgrad_parameters_create, context.get());
  Handle<natgrad_scores> scores;
  Handle<natgrad_scores> layers;
  Handle<natgrad_optimizer> optimizer;

  Workplace() {
    EXPECT_EQ(natgrad_parameters_add(parameters.get(), weight, "weight", nullptr), NATGRAD_OK);
    scores = made<natgrad_scores>(natgrad_scores_create_dense, parameters.get(), NATGRAD_EMPIRICAL);
    layers =
        made<natgrad_scores>(natgrad_scores_create_layers, parameters.get(), NATGRAD_EMPIRICAL);
    optimizer = made<natgrad_optimizer>(natgrad_optimizer_create, parameters.get(), nullptr);
    EXPECT_EQ(natgrad_scores_begin_dense(scores.get(), rows, nullptr), NATGRAD_OK);
    auto set = defaults<natgrad_row_set>(natgrad_row_set_init);
    set.samples = 4;
    EXPECT_EQ(natgrad_scores_begin_layers(layers.get(), &set), NATGRAD_OK);
  }
  natgrad_batch batch() const {
    auto result = defaults<natgrad_batch>(natgrad_batch_init);
    result.fisher = scores.get();
    return result;
  }
};

TEST(c_errors, null_handles) {
  const Workplace w;
  natgrad_context* context = nullptr;
  natgrad_optimizer* optimizer = nullptr;
  std::int64_t number = 0;
  const natgrad_batch batch = w.batch();
  const std::vector<std::pair<const char*, std::function<natgrad_status()>>> calls = {
      {"context is null", [] { return natgrad_context_cpu(nullptr, nullptr); }},
      {"context is null", [] { return natgrad_context_synchronize(nullptr); }},
      {"parameters is null", [] { return natgrad_parameters_create(c_context().get(), nullptr); }},
      {"parameters is null", [&] { return natgrad_parameters_size(nullptr, &number); }},
      {"size is null", [&] { return natgrad_parameters_size(w.parameters.get(), nullptr); }},
      {"tensor is null",
       [&] { return natgrad_parameters_add(w.parameters.get(), nullptr, nullptr, nullptr); }},
      {"parameters is null",
       [&] { return natgrad_optimizer_create(nullptr, nullptr, &optimizer); }},
      {"optimizer is null", [&] { return natgrad_optimizer_step(nullptr, &batch); }},
      {"batch is null", [&] { return natgrad_optimizer_step(w.optimizer.get(), nullptr); }},
      {"batch: fisher is null",
       [&] {
         natgrad_batch none = batch;
         none.fisher = nullptr;
         return natgrad_optimizer_step(w.optimizer.get(), &none);
       }},
      {"rows is null",
       [&] { return natgrad_scores_begin_dense(w.scores.get(), nullptr, nullptr); }},
      {"layer is null", [&] { return natgrad_scores_add(w.layers.get(), nullptr); }},
      {"report is null", [&] { return natgrad_optimizer_report(w.optimizer.get(), nullptr); }},
      {"path is null", [&] { return natgrad_optimizer_save(w.optimizer.get(), nullptr, nullptr); }},
  };
  // A report needs a step.
  ASSERT_EQ(natgrad_optimizer_step(w.optimizer.get(), &batch), NATGRAD_OK) << natgrad_error_text();
  for (const auto& [text, call] : calls) expect_failure(call(), NATGRAD_ERROR_ARGUMENT, text);
  EXPECT_EQ(context, nullptr);
  EXPECT_EQ(optimizer, nullptr);
  // Freeing nothing is none.
  natgrad_context_destroy(nullptr);
  natgrad_parameters_destroy(nullptr);
  natgrad_scores_destroy(nullptr);
  natgrad_optimizer_destroy(nullptr);
  natgrad_tensor_destroy(nullptr);
}

TEST(c_errors, structs_of_another_size) {
  const Workplace w;
  natgrad_optimizer* optimizer = nullptr;
  const auto create = [&](const natgrad_optimizer_options* options) {
    return natgrad_optimizer_create(w.parameters.get(), options, &optimizer);
  };
  auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  options.size = 0;
  expect_failure(create(&options), NATGRAD_ERROR_OPTION, "optimizer options: size is 0");
  options.size = sizeof options - 8;
  expect_failure(create(&options), NATGRAD_ERROR_OPTION, "size is ");
  options.size = std::size_t{1} << 40;
  expect_failure(create(&options), NATGRAD_ERROR_OPTION, "_init function");

  // A newer program's: what this library does not know must be zero.
  struct Newer {
    natgrad_optimizer_options known;
    double unknown;
  };
  auto newer = defaults<Newer>([](Newer* all, std::size_t size) {
    return natgrad_optimizer_options_init(&all->known, size);
  });
  EXPECT_EQ(newer.known.size, sizeof newer);
  EXPECT_EQ(newer.unknown, 0);
  newer.unknown = 1;
  expect_failure(create(&newer.known), NATGRAD_ERROR_OPTION, "newer version");
  newer.unknown = 0;
  EXPECT_EQ(create(&newer.known), NATGRAD_OK) << natgrad_error_text();
  natgrad_optimizer_destroy(optimizer);

  options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  options.reserved = 1;
  expect_failure(create(&options), NATGRAD_ERROR_OPTION, "reserved is 1");

  const natgrad_batch batch = w.batch();
  ASSERT_EQ(natgrad_optimizer_step(w.optimizer.get(), &batch), NATGRAD_OK) << natgrad_error_text();
  natgrad_step_report report;
  report.size = 3;
  expect_failure(natgrad_optimizer_report(w.optimizer.get(), &report), NATGRAD_ERROR_OPTION,
                 "report: size is 3");
}

TEST(c_errors, options_out_of_range) {
  const Workplace w;
  natgrad_optimizer* optimizer = nullptr;
  const auto expect = [&](const char* text, auto change) {
    auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
    auto damping = defaults<natgrad_damping>(natgrad_damping_init, NATGRAD_DAMPING_CONSTANT);
    auto rule = defaults<natgrad_step_rule>(natgrad_step_rule_init, NATGRAD_STEP_FIXED_RATE);
    options.damping = &damping;
    options.step_rule = &rule;
    change(options, damping, rule);
    expect_failure(natgrad_optimizer_create(w.parameters.get(), &options, &optimizer),
                   NATGRAD_ERROR_OPTION, text);
  };
  using Options = natgrad_optimizer_options;
  using Rule = natgrad_step_rule;
  expect("structure", [](Options& o, natgrad_damping&, Rule&) { o.structure = 256; });
  expect("structure", [](Options& o, natgrad_damping&, Rule&) { o.structure = 17; });
  expect("form", [](Options& o, natgrad_damping&, Rule&) { o.form = -1; });
  expect("momentum", [](Options& o, natgrad_damping&, Rule&) { o.momentum = 3; });
  expect("damping: 9", [](Options&, natgrad_damping& d, Rule&) { d.rule = 9; });
  expect("absolute", [](Options&, natgrad_damping& d, Rule&) { d.absolute = -1; });
  expect("step rule: 9", [](Options&, natgrad_damping&, Rule& r) { r.rule = 9; });
  expect("rate", [](Options&, natgrad_damping&, Rule& r) { r.rate = 0; });
  expect("l2_factors: -1", [](Options& o, natgrad_damping&, Rule&) { o.l2_factor_count = -1; });

  const std::vector<std::int32_t> groups = {1};
  auto options = defaults<Options>(natgrad_optimizer_options_init);
  options.structure = NATGRAD_STRUCTURE_BLOCK_DIAGONAL;
  options.groups = groups.data();
  options.group_count = 2;
  expect_failure(natgrad_optimizer_create(w.parameters.get(), &options, &optimizer),
                 NATGRAD_ERROR_ARGUMENT, "2 numbers for 1 segments");
  options.group_count = 1;
  expect_failure(natgrad_optimizer_create(w.parameters.get(), &options, &optimizer),
                 NATGRAD_ERROR_ARGUMENT, "group 1 of segment 0");
  EXPECT_EQ(optimizer, nullptr);
  natgrad_damping damping;
  expect_failure(natgrad_damping_init(&damping, sizeof damping, 5), NATGRAD_ERROR_OPTION,
                 "5 is no rule");
}

TEST(c_errors, tensors) {
  const Workplace w;
  const auto refused = [&](natgrad_status status, const char* text, CountedTensor<float>& tensor) {
    expect_failure(natgrad_scores_begin_dense(w.scores.get(), tensor, nullptr), status, text);
    EXPECT_EQ(tensor.freed, 0) << "it is still the caller's";
    std::int64_t samples = 0;
    EXPECT_EQ(natgrad_scores_samples(w.scores.get(), &samples), NATGRAD_OK);
    EXPECT_EQ(samples, 4) << "the set was lost";
  };
  const std::vector<float> numbers(48, 0.25F);
  const auto expect = [&](natgrad_status status, const char* text, auto change) {
    CountedTensor<float> tensor(numbers, {4, 6}, {6, 1});
    change(tensor.tensor);
    refused(status, text, tensor);
  };
  using Tensor = DLManagedTensorVersioned;
  expect(NATGRAD_ERROR_ARGUMENT, "DLPack version 2.0", [](Tensor& t) { t.version.major = 2; });
  expect(NATGRAD_ERROR_ARGUMENT, "data is null", [](Tensor& t) { t.dl_tensor.data = nullptr; });
  expect(NATGRAD_ERROR_ARGUMENT, "shape is null", [](Tensor& t) { t.dl_tensor.shape = nullptr; });
  expect(NATGRAD_ERROR_ARGUMENT, "not aligned", [](Tensor& t) { t.dl_tensor.byte_offset = 2; });
  expect(NATGRAD_ERROR_TYPE, "bfloat16", [](Tensor& t) { t.dl_tensor.dtype = {kDLBfloat, 16, 1}; });
  expect(NATGRAD_ERROR_TYPE, "float16", [](Tensor& t) { t.dl_tensor.dtype = {kDLFloat, 16, 1}; });
  expect(NATGRAD_ERROR_TYPE, "int64", [](Tensor& t) { t.dl_tensor.dtype = {kDLInt, 64, 1}; });
  expect(NATGRAD_ERROR_TYPE, "float32x4", [](Tensor& t) { t.dl_tensor.dtype = {kDLFloat, 32, 4}; });
  expect(NATGRAD_ERROR_TYPE, "code 77", [](Tensor& t) { t.dl_tensor.dtype = {77, 32, 1}; });
  expect(NATGRAD_ERROR_TYPE, "int32", [](Tensor& t) { t.dl_tensor.dtype = {kDLInt, 32, 1}; });
  expect(NATGRAD_ERROR_DEVICE, "type 10", [](Tensor& t) { t.dl_tensor.device = {kDLROCM, 0}; });
  // On the CPU for a context on a CUDA device, and the other way round.
  expect(NATGRAD_ERROR_DEVICE, "rows", [](Tensor& t) {
    const bool cpu = t.dl_tensor.device.device_type == kDLCPU;
    t.dl_tensor.device = {cpu ? kDLCUDA : kDLCPU, 0};
  });
  expect(NATGRAD_ERROR_SHAPE, "shape (4, 6) with strides (1, 4) would need a copy",
         [](Tensor& t) { t.dl_tensor.strides[0] = 1, t.dl_tensor.strides[1] = 4; });
  expect(NATGRAD_ERROR_SHAPE, "would need a copy", [](Tensor& t) { t.dl_tensor.strides[0] = 0; });
  expect(NATGRAD_ERROR_SHAPE, "would need a copy", [](Tensor& t) { t.dl_tensor.strides[0] = -6; });
  expect(NATGRAD_ERROR_SHAPE, "would need a copy", [](Tensor& t) { t.dl_tensor.strides[0] = 3; });
  expect(NATGRAD_ERROR_SHAPE, "shape (-4, 6)", [](Tensor& t) { t.dl_tensor.shape[0] = -4; });
  expect(NATGRAD_ERROR_SHAPE, "ndim is -1", [](Tensor& t) { t.dl_tensor.ndim = -1; });
  expect(NATGRAD_ERROR_SHAPE, "4 x 5", [](Tensor& t) { t.dl_tensor.shape[1] = 5; });
}

TEST(c_errors, tensors_that_do_not_fit_their_place) {
  const Workplace w;
  CountedTensor<float> other({1, 2}, {2});
  other.tensor.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  expect_failure(natgrad_parameters_add(w.parameters.get(), other, nullptr, nullptr),
                 NATGRAD_ERROR_ARGUMENT, "read-only");
  other.tensor.flags = DLPACK_FLAG_BITMASK_IS_COPIED;
  expect_failure(natgrad_parameters_add(w.parameters.get(), other, nullptr, nullptr),
                 NATGRAD_ERROR_ARGUMENT, "a copy");
  other.tensor.flags = 0;
  CountedTensor<double> wide({1, 2}, {2});
  expect_failure(natgrad_parameters_add(w.parameters.get(), wide, nullptr, nullptr),
                 NATGRAD_ERROR_TYPE, "float64");

  auto layer = defaults<natgrad_layer>(natgrad_layer_init);
  layer.weight = 0;
  CountedTensor<float> input(std::vector<float>(12, 1), {4, 3});
  layer.input = input;
  layer.output_score = input;
  expect_failure(natgrad_scores_add(w.layers.get(), &layer), NATGRAD_ERROR_ARGUMENT,
                 "one tensor is given for two operands");
  CountedTensor<float> score(std::vector<float>(12, 1), {4, 3});
  layer.output_score = score;
  expect_failure(natgrad_scores_add(w.layers.get(), &layer), NATGRAD_ERROR_SHAPE, "output_score");
  layer.bias_terms = 300;
  expect_failure(natgrad_scores_add(w.layers.get(), &layer), NATGRAD_ERROR_OPTION, "bias_terms");
  expect_failure(natgrad_scores_add(w.scores.get(), &layer), NATGRAD_ERROR_ARGUMENT,
                 "not rows from layers");
  expect_failure(natgrad_scores_begin_dense(w.layers.get(), input, nullptr), NATGRAD_ERROR_ARGUMENT,
                 "not dense rows");

  CountedTensor<float> direction(std::vector<float>(6, 0), {6});
  direction.tensor.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  const natgrad_batch batch = w.batch();
  expect_failure(natgrad_optimizer_direction(w.optimizer.get(), &batch, direction),
                 NATGRAD_ERROR_ARGUMENT, "read-only");
  DLManagedTensorVersioned* shared = nullptr;
  expect_failure(natgrad_tensor_share(direction, &shared), NATGRAD_ERROR_ARGUMENT, "not made by");
  EXPECT_EQ(other.freed + wide.freed + input.freed + score.freed + direction.freed, 0);
}

TEST(c_errors, functions_of_the_caller_that_throw) {
  const Workplace w;
  auto rule = defaults<natgrad_step_rule>(natgrad_step_rule_init, NATGRAD_STEP_BACKTRACKING);
  auto options = defaults<natgrad_optimizer_options>(natgrad_optimizer_options_init);
  options.step_rule = &rule;
  options.momentum = NATGRAD_MOMENTUM_NONE;
  const auto optimizer =
      made<natgrad_optimizer>(natgrad_optimizer_create, w.parameters.get(), &options);
  natgrad_batch batch = w.batch();
  expect_failure(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_ERROR_OPTION, "loss");
  batch.loss = [](void*, double*) -> std::int32_t { throw std::runtime_error("no loss today"); };
  expect_failure(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_ERROR_CALLBACK,
                 "loss threw: no loss today");
  batch.loss = [](void*, double*) -> std::int32_t { throw 1; };
  expect_failure(natgrad_optimizer_step(optimizer.get(), &batch), NATGRAD_ERROR_CALLBACK,
                 "no std::exception");
  auto check = natgrad_likelihood_check{};
  check.size = sizeof check;
  expect_failure(
      natgrad_check_scores(
          w.scores.get(), [](void*, double*, std::int64_t) -> std::int32_t { return -3; }, nullptr,
          nullptr, &check, nullptr, 0, nullptr),
      NATGRAD_ERROR_CALLBACK, "log_likelihood returned -3");
  EXPECT_EQ(w.weight.numbers(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(c_errors, ten_failed_steps_in_a_row) {
  Workplace w;
  CountedTensor<float> rows(std::vector<float>(24, std::numeric_limits<float>::quiet_NaN()),
                            {4, 6});
  ASSERT_EQ(natgrad_scores_begin_dense(w.scores.get(), rows, nullptr), NATGRAD_OK);
  const natgrad_batch batch = w.batch();
  natgrad_status status = NATGRAD_OK;
  int steps = 0;
  // On a device the tenth report is found there by a later call.
  for (; steps < 20 && status == NATGRAD_OK; ++steps) {
    status = natgrad_optimizer_step(w.optimizer.get(), &batch);
    EXPECT_EQ(natgrad_context_synchronize(w.context.get()), NATGRAD_OK);
  }
  expect_failure(status, NATGRAD_ERROR_STEP_FAILED, "not_finite");
  EXPECT_GE(steps, 10);
  EXPECT_EQ(w.weight.numbers(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

}  // namespace

}  // namespace natgrad::tests
