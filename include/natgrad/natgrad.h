#ifndef NATGRAD_NATGRAD_H
#define NATGRAD_NATGRAD_H

/* natgrad's interface for C and for whatever calls C. It is the C++ interface under other names:
 * what a function costs, when it waits and what a number means stands in the C++ header that its
 * section names. docs/linking.md shows a program.
 *
 * Errors. Every function that can fail returns a `natgrad_status`; where it is not NATGRAD_OK,
 * nothing has changed, and `natgrad_error_text` says what was wrong. No exception crosses the
 * border. Failure of numbers (NaN, a singular matrix) is no error but an outcome in the report.
 *
 * Structs begin with their size, so that older programs run with a newer library and the other way
 * round. Fill one by its `_init` function, which sets it to the defaults, and change fields.
 * A struct that is larger than the library's is refused (NATGRAD_ERROR_OPTION) unless the rest is
 * zero; what a smaller one lacks has its default. Structs that the library fills are cut or
 * followed by zeros in the same way. A null pointer to options stands for the defaults.
 *
 * Tensors are DLPack's (`struct DLManagedTensorVersioned` of dlpack.h 1.x, or of natgrad/dlpack.h):
 * float32, float64, and int32 where it is said, in memory of the context's device. A pointer
 * without `const` is taken over once the call has returned NATGRAD_OK: the library calls the
 * tensor's deleter when it is done with it. Where the call failed the tensor is still the caller's.
 * A pointer to `const` is looked at during the call only; its memory, which the call may write,
 * stays valid until the work of the call has run. Strides and offsets are honoured; a tensor whose
 * layout would need a copy is refused (NATGRAD_ERROR_SHAPE), never copied.
 *
 * Handles are freed by their `_destroy` function, in any order, also null: what is made from a
 * handle keeps what it needs. One context, and what is made from it, is used by one thread at a
 * time. */

#include "natgrad/export.hpp" /* macros alone, which are C, too */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct DLManagedTensorVersioned;

/* ---- Errors (natgrad/error.hpp) ------------------------------------------------------------- */

typedef int32_t natgrad_status;
enum {
  NATGRAD_OK = 0,
  NATGRAD_ERROR_ARGUMENT = 1, /* an operand that is missing, used twice, or of another object */
  NATGRAD_ERROR_SHAPE = 2,    /* shapes or layouts that do not fit */
  NATGRAD_ERROR_TYPE = 3,     /* an element type that the function does not take */
  NATGRAD_ERROR_DEVICE = 4,   /* memory of another device, or a driver that fails */
  NATGRAD_ERROR_OPTION = 5,   /* an option out of its range, or a struct of another size */
  NATGRAD_ERROR_FILE = 6,
  NATGRAD_ERROR_MEMORY = 7,
  NATGRAD_ERROR_STEP_FAILED = 8, /* ten steps in a row were not accepted */
  NATGRAD_ERROR_OTHER = 9,
  NATGRAD_ERROR_CALLBACK = 10 /* a function of the caller's returned non-zero, or threw */
};

/* The text of the last call of this thread that failed, UTF-8, valid until the next one fails;
 * empty before the first. */
NATGRAD_EXPORT const char* natgrad_error_text(void);
/* The status of that call. */
NATGRAD_EXPORT natgrad_status natgrad_error_status(void);

/* Texts of the library are copied to `buffer`, cut to `capacity` bytes with a null byte at the end;
 * `length`, which may be null, gets the bytes of the whole text without that. A null `buffer` with
 * capacity 0 asks for the length alone. */

/* "0.1.0". */
NATGRAD_EXPORT const char* natgrad_version_text(void);

/* ---- The process (natgrad/process.hpp) ------------------------------------------------------ */

NATGRAD_EXPORT natgrad_status natgrad_set_threads(int32_t count);
NATGRAD_EXPORT int32_t natgrad_threads(void);
/* A line "VARIABLE=VALUE: why" for each environment variable that the BLAS of this process should
 * have been started with; empty where all is well. */
NATGRAD_EXPORT natgrad_status natgrad_blas_advice(char* buffer, size_t capacity, size_t* length);

/* ---- Contexts (natgrad/context.hpp) --------------------------------------------------------- */

enum { NATGRAD_CPU = 0, NATGRAD_CUDA = 1 };                           /* kinds of devices */
enum { NATGRAD_INT32 = 0, NATGRAD_FLOAT32 = 1, NATGRAD_FLOAT64 = 2 }; /* types of elements */

typedef struct natgrad_context natgrad_context;

