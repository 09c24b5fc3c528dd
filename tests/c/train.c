#include "train.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Every line that fails ends the function with its number. */
#define CHECK(condition)               \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)
#define CALL(call) CHECK((call) == NATGRAD_OK)

typedef struct DLManagedTensorVersioned tensor;

/* Numbers in [-1, 1) that are the same everywhere. */
static double number(uint32_t* state) {
  *state = *state * 1664525u + 1013904223u;
  return (double)(*state >> 8) / (double)(1u << 23) - 1.0;
}

void regression_rows(const double* theta, double* rows, double* log_p) {
  uint32_t state = 1;
  for (int n = 0; n < regression_samples; ++n) {
    double* row = rows + n * regression_size;
    double z = 0;
    for (int i = 0; i < regression_size; ++i) {
      row[i] = number(&state);
      z += row[i] * theta[i];
    }
    const double label = row[0] + 0.5 * row[1] + 0.3 * number(&state) > 0 ? 1 : 0;
    const double p = 1 / (1 + exp(-z));
    if (log_p != NULL) log_p[n] = label > 0.5 ? log(p) : log(1 - p);
    for (int i = 0; i < regression_size; ++i) row[i] *= label - p;
  }
}

/* A new array on the context's device with these numbers. */
static natgrad_status upload(natgrad_context* context, const void* numbers, int32_t type,
                             int64_t rows, int64_t columns, tensor** array) {
  natgrad_status status = natgrad_tensor_new(context, rows, columns, type, array);
  if (status != NATGRAD_OK) return status;
  status = natgrad_tensor_write(context, numbers, *array);
  if (status != NATGRAD_OK) {
    natgrad_tensor_destroy(*array);
    *array = NULL;
  }
  return status;
}

int regression_train(natgrad_context* context, int steps, double* theta) {
  natgrad_parameters* parameters = NULL;
  natgrad_scores* scores = NULL;
  natgrad_optimizer* optimizer = NULL;
  tensor* array = NULL;
  tensor* own = NULL;
  double rows[regression_samples * regression_size];

  CALL(natgrad_parameters_create(context, &parameters));
  CALL(upload(context, theta, NATGRAD_FLOAT64, regression_size, 1, &array));
  CALL(natgrad_tensor_share(array, &own));
  CALL(natgrad_parameters_add(parameters, array, "theta", NULL));

  natgrad_damping damping;
  CALL(natgrad_damping_init(&damping, sizeof damping, NATGRAD_DAMPING_CONSTANT));
  damping.absolute = 1e-3;
  natgrad_optimizer_options options;
  CALL(natgrad_optimizer_options_init(&options, sizeof options));
  options.damping = &damping;
  options.momentum = NATGRAD_MOMENTUM_NONE;
  options.form = NATGRAD_FORM_PRIMAL;
  CALL(natgrad_optimizer_create(parameters, &options, &optimizer));
  CALL(natgrad_scores_create_dense(parameters, NATGRAD_EMPIRICAL, &scores));
  natgrad_parameters_destroy(parameters); /* the others keep what they need */

  for (int step = 0; step < steps; ++step) {
    regression_rows(theta, rows, NULL);
    CALL(upload(context, rows, NATGRAD_FLOAT64, regression_samples, regression_size, &array));
    CALL(natgrad_scores_begin_dense(scores, array, NULL));
    natgrad_batch batch;
    CALL(natgrad_batch_init(&batch, sizeof batch));
    batch.fisher = scores;
    CALL(natgrad_optimizer_step(optimizer, &batch));
    CALL(natgrad_tensor_read(context, own, theta));
    natgrad_step_report report;
    report.size = sizeof report;
    CALL(natgrad_optimizer_report(optimizer, &report));
    CHECK(report.outcome == NATGRAD_ACCEPTED && report.step == step + 1);
    CHECK(report.form == NATGRAD_FORM_PRIMAL && report.present == 0);
  }
  natgrad_optimizer_destroy(optimizer);
  natgrad_scores_destroy(scores);
  natgrad_tensor_destroy(own);
  return 0;
}

void net_start(float* theta) {
  uint32_t state = 2;
  for (int i = 0; i < net_size; ++i) theta[i] = (float)number(&state);
}

