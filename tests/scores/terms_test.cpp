#include "core/context_state.hpp"
#include "natgrad/natgrad.hpp"
#include "scores/score_set.hpp"
#include "support/convolution_model.hpp"
#include "support/device.hpp"
#include "support/numeric_layer.hpp"
#include "support/plain.hpp"
#include "support/recurrent_model.hpp"
#include "support/reference_backend.hpp"
#include "support/residual_model.hpp"
#include "support/tolerance.hpp"
#include "support/use_scores.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// Rows of several terms, shared weights, row ranges and dense blocks of whole models, against rows
// that complex steps give of the models' values alone, and against the naive backend.

namespace natgrad::tests {

namespace {

/// What the project asks for, in double. Complex steps have no error but rounding: a row that were
/// of lower precision anywhere on its way, or that lacked a term, would be beyond it.
constexpr double agreement = 1e-8;

/// A model at some parameters.
struct Case {
  std::string name;
  std::size_t samples = 0;
  std::vector<TensorShape> tensors;
  Numbers theta;
  std::vector<NumericLayer> uses;                 // by the model's backward pass
  Table rows;                                     // by complex steps
  std::function<Numbers(const Numbers&)> values;  // of which the rows are the derivatives

  Numbers weights() const {
    Numbers w = Random(7).numbers(samples);
    for (double& value : w) value = (0.5 + std::abs(value)) / static_cast<double>(samples);
    return w;
  }
  Numbers coefficients() const { return Random(8).numbers(samples); }
  Table S() const { return weighted(rows, weights()); }
  Numbers r() const { return right_hand_side(weights(), coefficients()); }
};

template <class Model>
Case case_of(const std::string& name, const Model& model) {
  const std::vector<TensorShape> tensors = model.tensors();
  const Numbers theta = Random(5).numbers(offsets_of(tensors).back());
  return {.name = name + ", N = " + std::to_string(model.samples()),
          .samples = model.samples(),
          .tensors = tensors,
          .theta = theta,
          .uses = model.uses(theta),
          .rows = complex_step_rows(model, theta),
          .values = [model](const Numbers& at) { return model.values(at); }};
}

/// The same model, whose every term is an add of its own that names the same weight.
Case with_single_terms(Case c) {
  c.name += ", an add for every term";
  c.uses = single_terms(c.uses);
  return c;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> cases;
    for (std::size_t n : {1, 13, 64}) {
      cases.push_back(case_of("convolution", ConvolutionModel(n)));
      const Case recurrent = case_of("recurrent", RecurrentModel(n, 1));
      cases.push_back(recurrent);
      cases.push_back(with_single_terms(recurrent));
      const std::size_t draws = n == 64 ? 4 : n;
      cases.push_back(case_of("recurrent, some targets a sequence", RecurrentModel(n, draws)));
      const Case residual = case_of("residual", ResidualModel(n - n / 4, n / 4));
      cases.push_back(residual);
      cases.push_back(with_single_terms(residual));
    }
    return cases;
  }();
  return all;
}

/// A case as the library has it.
struct Trial {
  const Case& c;
  ModelParameters model;
  Tensor<double> weights;
  Tensor<double> coefficients;
  UseScores layers;
  Tensor<double> scale;  // of the rows, where the naive backend reads it too

  explicit Trial(const Case& c)
      : c(c),
        model(c.tensors, c.theta),
        weights(c.weights()),
        coefficients(c.coefficients()),
        layers(model.parameters, c.uses, set()),
        scale(host_copy<double>(model.parameters.context(), layers.scores.rows().scale())) {}

  RowSet set() {
    return {.samples = static_cast<std::int64_t>(c.samples),
            .weights = weights.view(),
            .coefficients = coefficients.view()};
  }
  Tensor<double> vector() const { return zeros<double>(model.parameters.size()); }
};

template <class Body>
void for_every_case(const Body& body) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    body(c);
  }
}

/// The parts that belong to one tensor, so that a small one does not hide beside a large one.
Numbers columns_of(const Table& rows, std::size_t first, std::size_t count) {
  Numbers part;
  for (std::size_t n = 0; n < rows.rows; ++n) {
    for (std::size_t j = 0; j < count; ++j) part.push_back(rows(n, first + j));
  }
  return part;
}