typedef struct {
  size_t size;
  /* Where memory comes from, both or none: aligned to 64 bytes, on a CUDA device to 256; null where
   * there is none. `stream`: the CUDA stream on which it is used. They outlive the context and all
   * that is made from it. */
  void* (*allocate)(void* user, size_t bytes, void* stream);
  void (*deallocate)(void* user, void* memory, size_t bytes, void* stream);
  void* allocator_user;
  /* Is called with each warning, one line; null: warnings are dropped. */
  void (*on_warning)(void* user, const char* text);
  void* warning_user;
} natgrad_context_options;

NATGRAD_EXPORT natgrad_status natgrad_context_options_init(natgrad_context_options* options,
                                                           size_t size);
NATGRAD_EXPORT natgrad_status natgrad_context_cpu(const natgrad_context_options* options,
                                                  natgrad_context** context);
/* On the current CUDA device, on a stream of its own. */
NATGRAD_EXPORT natgrad_status natgrad_context_cuda(const natgrad_context_options* options,
                                                   natgrad_context** context);
/* On a stream of the caller's, a cudaStream_t, which outlives the context and all that is made from
 * it. */
NATGRAD_EXPORT natgrad_status natgrad_context_cuda_on(void* stream,
                                                      const natgrad_context_options* options,
                                                      natgrad_context** context);
/* On the current CUDA device where there is one, else on the CPU. */
NATGRAD_EXPORT natgrad_status natgrad_context_best(const natgrad_context_options* options,
                                                   natgrad_context** context);
NATGRAD_EXPORT void natgrad_context_destroy(natgrad_context* context);

/* `kind`: NATGRAD_CPU or NATGRAD_CUDA. */
NATGRAD_EXPORT natgrad_status natgrad_context_device(const natgrad_context* context, int32_t* kind,
                                                     int32_t* index);
/* The cudaStream_t of a context on a CUDA device (NATGRAD_ERROR_DEVICE elsewhere). */
NATGRAD_EXPORT natgrad_status natgrad_context_stream(const natgrad_context* context, void** stream);
/* Orders the work on another stream of the same device from the next call on, behind what was
 * queued before. */
NATGRAD_EXPORT natgrad_status natgrad_context_set_stream(const natgrad_context* context,
                                                         void* stream);
/* Waits until all work of the context is done. */
NATGRAD_EXPORT natgrad_status natgrad_context_synchronize(const natgrad_context* context);

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Allocates an array (rows, columns) on the context's device, elements not initialized. */
NATGRAD_EXPORT natgrad_status natgrad_tensor_new(const natgrad_context* context, int64_t rows,
                                                 int64_t columns, int32_t type,
                                                 struct DLManagedTensorVersioned** tensor);
/* A tensor (rows, columns) over memory of the caller's, which stays the caller's: the tensor frees
 * nothing. `leading_dimension`: elements from one row to the next; 0: rows are adjacent. */
NATGRAD_EXPORT natgrad_status natgrad_tensor_view(void* data, int32_t type, int64_t rows,
                                                  int64_t columns, int64_t leading_dimension,
                                                  int32_t device_kind, int32_t device_index,
                                                  struct DLManagedTensorVersioned** tensor);
/* Another tensor of the same memory, which lives until both are freed: to give an array of
 * `natgrad_tensor_new`, and no other (NATGRAD_ERROR_ARGUMENT), to the library and keep it. */
NATGRAD_EXPORT natgrad_status natgrad_tensor_share(const struct DLManagedTensorVersioned* tensor,
                                                   struct DLManagedTensorVersioned** other);
/* The address of the first element. */
NATGRAD_EXPORT void* natgrad_tensor_data(const struct DLManagedTensorVersioned* tensor);
/* Calls the tensor's deleter, if it has one. */
NATGRAD_EXPORT void natgrad_tensor_destroy(struct DLManagedTensorVersioned* tensor);

/* Copy all elements of a contiguous tensor from and to host memory. Wait. */
NATGRAD_EXPORT natgrad_status natgrad_tensor_write(const natgrad_context* context, const void* host,
                                                   const struct DLManagedTensorVersioned* tensor);
NATGRAD_EXPORT natgrad_status natgrad_tensor_read(const natgrad_context* context,
                                                  const struct DLManagedTensorVersioned* tensor,
                                                  void* host);
/* to[i] = from[rows[i]] (natgrad/gather.hpp); `rows`: int32. */
NATGRAD_EXPORT natgrad_status natgrad_gather_rows(const natgrad_context* context,
                                                  const struct DLManagedTensorVersioned* from,
                                                  const struct DLManagedTensorVersioned* rows,
                                                  const struct DLManagedTensorVersioned* to);

/* ---- Parameters (natgrad/parameters.hpp) ---------------------------------------------------- */

typedef struct natgrad_parameters natgrad_parameters;