void net_pass(const float* theta, net_batch* batch) {
  const float* w1 = theta;
  const float* b1 = w1 + net_hidden * net_inputs;
  const float* w2 = b1 + net_hidden;
  const float* b2 = w2 + net_outputs * net_hidden;
  uint32_t state = 3;
  batch->loss = 0;
  for (int n = 0; n < net_samples; ++n) {
    float* x = batch->input + n * net_inputs;
    float* a = batch->hidden + n * net_hidden;
    float* d1 = batch->score1 + n * net_hidden;
    float* d2 = batch->score2 + n * net_outputs;
    for (int i = 0; i < net_inputs; ++i) x[i] = (float)number(&state);
    const int label = x[0] * x[1] > 0 ? 1 : 0;
    for (int j = 0; j < net_hidden; ++j) {
      float z = b1[j];
      for (int i = 0; i < net_inputs; ++i) z += w1[j * net_inputs + i] * x[i];
      a[j] = tanhf(z);
    }
    float z[net_outputs];
    double sum = 0;
    for (int k = 0; k < net_outputs; ++k) {
      z[k] = b2[k];
      for (int j = 0; j < net_hidden; ++j) z[k] += w2[k * net_hidden + j] * a[j];
      sum += exp((double)z[k]);
    }
    batch->loss += (log(sum) - (double)z[label]) / net_samples;
    for (int k = 0; k < net_outputs; ++k) {
      d2[k] = (float)((k == label ? 1 : 0) - exp((double)z[k]) / sum);
    }
    for (int j = 0; j < net_hidden; ++j) {
      float back = 0;
      for (int k = 0; k < net_outputs; ++k) back += d2[k] * w2[k * net_hidden + j];
      d1[j] = back * (1 - a[j] * a[j]);
    }
  }
}

/* The model with the library's objects about it. */
typedef struct {
  natgrad_context* context;
  natgrad_parameters* parameters;
  natgrad_scores* scores;
  natgrad_optimizer* optimizer;
  tensor* own[4]; /* the parameters again, to read them */
  int32_t segment[4];
  int calls; /* of the loss function */
  int fail_at;
} net;

static const int net_rows[4] = {net_hidden, net_hidden, net_outputs, net_outputs};
static const int net_columns[4] = {net_inputs, 1, net_hidden, 1};

static int net_create(net* self, natgrad_context* context, const float* theta,
                      const natgrad_optimizer_options* options) {
  memset(self, 0, sizeof *self);
  self->context = context;
  CALL(natgrad_parameters_create(context, &self->parameters));
  for (int i = 0; i < 4; ++i) {
    tensor* array = NULL;
    CALL(upload(context, theta, NATGRAD_FLOAT32, net_rows[i], net_columns[i], &array));
    CALL(natgrad_tensor_share(array, &self->own[i]));
    CALL(natgrad_parameters_add(self->parameters, array, NULL, &self->segment[i]));
    theta += net_rows[i] * net_columns[i];
  }
  CALL(natgrad_optimizer_create(self->parameters, options, &self->optimizer));
  CALL(natgrad_scores_create_layers(self->parameters, NATGRAD_EMPIRICAL, &self->scores));
  return 0;
}

static void net_destroy(net* self) {
  natgrad_optimizer_destroy(self->optimizer);
  natgrad_scores_destroy(self->scores);
  natgrad_parameters_destroy(self->parameters);
  for (int i = 0; i < 4; ++i) natgrad_tensor_destroy(self->own[i]);
}

static int net_read(const net* self, float* theta) {
  for (int i = 0; i < 4; ++i) {
    CALL(natgrad_tensor_read(self->context, self->own[i], theta));
    theta += net_rows[i] * net_columns[i];
  }
  return 0;
}

/* One layer of the batch. The library takes the arrays over. */
static int net_add(net* self, int layer, const float* input, const float* score) {
  natgrad_layer use;
  CALL(natgrad_layer_init(&use, sizeof use));
  use.weight = self->segment[2 * layer];
  use.bias = self->segment[2 * layer + 1];
  CALL(upload(self->context, input, NATGRAD_FLOAT32, net_samples, net_columns[2 * layer],
              &use.input));
  CALL(upload(self->context, score, NATGRAD_FLOAT32, net_samples, net_rows[2 * layer],
              &use.output_score));
  CALL(natgrad_scores_add(self->scores, &use));
  return 0;
}