testing::AssertionResult agree(const Table& actual, const Table& expected,
                               const std::vector<TensorShape>& tensors) {
  const std::vector<std::size_t> at = offsets_of(tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const testing::AssertionResult part =
        relative_error_within(columns_of(actual, at[i], tensors[i].size()),
                              columns_of(expected, at[i], tensors[i].size()), agreement);
    if (!part) return testing::AssertionFailure() << "tensor " << i << ": " << part.message();
  }
  return testing::AssertionSuccess();
}

TEST(terms, rows_are_derivatives_of_the_models_values) {
  for_every_case([](const Case& c) {
    EXPECT_TRUE(agree(rows_of(c.uses, c.tensors, c.samples), c.rows, c.tensors)) << "the model";
    Trial t(c);
    Tensor<double> materialized(Table(c.samples, c.rows.columns), 3);
    ReferenceBackend naive;
    Backend* const backends[] = {&t.model.parameters.context().state().backend(), &naive};
    const RowBatch rows{t.layers.scores.rows().blocks().blocks, t.scale.view()};
    for (Backend* backend : backends) {
      synchronize_device();
      backend->materialize(rows, 0, materialized.view());
      EXPECT_TRUE(agree(materialized.table(), c.S(), c.tensors));
    }
  });
}

/// Calls body(backend, rows) with the library's backend in both ways to a Gram matrix, where the
/// terms allow it, and with the naive one.
template <class Body>
void for_backends(Trial& t, const Body& body) {
  const detail::ScoreSet& rows = t.layers.scores.rows();
  std::vector<LayerUse> blocks(rows.blocks().blocks.begin(), rows.blocks().blocks.end());
  Backend& backend = t.model.parameters.context().state().backend();
  for (bool materialized : {false, true}) {
    SCOPED_TRACE(materialized ? "materialized" : "pairwise");
    for (LayerUse& block : blocks) {
      ASSERT_LE(block.terms, most_pairwise_terms);
      block.materialized = materialized;
    }
    body(backend, RowBatch{blocks, rows.scale()});
  }
  SCOPED_TRACE("naive");
  ReferenceBackend naive;
  synchronize_device();
  body(naive, RowBatch{blocks, t.scale.view()});
}

TEST(terms, products_are_those_of_the_derivatives) {
  for_every_case([](const Case& c) {
    Trial t(c);
    const Table S = c.S();
    const Table K = gram(S);
    Tensor<double> v(Random(9).numbers(S.columns));
    Tensor<double> y(Random(10).numbers(S.rows));
    for_backends(t, [&](Backend& backend, const RowBatch& rows) {
      SharedVector<double> memory(
          static_cast<std::size_t>(backend.rows_scratch(
              rows.blocks, rows.rows(), ElementType::float64, ElementType::float64)) /
              8 +
          1);
      const Scratch scratch{memory.data(), static_cast<std::int64_t>(memory.size() * 8)};
      Tensor<double> product(Table(S.rows, S.rows));
      backend.gram(rows, product.view(), scratch);
      backend.mirror(product.view(), product.view());
      EXPECT_TRUE(relative_error_within(product.numbers(), K.elements, agreement)) << "gram";

      Tensor<double> z = zeros<double>(rows.rows());
      backend.apply(rows, v.view(), z.view(), scratch);
      EXPECT_TRUE(relative_error_within(z.numbers(), multiply(S, v.numbers()), agreement))
          << "apply";

      Tensor<double> g = t.vector();
      backend.adjoint(rows, y.view(), 0, g.view(), scratch);
      EXPECT_TRUE(
          relative_error_within(g.numbers(), multiply(transposed(S), y.numbers()), agreement))
          << "adjoint";
    });
  });
}