NATGRAD_EXPORT natgrad_status natgrad_parameters_create(const natgrad_context* context,
                                                        natgrad_parameters** parameters);
NATGRAD_EXPORT void natgrad_parameters_destroy(natgrad_parameters* parameters);
/* Adds a tensor, which steps move in place: (n), or (d_out, ...), whose last axes together are the
 * d_in columns of a weight, as (d_out, channels, height, width) of a convolution. It is held until
 * the parameters and all made from them are destroyed. A tensor that is read-only or says that it
 * is a copy is refused (NATGRAD_ERROR_ARGUMENT). `name` may be null; `segment`, which may be null,
 * gets the number by which layers and factors name the tensor: 0, 1, ... */
NATGRAD_EXPORT natgrad_status natgrad_parameters_add(natgrad_parameters* parameters,
                                                     struct DLManagedTensorVersioned* tensor,
                                                     const char* name, int32_t* segment);
/* Puts another tensor of the same shape in the place of a segment's, which is let go of. On a CUDA
 * device it waits for the work so far. */
NATGRAD_EXPORT natgrad_status natgrad_parameters_rebind(natgrad_parameters* parameters,
                                                        int32_t segment,
                                                        struct DLManagedTensorVersioned* tensor);
NATGRAD_EXPORT natgrad_status natgrad_parameters_size(const natgrad_parameters* parameters,
                                                      int64_t* size);
NATGRAD_EXPORT natgrad_status natgrad_parameters_segments(const natgrad_parameters* parameters,
                                                          int32_t* count);
/* The place of a tensor's first number among the P. */
NATGRAD_EXPORT natgrad_status natgrad_parameters_offset(const natgrad_parameters* parameters,
                                                        int32_t segment, int64_t* offset);
NATGRAD_EXPORT natgrad_status natgrad_parameters_name(const natgrad_parameters* parameters,
                                                      int32_t segment, char* buffer,
                                                      size_t capacity, size_t* length);
/* Copy all parameters to and from P contiguous numbers. */
NATGRAD_EXPORT natgrad_status natgrad_parameters_gather(
    const natgrad_parameters* parameters, const struct DLManagedTensorVersioned* array);
NATGRAD_EXPORT natgrad_status natgrad_parameters_scatter(
    const natgrad_parameters* parameters, const struct DLManagedTensorVersioned* array);

/* ---- Scores (natgrad/scores.hpp) ------------------------------------------------------------ */

/* What the rows are. */
enum { NATGRAD_EMPIRICAL = 0, NATGRAD_SAMPLED = 1, NATGRAD_EXACT = 2, NATGRAD_RESIDUAL = 3 };
enum { NATGRAD_CENTERING_NONE = 0, NATGRAD_CENTERING_ROWS = 1, NATGRAD_CENTERING_FISHER_ONLY = 2 };
enum { NATGRAD_BIAS_EVERY_TERM = 0, NATGRAD_BIAS_FIRST_TERM = 1 };

typedef struct natgrad_scores natgrad_scores;

/* RowSet. */
typedef struct {
  size_t size;
  int64_t samples;                               /* N; of dense rows 0: as many as there are */
  int64_t batch_samples;                         /* M; 0: this set is the whole batch */
  struct DLManagedTensorVersioned* weights;      /* (N) or (N, 1), taken over; null: 1/M */
  double weight;                                 /* of all rows where `weights` is null; 0: 1/M */
  struct DLManagedTensorVersioned* coefficients; /* (N) or (N, 1), taken over; null: 1 */
  double scale;                                  /* of every row; default 1 */
  int32_t centering;
  int32_t reserved; /* 0 */
  int64_t parts;    /* rows of a sample, 1 or 2; default 1 */
} natgrad_row_set;

/* LayerScores::Layer. */
typedef struct {
  size_t size;
  int32_t weight; /* segment; -1: none */
  int32_t bias;   /* segment; -1: none */
  /* (rows of terms, d_in), the terms of a row adjacent, or with more axes whose last is d_in, such
   * as (N, T, d_in); (n) is a column. Or int32 of any shape: the rows of an embedding's weight
   * (words, d_out), one a term. Taken over; null without a weight. */
  struct DLManagedTensorVersioned* input;
  /* (rows of terms, d_out), or (N, T, d_out); (n) is a column. Taken over. */
  struct DLManagedTensorVersioned* output_score;
  int64_t terms; /* T; default 1 */
  int32_t bias_terms;
  int32_t reserved;       /* 0 */
  int64_t first_row;      /* the rows of the set that have this use */
  int64_t row_count;      /* 0: all from `first_row` on */
  int64_t rows_per_input; /* default 1 */
} natgrad_layer;