static int net_begin(net* self, const net_batch* batch) {
  natgrad_row_set set;
  CALL(natgrad_row_set_init(&set, sizeof set));
  set.samples = net_samples;
  CALL(natgrad_scores_begin_layers(self->scores, &set));
  CHECK(net_add(self, 0, batch->input, batch->score1) == 0);
  CHECK(net_add(self, 1, batch->hidden, batch->score2) == 0);
  return 0;
}

int net_train(natgrad_context* context, int steps, float* theta) {
  net model;
  net_batch batch;
  natgrad_optimizer_options options;
  CALL(natgrad_optimizer_options_init(&options, sizeof options));
  options.form = NATGRAD_FORM_DUAL;
  CHECK(net_create(&model, context, theta, &options) == 0);
  for (int step = 0; step < steps; ++step) {
    net_pass(theta, &batch);
    CHECK(net_begin(&model, &batch) == 0);
    natgrad_batch given;
    CALL(natgrad_batch_init(&given, sizeof given));
    given.fisher = model.scores;
    CALL(natgrad_optimizer_step(model.optimizer, &given));
    CHECK(net_read(&model, theta) == 0);
  }
  int64_t count = 0;
  natgrad_step_report reports[64];
  CALL(natgrad_context_synchronize(context));
  CALL(natgrad_optimizer_reports(model.optimizer, reports, sizeof reports[0], 2, &count));
  CHECK(count == 2 && reports[0].step == 1 && reports[1].step == 2);
  CALL(natgrad_optimizer_reports(model.optimizer, reports, sizeof reports[0], 64, &count));
  CHECK(count == steps - 2 && reports[0].step == 3);
  net_destroy(&model);
  return 0;
}

/* The loss at the parameters as they stand. */
static int32_t net_loss(void* user, double* result) {
  net* self = user;
  float theta[net_size];
  net_batch batch;
  if (++self->calls == self->fail_at) return 7;
  if (net_read(self, theta) != 0) return 1;
  net_pass(theta, &batch);
  int32_t kind = NATGRAD_CPU;
  int32_t index = 0;
  if (natgrad_context_device(self->context, &kind, &index) != NATGRAD_OK) return 2;
  tensor* array = NULL;
  if (natgrad_tensor_view(result, NATGRAD_FLOAT64, 1, 1, 0, kind, index, &array) != NATGRAD_OK) {
    return 3;
  }
  const natgrad_status status = natgrad_tensor_write(self->context, &batch.loss, array);
  natgrad_tensor_destroy(array);
  return status == NATGRAD_OK ? 0 : 4;
}

int net_backtrack(natgrad_context* context, int fail_at, natgrad_status* status, int* calls,
                  float* theta) {
  net model;
  net_batch batch;
  natgrad_step_rule rule;
  CALL(natgrad_step_rule_init(&rule, sizeof rule, NATGRAD_STEP_BACKTRACKING));
  rule.trials = 3;
  natgrad_optimizer_options options;
  CALL(natgrad_optimizer_options_init(&options, sizeof options));
  options.step_rule = &rule;
  options.momentum = NATGRAD_MOMENTUM_NONE;
  CHECK(net_create(&model, context, theta, &options) == 0);
  model.fail_at = fail_at;
  net_pass(theta, &batch);
  CHECK(net_begin(&model, &batch) == 0);
  natgrad_batch given;
  CALL(natgrad_batch_init(&given, sizeof given));
  given.fisher = model.scores;
  given.loss = net_loss;
  given.loss_user = &model;
  *status = natgrad_optimizer_step(model.optimizer, &given);
  *calls = model.calls;
  CHECK(net_read(&model, theta) == 0);
  if (*status == NATGRAD_OK) {
    natgrad_step_report report;
    report.size = sizeof report;
    CALL(natgrad_optimizer_report(model.optimizer, &report));
    CHECK(report.outcome == NATGRAD_ACCEPTED && report.trials >= 1);
    CHECK((report.present & NATGRAD_HAS_LOSS_BEFORE) != 0 && report.loss_before == batch.loss);
    CHECK((report.present & NATGRAD_HAS_LOSS_AFTER) != 0 && report.loss_after < batch.loss);
    CHECK((report.present & NATGRAD_HAS_PREDICTED_KL) == 0 && isnan(report.predicted_kl));
  }
  net_destroy(&model);
  return 0;
}
