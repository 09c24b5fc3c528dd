#include "bindings/c/handles.hpp"
#include "bindings/c/options.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"

#include <utility>

namespace natgrad::c {

namespace {

natgrad_fisher_options fisher_defaults() {
  const FisherMatrix::Options options;
  natgrad_fisher_options defaults = {};
  defaults.size = sizeof defaults;
  defaults.tile_rows = options.tile_rows;
  defaults.gram_type = -1;
  return defaults;
}

FisherMatrix::Options fisher_options_of(const Parameters& parameters,
                                        const natgrad_fisher_options* options) {
  const auto given = read_struct("Fisher matrix options", options, fisher_defaults());
  require_reserved("Fisher matrix options", given.reserved);
  return {.structure = enumerator<Structure>("structure", given.structure),
          .groups = groups_of(parameters, given.groups, given.group_count),
          .form = enumerator<Form>("form", given.form),
          .damping = damping_of(given.damping),
          .samples = given.samples,
          .tile_rows = given.tile_rows,
          .gram_type = gram_type_of(given.gram_type),
          .refinement = given.refinement,
          .allow_tf32 = given.allow_tf32 != 0};
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_fisher_options_init(natgrad_fisher_options* options, size_t size) {
  return guarded([&] { write_struct("Fisher matrix options", options, size, fisher_defaults()); });
}

natgrad_status natgrad_fisher_create(const natgrad_parameters* parameters,
                                     const natgrad_fisher_options* options,
                                     natgrad_fisher** fisher) {
  return guarded([&] {
    const natgrad_parameters& all = required("parameters", parameters);
    natgrad_fisher*& result = required("fisher", fisher);
    natgrad::FisherMatrix value(all.value, fisher_options_of(all.value, options));
    result = new natgrad_fisher{.parameter_tensors = all.tensors, .value = std::move(value)};
  });
}

void natgrad_fisher_destroy(natgrad_fisher* fisher) { delete fisher; }

natgrad_status natgrad_fisher_reset(natgrad_fisher* fisher) {
  return guarded([&] { required("fisher", fisher).value.reset(); });
}

natgrad_status natgrad_fisher_accumulate(natgrad_fisher* fisher, const natgrad_scores* scores) {
  return guarded(
      [&] { required("fisher", fisher).value.accumulate(required("scores", scores).rows()); });
}

natgrad_status natgrad_fisher_numbers(const natgrad_fisher* fisher, int64_t* size, int64_t* samples,
                                      int32_t* form) {
  return guarded([&] {
    const natgrad::FisherMatrix& value = required("fisher", fisher).value;
    if (size != nullptr) *size = value.size();
    if (samples != nullptr) *samples = value.samples();
    if (form != nullptr) *form = static_cast<std::int32_t>(value.form());
  });
}

natgrad_status natgrad_fisher_solve_rows(natgrad_fisher* fisher,
                                         const DLManagedTensorVersioned* coefficients,
                                         const DLManagedTensorVersioned* direction) {
  return guarded([&] {
    required("fisher", fisher)
        .value.solve(natgrad::Coefficients{optional_view_of("coefficients", coefficients)},
                     writable_view_of("direction", direction));
  });
}

natgrad_status natgrad_fisher_solve(natgrad_fisher* fisher,
                                    const DLManagedTensorVersioned* gradient, double scale,
                                    const DLManagedTensorVersioned* direction) {
  return guarded([&] {
    required("fisher", fisher)
        .value.solve(natgrad::Gradient{view_of("gradient", gradient), scale},
                     writable_view_of("direction", direction));
  });
}

natgrad_status natgrad_fisher_set_damping(natgrad_fisher* fisher, const natgrad_damping* damping) {
  return guarded([&] {
    required("damping", damping);
    required("fisher", fisher).value.set_damping(damping_of(damping));
  });
}

natgrad_status natgrad_fisher_apply(const natgrad_fisher* fisher,
                                    const DLManagedTensorVersioned* vector,
                                    const DLManagedTensorVersioned* product) {
  return guarded([&] {
    required("fisher", fisher)
        .value.apply(view_of("vector", vector), writable_view_of("product", product));
  });
}

natgrad_status natgrad_fisher_quadratic_form(const natgrad_fisher* fisher,
                                             const DLManagedTensorVersioned* vector,
                                             double* value) {
  return guarded([&] {
    double& result = required("value", value);
    result = required("fisher", fisher).value.quadratic_form(view_of("vector", vector));
  });
}

natgrad_status natgrad_fisher_trace(const natgrad_fisher* fisher, double* value) {
  return guarded([&] { required("value", value) = required("fisher", fisher).value.trace(); });
}

natgrad_status natgrad_fisher_diagonal(const natgrad_fisher* fisher,
                                       const DLManagedTensorVersioned* diagonal) {
  return guarded(
      [&] { required("fisher", fisher).value.diagonal(writable_view_of("diagonal", diagonal)); });
}

natgrad_status natgrad_fisher_to_dense(const natgrad_fisher* fisher,
                                       const DLManagedTensorVersioned* matrix) {
  return guarded(
      [&] { required("fisher", fisher).value.to_dense(writable_view_of("matrix", matrix)); });
}

natgrad_status natgrad_fisher_inverse_diagonal(natgrad_fisher* fisher,
                                               const DLManagedTensorVersioned* diagonal,
                                               int32_t* outcome) {
  return guarded([&] {
    std::int32_t& result = required("outcome", outcome);
    result = static_cast<std::int32_t>(
        required("fisher", fisher).value.inverse_diagonal(writable_view_of("diagonal", diagonal)));
  });
}

natgrad_status natgrad_fisher_least_norm(const natgrad_fisher* fisher,
                                         const DLManagedTensorVersioned* gradient, double scale,
                                         double tolerance,
                                         const DLManagedTensorVersioned* direction,
                                         int32_t* outcome) {
  return guarded([&] {
    std::int32_t& result = required("outcome", outcome);
    result = static_cast<std::int32_t>(
        required("fisher", fisher)
            .value.least_norm({view_of("gradient", gradient), scale}, tolerance,
                              writable_view_of("direction", direction)));
  });
}

natgrad_status natgrad_fisher_report(const natgrad_fisher* fisher, natgrad_solve_report* report) {
  return guarded([&] {
    write_struct("report", report, report_of(required("fisher", fisher).value.report()));
  });
}

natgrad_status natgrad_fisher_spectrum(const natgrad_fisher* fisher, natgrad_spectrum** spectrum) {
  return guarded([&] {
    const natgrad::FisherMatrix& value = required("fisher", fisher).value;
    natgrad_spectrum*& result = required("spectrum", spectrum);
    result = new natgrad_spectrum{value.spectrum()};
  });
}

natgrad_status natgrad_spectrum_numbers(const natgrad_spectrum* spectrum, int32_t* outcome,
                                        const double** eigenvalues, int64_t* count) {
  return guarded([&] {
    const natgrad::Spectrum& value = required("spectrum", spectrum).value;
    if (outcome != nullptr) *outcome = static_cast<std::int32_t>(value.outcome);
    if (eigenvalues != nullptr) *eigenvalues = value.eigenvalues.data();
    if (count != nullptr) *count = static_cast<std::int64_t>(value.eigenvalues.size());
  });
}

natgrad_status natgrad_spectrum_rank(const natgrad_spectrum* spectrum, double tolerance,
                                     int64_t* rank) {
  return guarded(
      [&] { required("rank", rank) = required("spectrum", spectrum).value.rank(tolerance); });
}

natgrad_status natgrad_spectrum_condition(const natgrad_spectrum* spectrum, double damping,
                                          double* condition) {
  return guarded([&] {
    required("condition", condition) = required("spectrum", spectrum).value.condition(damping);
  });
}

natgrad_status natgrad_spectrum_log_determinant(const natgrad_spectrum* spectrum, double damping,
                                                double* value) {
  return guarded([&] {
    required("value", value) = required("spectrum", spectrum).value.log_determinant(damping);
  });
}

void natgrad_spectrum_destroy(natgrad_spectrum* spectrum) { delete spectrum; }