/* ScoresCheck. */
typedef struct {
  size_t size;
  double distance;
  double factor;
  double distance_scaled;
  int64_t uncovered; /* parameters that no row touches */
} natgrad_scores_check;

NATGRAD_EXPORT natgrad_status natgrad_row_set_init(natgrad_row_set* set, size_t size);
NATGRAD_EXPORT natgrad_status natgrad_layer_init(natgrad_layer* layer, size_t size);

NATGRAD_EXPORT natgrad_status natgrad_scores_create_dense(const natgrad_parameters* parameters,
                                                          int32_t kind, natgrad_scores** scores);
NATGRAD_EXPORT natgrad_status natgrad_scores_create_layers(const natgrad_parameters* parameters,
                                                           int32_t kind, natgrad_scores** scores);
NATGRAD_EXPORT void natgrad_scores_destroy(natgrad_scores* scores);
/* The tensors of a set are held until it is begun anew, released or destroyed, and then until the
 * work queued so far has run; on a GPU a later call lets go of them. */
NATGRAD_EXPORT natgrad_status natgrad_scores_begin_dense(natgrad_scores* scores,
                                                         struct DLManagedTensorVersioned* rows,
                                                         const natgrad_row_set* set);
NATGRAD_EXPORT natgrad_status natgrad_scores_begin_layers(natgrad_scores* scores,
                                                          const natgrad_row_set* set);
NATGRAD_EXPORT natgrad_status natgrad_scores_add(natgrad_scores* scores,
                                                 const natgrad_layer* layer);
/* Forgets the set. Does not wait. */
NATGRAD_EXPORT natgrad_status natgrad_scores_release(natgrad_scores* scores);
NATGRAD_EXPORT natgrad_status natgrad_scores_samples(const natgrad_scores* scores,
                                                     int64_t* samples);
/* g = S^T r, P contiguous numbers. */
NATGRAD_EXPORT natgrad_status natgrad_scores_gradient(
    const natgrad_scores* scores, const struct DLManagedTensorVersioned* gradient);
/* Compares S^T r with a gradient of the caller's, P contiguous numbers. `text`: see above. */
NATGRAD_EXPORT natgrad_status natgrad_scores_compare(
    const natgrad_scores* scores, const struct DLManagedTensorVersioned* gradient,
    natgrad_scores_check* check, char* text, size_t capacity, size_t* length);

/* A number of the caller's: the function enqueues work on the context's stream that writes one
 * double to `result`, which is in memory of the context's device. `user` is the pointer that stands
 * beside the function. A value other than 0 ends the call with NATGRAD_ERROR_CALLBACK, and
 * parameters and optimizer are as before it. It must neither change the parameters nor call the
 * optimizer. */
typedef int32_t (*natgrad_number_function)(void* user, double* result);
/* Writes log p of each of `rows` rows, doubles in memory of the context's device. */
typedef int32_t (*natgrad_rows_function)(void* user, double* log_p, int64_t rows);

/* LikelihoodCheck::Options and LikelihoodCheck (natgrad/check_scores.hpp). */
typedef struct {
  size_t size;
  int64_t directions;
  uint64_t seed;
  double step;
  double tolerance;
} natgrad_likelihood_check_options;
typedef struct {
  size_t size;
  double distance;
  double factor;
  double distance_scaled;
  int64_t rows_off;
  int64_t worst_row;
  double worst_product;
  double worst_difference;
  int64_t uncovered;
} natgrad_likelihood_check;

NATGRAD_EXPORT natgrad_status
natgrad_likelihood_check_options_init(natgrad_likelihood_check_options* options, size_t size);
/* Compares the rows with differences of log p. */
NATGRAD_EXPORT natgrad_status natgrad_check_scores(const natgrad_scores* scores,
                                                   natgrad_rows_function log_likelihood, void* user,
                                                   const natgrad_likelihood_check_options* options,
                                                   natgrad_likelihood_check* check, char* text,
                                                   size_t capacity, size_t* length);

/* ---- Damping, step rules and outcomes (natgrad/damping.hpp, natgrad/natural_gradient.hpp) ---- */

enum {
  NATGRAD_DAMPING_CONSTANT = 0,
  NATGRAD_DAMPING_SCHEDULE = 1,
  NATGRAD_DAMPING_LEVENBERG_MARQUARDT = 2
};
enum { NATGRAD_SCALING_IDENTITY = 0, NATGRAD_SCALING_TENSOR = 1, NATGRAD_SCALING_DIAGONAL = 2 };

typedef struct {
  size_t size;
  double absolute;
  double relative;
  int32_t scaling;
  int32_t rule;
  double factor;   /* schedule and Levenberg-Marquardt */
  double floor;    /* schedule */
  double smallest; /* Levenberg-Marquardt */
  double largest;
  int32_t allow_empirical;
  int32_t reserved; /* 0 */
} natgrad_damping;
/* The defaults of a rule. */
NATGRAD_EXPORT natgrad_status natgrad_damping_init(natgrad_damping* damping, size_t size,
                                                   int32_t rule);

