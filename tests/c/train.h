#ifndef NATGRAD_TESTS_C_TRAIN_H
#define NATGRAD_TESTS_C_TRAIN_H

/* Two small models that a C program trains through natgrad.h alone, and their batches, from which
 * the C++ tests take the same steps. Functions that return int return 0, or the line that failed.
 */

#include "natgrad/natgrad.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Logistic regression, double: theta of 4, rows and weights of 12 samples. */
enum { regression_samples = 12, regression_size = 4 };
/* d log p / d theta of every sample, and log p where `log_p` is not null. */
void regression_rows(const double* theta, double* rows, double* log_p);
int regression_train(natgrad_context* context, int steps, double* theta);

/* 3 - tanh 4 - 2 with a softmax, float: theta is w1 (4, 3), b1 (4), w2 (2, 4), b2 (2). */
enum { net_samples = 16, net_inputs = 3, net_hidden = 4, net_outputs = 2, net_size = 26 };
typedef struct {
  float input[net_samples * net_inputs];
  float hidden[net_samples * net_hidden];
  float score1[net_samples * net_hidden];
  float score2[net_samples * net_outputs];
  double loss; /* the mean of -log p */
} net_batch;
void net_start(float* theta);
void net_pass(const float* theta, net_batch* batch);
int net_train(natgrad_context* context, int steps, float* theta);

/* A step by backtracking whose loss function fails when it is called for the n-th time, from 1; 0:
 * never. Gives the status of the step, and how often it was called. */
int net_backtrack(natgrad_context* context, int fail_at, natgrad_status* status, int* calls,
                  float* theta);

#ifdef __cplusplus
}
#endif

#endif
