#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"

#include <initializer_list>
#include <memory>
#include <utility>

namespace natgrad::c {

namespace {

using detail::message;

natgrad_row_set row_set_defaults() {
  natgrad_row_set defaults = {};
  defaults.size = sizeof defaults;
  defaults.scale = RowSet().scale;
  defaults.parts = RowSet().parts;
  return defaults;
}

natgrad_layer layer_defaults() {
  const LayerScores::Layer layer;
  natgrad_layer defaults = {};
  defaults.size = sizeof defaults;
  defaults.weight = -1;
  defaults.bias = -1;
  defaults.terms = layer.terms;
  defaults.bias_terms = static_cast<std::int32_t>(layer.bias_terms);
  defaults.rows_per_input = layer.rows_per_input;
  return defaults;
}

natgrad_likelihood_check_options check_defaults() {
  const LikelihoodCheck::Options options;
  natgrad_likelihood_check_options defaults = {};
  defaults.size = sizeof defaults;
  defaults.directions = options.directions;
  defaults.seed = options.seed;
  return defaults;
}

SharedTensors owner_of(std::initializer_list<DLManagedTensorVersioned*> tensors) {
  return std::make_shared<TensorOwner>(tensors);
}

RowSet row_set_of(const natgrad_row_set& given, SharedTensors owner) {
  require_reserved("row set", given.reserved);
  return {.samples = given.samples,
          .batch_samples = given.batch_samples,
          .weights = optional_view_of("weights", given.weights),
          .weight = given.weight,
          .coefficients = optional_view_of("coefficients", given.coefficients),
          .scale = given.scale,
          .centering = enumerator<Centering>("centering", given.centering),
          .parts = given.parts,
          .owner = std::move(owner)};
}

template <class Rows>
Rows& rows_of(natgrad_scores* scores, const char* wanted) {
  auto* rows = std::get_if<Rows>(&required("scores", scores).value);
  if (rows == nullptr) throw ArgumentError(message("scores: these are not ", wanted));
  return *rows;
}

template <class Kind>
natgrad_status create_scores(const natgrad_parameters* parameters, int32_t kind,
                             natgrad_scores** scores) {
  return guarded([&] {
    const natgrad_parameters& all = required("parameters", parameters);
    natgrad_scores*& result = required("scores", scores);
    Kind rows(all.value, {.kind = enumerator<FisherKind>("kind", kind)});
    result = new natgrad_scores{all.tensors, std::move(rows)};
  });
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_row_set_init(natgrad_row_set* set, size_t size) {
  return guarded([&] { write_struct("row set", set, size, row_set_defaults()); });
}

natgrad_status natgrad_layer_init(natgrad_layer* layer, size_t size) {
  return guarded([&] { write_struct("layer", layer, size, layer_defaults()); });
}

natgrad_status natgrad_likelihood_check_options_init(natgrad_likelihood_check_options* options,
                                                     size_t size) {
  return guarded([&] { write_struct("check options", options, size, check_defaults()); });
}

natgrad_status natgrad_scores_create_dense(const natgrad_parameters* parameters, int32_t kind,
                                           natgrad_scores** scores) {
  return create_scores<natgrad::DenseScores>(parameters, kind, scores);
}

natgrad_status natgrad_scores_create_layers(const natgrad_parameters* parameters, int32_t kind,
                                            natgrad_scores** scores) {
  return create_scores<natgrad::LayerScores>(parameters, kind, scores);
}

void natgrad_scores_destroy(natgrad_scores* scores) { delete scores; }

natgrad_status natgrad_scores_begin_dense(natgrad_scores* scores, DLManagedTensorVersioned* rows,
                                          const natgrad_row_set* set) {
  return guarded([&] {
    auto& dense = rows_of<natgrad::DenseScores>(scores, "dense rows");
    const auto given = read_struct("row set", set, row_set_defaults());
    const auto owner = owner_of({rows, given.weights, given.coefficients});
    dense.begin(view_of("rows", rows), row_set_of(given, owner));
    owner->take();
  });
}

natgrad_status natgrad_scores_begin_layers(natgrad_scores* scores, const natgrad_row_set* set) {
  return guarded([&] {
    auto& layers = rows_of<natgrad::LayerScores>(scores, "rows from layers");
    const auto given = read_struct("row set", set, row_set_defaults());
    const auto owner = owner_of({given.weights, given.coefficients});
    layers.begin(row_set_of(given, owner));
    owner->take();
  });
}

natgrad_status natgrad_scores_add(natgrad_scores* scores, const natgrad_layer* layer) {
  return guarded([&] {
    auto& layers = rows_of<natgrad::LayerScores>(scores, "rows from layers");
    required("layer", layer);
    const auto given = read_struct("layer", layer, layer_defaults());
    require_reserved("layer", given.reserved);
    const auto owner = owner_of({given.input, given.output_score});
    const bool indices = given.input != nullptr && given.input->dl_tensor.dtype.code == kDLInt;
    layers.add({.weight = {given.weight},
                .bias = {given.bias},
                .input = optional_view_of("input", given.input,
                                          indices ? Rows::every_axis : Rows::all_but_columns),
                .output_score =
                    optional_view_of("output_score", given.output_score, Rows::all_but_columns),
                .terms = given.terms,
                .bias_terms = enumerator<natgrad::Bias>("bias_terms", given.bias_terms),
                .rows = {given.first_row, given.row_count},
                .rows_per_input = given.rows_per_input,
                .owner = owner});
    owner->take();
  });
}

natgrad_status natgrad_scores_release(natgrad_scores* scores) {
  return guarded([&] {
    std::visit([](natgrad::Scores& rows) { rows.clear(); }, required("scores", scores).value);
  });
}

natgrad_status natgrad_scores_samples(const natgrad_scores* scores, int64_t* samples) {
  return guarded(
      [&] { required("samples", samples) = required("scores", scores).rows().samples(); });
}

natgrad_status natgrad_scores_gradient(const natgrad_scores* scores,
                                       const DLManagedTensorVersioned* gradient) {
  return guarded(
      [&] { required("scores", scores).rows().gradient(writable_view_of("gradient", gradient)); });
}

natgrad_status natgrad_scores_compare(const natgrad_scores* scores,
                                      const DLManagedTensorVersioned* gradient,
                                      natgrad_scores_check* check, char* text, size_t capacity,
                                      size_t* length) {
  return guarded([&] {
    const natgrad::ScoresCheck result =
        required("scores", scores).rows().check(view_of("gradient", gradient));
    natgrad_scores_check own = {};
    own.distance = result.distance;
    own.factor = result.factor;
    own.distance_scaled = result.distance_scaled;
    own.uncovered = static_cast<std::int64_t>(result.uncovered.size());
    write_struct("check", check, own);
    copy_text(result.text, text, capacity, length);
  });
}

natgrad_status natgrad_check_scores(const natgrad_scores* scores,
                                    natgrad_rows_function log_likelihood, void* user,
                                    const natgrad_likelihood_check_options* options,
                                    natgrad_likelihood_check* check, char* text, size_t capacity,
                                    size_t* length) {
  return guarded([&] {
    const natgrad::Scores& rows = required("scores", scores).rows();
    if (log_likelihood == nullptr) throw natgrad::ArgumentError("log_likelihood is null");
    const auto given = read_struct("check options", options, check_defaults());
    constexpr std::int64_t most_directions = 1'000'000;
    if (given.directions < 1 || given.directions > most_directions) {
      throw natgrad::OptionError(
          natgrad::detail::message("check options: directions is ", given.directions));
    }
    const natgrad::LikelihoodCheck result = natgrad::check_scores(
        rows,
        [&](const natgrad::View& log_p) {
          call_back("log_likelihood", log_likelihood, user, log_p.as<double>(), log_p.rows());
        },
        {.directions = static_cast<int>(given.directions),
         .seed = given.seed,
         .step = given.step,
         .tolerance = given.tolerance});
    natgrad_likelihood_check own = {};
    own.distance = result.distance;
    own.factor = result.factor;
    own.distance_scaled = result.distance_scaled;
    own.rows_off = result.rows_off;
    own.worst_row = result.worst_row;
    own.worst_product = result.worst_product;
    own.worst_difference = result.worst_difference;
    own.uncovered = static_cast<std::int64_t>(result.uncovered.size());
    write_struct("check", check, own);
    copy_text(result.text, text, capacity, length);
  });
}