enum {
  NATGRAD_STEP_FIXED_RATE = 0,
  NATGRAD_STEP_KL_TRUST_REGION = 1,
  NATGRAD_STEP_BACKTRACKING = 2,
  NATGRAD_STEP_QUADRATIC_MODEL = 3
};
typedef struct {
  size_t size;
  int32_t rule;
  int32_t allow_empirical;    /* KL trust region, quadratic model */
  double rate;                /* all but the KL trust region */
  double radius;              /* KL trust region */
  double max_rate;            /* KL trust region */
  double shrink;              /* KL trust region, backtracking */
  double sufficient_decrease; /* backtracking */
  int64_t trials;             /* KL trust region, backtracking */
} natgrad_step_rule;
/* The defaults of a rule. */
NATGRAD_EXPORT natgrad_status natgrad_step_rule_init(natgrad_step_rule* rule, size_t size,
                                                     int32_t which);

enum {
  NATGRAD_ACCEPTED = 0,
  NATGRAD_REJECTED = 1,
  NATGRAD_NOT_FINITE = 2,
  NATGRAD_NOT_POSITIVE_DEFINITE = 3
};
enum { NATGRAD_FORM_AUTOMATIC = 0, NATGRAD_FORM_PRIMAL = 1, NATGRAD_FORM_DUAL = 2 };
enum {
  NATGRAD_STRUCTURE_FULL = 0,
  NATGRAD_STRUCTURE_BLOCK_DIAGONAL = 1,
  NATGRAD_STRUCTURE_DIAGONAL = 2
};
enum { NATGRAD_MOMENTUM_NONE = 0, NATGRAD_MOMENTUM_HEAVY_BALL = 1, NATGRAD_MOMENTUM_SPRING = 2 };
enum { NATGRAD_DECAY_NONE = 0, NATGRAD_DECAY_LINEAR = 1, NATGRAD_DECAY_COSINE = 2 };

/* A factor of one tensor. */
typedef struct {
  int32_t segment;
  int32_t reserved; /* 0 */
  double factor;
} natgrad_segment_factor;

/* SolveReport. */
typedef struct {
  size_t size;
  int32_t outcome;
  int32_t structure;
  int32_t form;
  int32_t reserved;
  double damping;
  double residual;
  double error_bound;
  double quadratic_form;
} natgrad_solve_report;

/* ---- The optimizer (natgrad/natural_gradient.hpp) ------------------------------------------- */

typedef struct natgrad_optimizer natgrad_optimizer;
typedef struct natgrad_plan natgrad_plan;

/* NaturalGradient::Options. */
typedef struct {
  size_t size;
  const natgrad_damping* damping;     /* null: the default */
  const natgrad_step_rule* step_rule; /* null: the default, a fixed rate of 0.3 */
  int32_t rate_decay;
  int32_t momentum; /* default: SPRING */
  int64_t rate_decay_steps;
  double momentum_decay;
  double max_norm;
  double weight_decay;
  double l2;
  const natgrad_segment_factor* l2_factors;
  int64_t l2_factor_count;
  const natgrad_segment_factor* rate_factors;
  int64_t rate_factor_count;
  const natgrad_segment_factor* weight_decay_factors;
  int64_t weight_decay_factor_count;
  const int32_t* groups; /* the group 0, 1, ... of every segment; null: by layers */
  int64_t group_count;   /* how many numbers `groups` has: the number of segments */
  int32_t structure;
  int32_t form;
  int32_t gram_type; /* NATGRAD_FLOAT32 or NATGRAD_FLOAT64; -1: the parameters' */
  int32_t refinement;
  int32_t allow_tf32;
  int32_t reserved;      /* 0 */
  int64_t memory_budget; /* bytes; 0: no limit */
} natgrad_optimizer_options;

/* Batch. The gradient comes from the rows of `fisher`, from other rows, or from numbers. */
typedef struct {
  size_t size;
  const natgrad_scores* fisher;
  const natgrad_scores* gradient_rows;             /* null: see `gradient` */
  const struct DLManagedTensorVersioned* gradient; /* P numbers; null: of the rows */
  double gradient_scale;                           /* default 1; -1 for that of a loss */
  natgrad_number_function loss;                    /* null where no rule needs it */
  void* loss_user;
  natgrad_number_function kl;
  void* kl_user;
} natgrad_batch;