TEST(terms, gradient_and_fisher_matrix_are_those_of_the_derivatives) {
  for_every_case([](const Case& c) {
    Trial t(c);
    const Table S = c.S();
    const Table F = gram(transposed(S));
    Tensor<double> g = t.vector();
    t.layers.scores.gradient(g.view());
    EXPECT_TRUE(relative_error_within(g.numbers(), multiply(transposed(S), c.r()), agreement));

    Tensor<double> v(Random(9).numbers(S.columns));
    for (Form form : {Form::primal, Form::dual}) {
      SCOPED_TRACE(to_string(form));
      const double damping = trace(F) / 10;
      FisherMatrix fisher(t.model.parameters,
                          {.form = form, .damping = {.absolute = damping}, .tile_rows = 5});
      fisher.accumulate(t.layers.scores);
      Tensor<double> dense(Table(S.columns, S.columns));
      fisher.to_dense(dense.view());
      EXPECT_TRUE(relative_error_within(dense.numbers(), F.elements, agreement));
      Tensor<double> product = t.vector();
      fisher.apply(v.view(), product.view());
      EXPECT_TRUE(relative_error_within(product.numbers(), multiply(F, v.numbers()), agreement));
      fisher.solve(Coefficients{}, product.view());
      EXPECT_TRUE(
          relative_error_within(product.numbers(), damped_direction(S, damping, c.r()), agreement));
    }
  });
}

/// Two steps, the second with the momentum of the first.
Numbers moved(const Parameters& parameters, const ModelParameters& model, const Scores& scores,
              Form form) {
  NaturalGradient optimizer(parameters,
                            {.damping = {.absolute = 1e-3, .relative = 0.1}, .form = form});
  const Numbers before = model.numbers();
  for (int step = 0; step < 2; ++step) optimizer.step(scores);
  EXPECT_EQ(optimizer.report().outcome, Outcome::accepted);
  EXPECT_EQ(optimizer.report().form, form);
  return sum(-1, before, model.numbers());
}

TEST(terms, a_step_is_that_of_the_derivatives_as_dense_rows) {
  for_every_case([](const Case& c) {
    for (Form form : {Form::primal, Form::dual}) {
      SCOPED_TRACE(to_string(form));
      Trial t(c);
      const ModelParameters copy(c.tensors, c.theta);
      Tensor<double> rows(c.rows, 1);
      DenseScores dense(copy.parameters);
      dense.begin(rows.view(), t.set());
      EXPECT_TRUE(relative_error_within(moved(t.model.parameters, t.model, t.layers.scores, form),
                                        moved(copy.parameters, copy, dense, form), agreement));
    }
  });
}

TEST(terms, check_scores_agrees) {
  for_every_case([](const Case& c) {
    Trial t(c);
    const LikelihoodCheck check = check_scores(t.layers.scores, [&](const View& values) {
      const Numbers now = c.values(t.model.numbers());
      t.model.parameters.context().write(now.data(), values);
    });
    EXPECT_EQ(check.rows_off, 0) << check.text;
    EXPECT_LE(check.distance, 1e-7) << check.text;  // the central differences' own error
    EXPECT_TRUE(check.uncovered.empty()) << check.text;
    EXPECT_NE(check.text.find("agree"), std::string::npos) << check.text;
  });
}

/// What the tests above would see if products were left out: sum of the Gram matrices of the uses'
/// own rows.
double error_without_products(const Case& c, const std::vector<NumericLayer>& uses) {
  Table K(c.samples, c.samples);
  for (const NumericLayer& use : uses) {
    const Table own = gram(weighted(rows_of({use}, c.tensors, c.samples), c.weights()));
    K.elements = sum(1, own.elements, K.elements);
  }
  return relative_error(K.elements, gram(c.S()).elements);
}

TEST(terms, the_products_between_terms_matter) {
  for_every_case([](const Case& c) {
    // Of a single row the dense last layer may be nearly all.
    const double visible = c.samples == 1 ? 0.01 : 0.05;
    EXPECT_GT(error_without_products(c, single_terms(c.uses)), visible) << "between terms";
    const bool shared = std::any_of(c.uses.begin() + 1, c.uses.end(), [&](const NumericLayer& use) {
      return use.weight == c.uses.front().weight;
    });
    if (shared) {
      EXPECT_GT(error_without_products(c, c.uses), visible) << "between adds of one weight";
    }
  });
}

}  // namespace

}  // namespace natgrad::tests
