/* A classifier in C: one layer with a softmax, whose points, gradients and parameters are this
 * program's own arrays. natgrad takes the steps. */

#include <natgrad/natgrad.h>

#include <math.h>
#include <stdio.h>

enum { samples = 300, inputs = 2, classes = 3, steps = 30 };

static float weight[classes * inputs];
static float bias[classes];
static float input[samples * inputs];
static float score[samples * classes]; /* d log p / d output */
static int label[samples];

/* Prints what went wrong, once. */
static int failed(natgrad_status status) {
  if (status == NATGRAD_OK) return 0;
  fprintf(stderr, "natgrad: %s (status %d)\n", natgrad_error_text(), (int)status);
  return 1;
}

/* Three clouds of points. */
static void make_data(void) {
  unsigned state = 1;
  for (int n = 0; n < samples; ++n) {
    label[n] = n % classes;
    for (int i = 0; i < inputs; ++i) {
      state = state * 1664525u + 1013904223u;
      const float noise = (float)(state >> 8) / 16777216.0f - 0.5f;
      const double angle = 2.1 * label[n] - 1.57 * i; /* its cosine, then its sine */
      input[n * inputs + i] = (float)cos(angle) + noise;
    }
  }
}

/* Forward and backward pass: fills `score`, returns the mean of -log p. */
static double pass(void) {
  double loss = 0;
  for (int n = 0; n < samples; ++n) {
    double p[classes];
    double sum = 0;
    for (int k = 0; k < classes; ++k) {
      double z = bias[k];
      for (int i = 0; i < inputs; ++i) z += weight[k * inputs + i] * input[n * inputs + i];
      p[k] = exp(z);
      sum += p[k];
    }
    loss -= log(p[label[n]] / sum) / samples;
    for (int k = 0; k < classes; ++k) {
      score[n * classes + k] = (float)((k == label[n]) - p[k] / sum);
    }
  }
  return loss;
}

// [shown]
/* A tensor over an array of this program's. natgrad frees the description, never the array. */
static struct DLManagedTensorVersioned* tensor(float* data, int rows, int columns) {
  struct DLManagedTensorVersioned* result = NULL;
  failed(natgrad_tensor_view(data, NATGRAD_FLOAT32, rows, columns, 0, NATGRAD_CPU, 0, &result));
  return result; /* what takes a null tensor says so */
}

int main(void) {
  natgrad_context* context = NULL;
  natgrad_parameters* parameters = NULL;
  natgrad_optimizer* optimizer = NULL;
  natgrad_scores* scores = NULL;
  natgrad_optimizer_options options;
  int32_t w = -1;
  int32_t b = -1;
  double loss = 0;
  int wrong = 0;

  make_data();
  if (failed(natgrad_context_cpu(NULL, &context)) ||
      failed(natgrad_parameters_create(context, &parameters)) ||
      failed(natgrad_parameters_add(parameters, tensor(weight, classes, inputs), "weight", &w)) ||
      failed(natgrad_parameters_add(parameters, tensor(bias, classes, 1), "bias", &b)) ||
      failed(natgrad_optimizer_options_init(&options, sizeof options)) ||
      failed(natgrad_optimizer_create(parameters, &options, &optimizer)) ||
      failed(natgrad_scores_create_layers(parameters, NATGRAD_EMPIRICAL, &scores))) {
    return 1;
  }

  for (int step = 0; step < steps && !wrong; ++step) {
    natgrad_row_set set;
    natgrad_layer layer;
    natgrad_batch batch;
    loss = pass();
    if (step % 10 == 0) printf("step %2d  loss %.4f\n", step, loss);
    wrong = failed(natgrad_row_set_init(&set, sizeof set)) ||
            failed(natgrad_layer_init(&layer, sizeof layer)) ||
            failed(natgrad_batch_init(&batch, sizeof batch));
    set.samples = samples;
    layer.weight = w;
    layer.bias = b;
    layer.input = tensor(input, samples, inputs);
    layer.output_score = tensor(score, samples, classes);
    batch.fisher = scores;
    wrong = wrong || failed(natgrad_scores_begin_layers(scores, &set)) ||
            failed(natgrad_scores_add(scores, &layer)) ||
            failed(natgrad_optimizer_step(optimizer, &batch));
  }
  // [end]
  loss = pass();
  printf("step %2d  loss %.4f\n", steps, loss);

  natgrad_scores_destroy(scores);
  natgrad_optimizer_destroy(optimizer);
  natgrad_parameters_destroy(parameters);
  natgrad_context_destroy(context);
  return wrong || loss > 0.2;
}