/* Which numbers of a step report are there. */
enum {
  NATGRAD_HAS_PREDICTED_KL = 1,
  NATGRAD_HAS_LOSS_BEFORE = 2,
  NATGRAD_HAS_LOSS_AFTER = 4,
  NATGRAD_HAS_ACTUAL_KL = 8,
  NATGRAD_HAS_REDUCTION_RATIO = 16,
  NATGRAD_HAS_MODEL_RATE = 32,
  NATGRAD_HAS_MOMENTUM = 64
};
/* Where a step met NaN or Inf. */
enum {
  NATGRAD_IN_NOTHING = 0,
  NATGRAD_IN_ROWS = 1,
  NATGRAD_IN_COEFFICIENTS = 2,
  NATGRAD_IN_GRADIENT = 3,
  NATGRAD_IN_SOLUTION = 4,
  NATGRAD_IN_PARAMETERS = 5,
  NATGRAD_IN_LOSS = 6
};
/* StepReport; numbers that are not there (`present`) are NaN. */
typedef struct {
  size_t size;
  int64_t step;
  int32_t outcome;
  int32_t not_finite;
  int32_t structure;
  int32_t form;
  double rate;
  double damping;
  double quadratic_form;
  double residual;
  double error_bound;
  int64_t failures_in_a_row;
  int64_t trials;
  int64_t present; /* NATGRAD_HAS_... */
  double predicted_kl;
  double loss_before;
  double loss_after;
  double actual_kl;
  double reduction_ratio;
  double model_rate;
  double momentum;
} natgrad_step_report;

/* ScoresShape::Layer, and ScoresShape (natgrad/memory_plan.hpp). */
typedef struct {
  int64_t inputs;
  int64_t outputs;
  int64_t terms;
  int64_t rows;
  int64_t rows_per_input;
} natgrad_layer_shape;
enum { NATGRAD_GRADIENT_ROWS = 0, NATGRAD_GRADIENT_NUMBERS = 1, NATGRAD_GRADIENT_OTHER_ROWS = 2 };
typedef struct {
  size_t size;
  int64_t samples;
  int64_t batch_samples;
  const natgrad_layer_shape* layers; /* null: dense rows */
  int64_t layer_count;
  int32_t gradient;
  int32_t centering;
} natgrad_scores_shape;

NATGRAD_EXPORT natgrad_status natgrad_optimizer_options_init(natgrad_optimizer_options* options,
                                                             size_t size);
NATGRAD_EXPORT natgrad_status natgrad_batch_init(natgrad_batch* batch, size_t size);
NATGRAD_EXPORT natgrad_status natgrad_scores_shape_init(natgrad_scores_shape* shape, size_t size);

NATGRAD_EXPORT natgrad_status natgrad_optimizer_create(const natgrad_parameters* parameters,
                                                       const natgrad_optimizer_options* options,
                                                       natgrad_optimizer** optimizer);
NATGRAD_EXPORT void natgrad_optimizer_destroy(natgrad_optimizer* optimizer);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_step(natgrad_optimizer* optimizer,
                                                     const natgrad_batch* batch);
/* A step in parts: `accumulate` each, then `step_accumulated`, or `discard`. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_accumulate(natgrad_optimizer* optimizer,
                                                           const natgrad_batch* batch);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_step_accumulated(natgrad_optimizer* optimizer);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_discard(natgrad_optimizer* optimizer);
/* The direction d, P contiguous numbers, without momentum and rate; changes no state. */
NATGRAD_EXPORT natgrad_status
natgrad_optimizer_direction(natgrad_optimizer* optimizer, const natgrad_batch* batch,
                            const struct DLManagedTensorVersioned* direction);
/* Takes a step and hands it out instead of moving the parameters: P contiguous numbers that the
 * step would have added. Of a batch, or of what was accumulated. */
NATGRAD_EXPORT natgrad_status
natgrad_optimizer_propose(natgrad_optimizer* optimizer, const natgrad_batch* batch,
                          const struct DLManagedTensorVersioned* step);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_propose_accumulated(
    natgrad_optimizer* optimizer, const struct DLManagedTensorVersioned* step);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_direction_report(const natgrad_optimizer* optimizer,
                                                                 natgrad_solve_report* report);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_set_rate(natgrad_optimizer* optimizer, double rate);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_set_damping(natgrad_optimizer* optimizer,
                                                            const natgrad_damping* damping);
/* Replace all factors; tensors that are not named get 1. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_set_rate_factors(
    natgrad_optimizer* optimizer, const natgrad_segment_factor* factors, int64_t count);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_set_weight_decay_factors(
    natgrad_optimizer* optimizer, const natgrad_segment_factor* factors, int64_t count);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_reset_momentum(natgrad_optimizer* optimizer);
/* Set `report->size` before. Waits. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_report(natgrad_optimizer* optimizer,
                                                       natgrad_step_report* report);
/* The steps that finished since the last call, oldest first, at most `capacity`; those left over
 * come with the next call. `reports`: structs of `size` bytes each. Does not wait. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_reports(natgrad_optimizer* optimizer,
                                                        natgrad_step_report* reports, size_t size,
                                                        int64_t capacity, int64_t* count);

/* The memory of a step (natgrad/memory_plan.hpp), of a batch or of a shape. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_plan(const natgrad_optimizer* optimizer,
                                                     const natgrad_batch* batch,
                                                     natgrad_plan** plan);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_plan_shape(const natgrad_optimizer* optimizer,
                                                           const natgrad_scores_shape* shape,
                                                           natgrad_plan** plan);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_reserve(natgrad_optimizer* optimizer,
                                                        const natgrad_plan* plan);
/* Each pointer may be null. */
NATGRAD_EXPORT natgrad_status natgrad_plan_numbers(const natgrad_plan* plan, int64_t* bytes,
                                                   int64_t* scratch_bytes, int32_t* form);
NATGRAD_EXPORT natgrad_status natgrad_plan_text(const natgrad_plan* plan, char* buffer,
                                                size_t capacity, size_t* length);
NATGRAD_EXPORT void natgrad_plan_destroy(natgrad_plan* plan);

/* ---- Checkpoints (natgrad/checkpoint.hpp) --------------------------------------------------- */

typedef struct natgrad_checkpoint natgrad_checkpoint;

typedef struct natgrad_bytes natgrad_bytes;

/* Bytes that the caller keeps beside the optimizer, by name. */
typedef struct {
  const char* name;
  const void* data;
  int64_t bytes;
} natgrad_blob;

typedef struct {
  size_t size;
  const natgrad_blob* blobs;
  int64_t blob_count;
  int32_t without_parameters; /* 1: they are left out, and stay as they are on restoring */
  int32_t reserved;           /* 0 */
} natgrad_save_options;

NATGRAD_EXPORT natgrad_status natgrad_save_options_init(natgrad_save_options* options, size_t size);
NATGRAD_EXPORT natgrad_status natgrad_optimizer_save(const natgrad_optimizer* optimizer,
                                                     const char* path,
                                                     const natgrad_save_options* options);
/* The bytes of the file that `natgrad_optimizer_save` would write. */
NATGRAD_EXPORT natgrad_status natgrad_optimizer_save_to_memory(const natgrad_optimizer* optimizer,
                                                               const natgrad_save_options* options,
                                                               natgrad_bytes** bytes);
/* `data` is valid until the bytes are destroyed. */
NATGRAD_EXPORT natgrad_status natgrad_bytes_data(const natgrad_bytes* bytes, const void** data,
                                                 int64_t* size);
NATGRAD_EXPORT void natgrad_bytes_destroy(natgrad_bytes* bytes);
NATGRAD_EXPORT natgrad_status natgrad_checkpoint_read(const char* path,
                                                      natgrad_checkpoint** checkpoint);
/* The same of the bytes of a file, which are copied. */
NATGRAD_EXPORT natgrad_status natgrad_checkpoint_read_memory(const void* data, int64_t bytes,
                                                             natgrad_checkpoint** checkpoint);
NATGRAD_EXPORT natgrad_status natgrad_checkpoint_restore(const natgrad_checkpoint* checkpoint,
                                                         natgrad_optimizer* optimizer);
NATGRAD_EXPORT natgrad_status natgrad_checkpoint_blobs(const natgrad_checkpoint* checkpoint,
                                                       int64_t* count);
/* Blob `index` in the order of the names; valid until the checkpoint is destroyed. */
NATGRAD_EXPORT natgrad_status natgrad_checkpoint_blob(const natgrad_checkpoint* checkpoint,
                                                      int64_t index, natgrad_blob* blob);
NATGRAD_EXPORT void natgrad_checkpoint_destroy(natgrad_checkpoint* checkpoint);

/* ---- Fisher matrices (natgrad/fisher_matrix.hpp, natgrad/spectrum.hpp) ----------------------- */

typedef struct natgrad_fisher natgrad_fisher;
typedef struct natgrad_spectrum natgrad_spectrum;

/* FisherMatrix::Options. */
typedef struct {
  size_t size;
  const natgrad_damping* damping; /* null: the default */
  const int32_t* groups;          /* the group of every segment; null: by layers */
  int64_t group_count;
  int64_t samples;
  int64_t tile_rows;
  int32_t structure;
  int32_t form;
  int32_t gram_type; /* -1: the parameters' */
  int32_t refinement;
  int32_t allow_tf32;
  int32_t reserved; /* 0 */
} natgrad_fisher_options;

NATGRAD_EXPORT natgrad_status natgrad_fisher_options_init(natgrad_fisher_options* options,
                                                          size_t size);
NATGRAD_EXPORT natgrad_status natgrad_fisher_create(const natgrad_parameters* parameters,
                                                    const natgrad_fisher_options* options,
                                                    natgrad_fisher** fisher);
NATGRAD_EXPORT void natgrad_fisher_destroy(natgrad_fisher* fisher);
NATGRAD_EXPORT natgrad_status natgrad_fisher_reset(natgrad_fisher* fisher);
NATGRAD_EXPORT natgrad_status natgrad_fisher_accumulate(natgrad_fisher* fisher,
                                                        const natgrad_scores* scores);
/* Each pointer may be null. `size`: P; `samples`: rows accumulated. */
NATGRAD_EXPORT natgrad_status natgrad_fisher_numbers(const natgrad_fisher* fisher, int64_t* size,
                                                     int64_t* samples, int32_t* form);
/* (F + lambda I)^-1 S^T r; `coefficients` (N) or (N, 1), null: those of the rows. */
NATGRAD_EXPORT natgrad_status natgrad_fisher_solve_rows(
    natgrad_fisher* fisher, const struct DLManagedTensorVersioned* coefficients,
    const struct DLManagedTensorVersioned* direction);
/* (F + lambda I)^-1 (scale g), of P numbers, or of R gradients (R, P). */
NATGRAD_EXPORT natgrad_status
natgrad_fisher_solve(natgrad_fisher* fisher, const struct DLManagedTensorVersioned* gradient,
                     double scale, const struct DLManagedTensorVersioned* direction);
NATGRAD_EXPORT natgrad_status natgrad_fisher_set_damping(natgrad_fisher* fisher,
                                                         const natgrad_damping* damping);
NATGRAD_EXPORT natgrad_status natgrad_fisher_apply(const natgrad_fisher* fisher,
                                                   const struct DLManagedTensorVersioned* vector,
                                                   const struct DLManagedTensorVersioned* product);
NATGRAD_EXPORT natgrad_status natgrad_fisher_quadratic_form(
    const natgrad_fisher* fisher, const struct DLManagedTensorVersioned* vector, double* value);
NATGRAD_EXPORT natgrad_status natgrad_fisher_trace(const natgrad_fisher* fisher, double* value);
NATGRAD_EXPORT natgrad_status natgrad_fisher_diagonal(
    const natgrad_fisher* fisher, const struct DLManagedTensorVersioned* diagonal);
/* F as a full (P, P) array. */
NATGRAD_EXPORT natgrad_status natgrad_fisher_to_dense(
    const natgrad_fisher* fisher, const struct DLManagedTensorVersioned* matrix);
/* The diagonal of (F + lambda I)^-1. `outcome`: NATGRAD_ACCEPTED, ... */
NATGRAD_EXPORT natgrad_status natgrad_fisher_inverse_diagonal(
    natgrad_fisher* fisher, const struct DLManagedTensorVersioned* diagonal, int32_t* outcome);
/* F^+ (scale g) with the eigenvalues above `tolerance` times the largest one. */
NATGRAD_EXPORT natgrad_status natgrad_fisher_least_norm(
    const natgrad_fisher* fisher, const struct DLManagedTensorVersioned* gradient, double scale,
    double tolerance, const struct DLManagedTensorVersioned* direction, int32_t* outcome);
NATGRAD_EXPORT natgrad_status natgrad_fisher_report(const natgrad_fisher* fisher,
                                                    natgrad_solve_report* report);

NATGRAD_EXPORT natgrad_status natgrad_fisher_spectrum(const natgrad_fisher* fisher,
                                                      natgrad_spectrum** spectrum);
/* `eigenvalues`: `count` doubles, ascending, valid until the spectrum is destroyed. Each pointer
 * may be null. */
NATGRAD_EXPORT natgrad_status natgrad_spectrum_numbers(const natgrad_spectrum* spectrum,
                                                       int32_t* outcome, const double** eigenvalues,
                                                       int64_t* count);
NATGRAD_EXPORT natgrad_status natgrad_spectrum_rank(const natgrad_spectrum* spectrum,
                                                    double tolerance, int64_t* rank);
NATGRAD_EXPORT natgrad_status natgrad_spectrum_condition(const natgrad_spectrum* spectrum,
                                                         double damping, double* condition);
NATGRAD_EXPORT natgrad_status natgrad_spectrum_log_determinant(const natgrad_spectrum* spectrum,
                                                               double damping, double* value);
NATGRAD_EXPORT void natgrad_spectrum_destroy(natgrad_spectrum* spectrum);

#ifdef __cplusplus
}
#endif

#endif
