#pragma once

#include "natgrad/natgrad.hpp"
#include "support/files.hpp"
#include "support/layered_batch.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

// Runs that are saved and loaded, and what is compared of them.

namespace natgrad::tests {

// Padding: rows of the parameters are apart, and what is between them is not theirs.
inline const BatchShape saved_shape{
    .layers = {{.inputs = 3, .outputs = 2}, {.inputs = 2, .outputs = 2}},
    .samples = 8,
    .seed = 60,
    .padding = 2};

/// A batch whose coefficients are others at every step, and an optimizer of its parameters.
template <class T>
struct Training {
  LayeredBatch<T> batch{saved_shape};
  Tensor<T> coefficients{Numbers(8, 1.0)};
  LayerScores scores{batch.parameters, {.kind = FisherKind::sampled}};
  NaturalGradient optimizer;

  explicit Training(const NaturalGradient::Options& options = {})
      : optimizer(batch.parameters, options) {}

  void step(std::uint64_t key) {
    coefficients = Tensor<T>(Random(key).numbers(8));
    batch.fill(scores, {.coefficients = coefficients.view()});
    optimizer.step(scores);
  }
  void steps(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t key = first; key <= last; ++key) step(key);
  }
};

template <class T>
void expect_same_bits(const Training<T>& a, const Training<T>& b) {
  const auto left = a.batch.theta_memory();
  const auto right = b.batch.theta_memory();
  for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(same_bits(left[i], right[i]));
}

inline void expect_same(const StepReport& a, const StepReport& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.form, b.form);
  EXPECT_EQ(a.rate, b.rate);
  EXPECT_EQ(a.damping, b.damping);
  EXPECT_EQ(a.quadratic_form, b.quadratic_form);
  EXPECT_EQ(a.predicted_kl, b.predicted_kl);
  EXPECT_EQ(a.residual, b.residual);
  EXPECT_EQ(a.error_bound, b.error_bound);
  EXPECT_EQ(a.failures_in_a_row, b.failures_in_a_row);
}

template <class T>
void expect_same_reports(Training<T>& a, Training<T>& b) {
  expect_same(a.optimizer.report(), b.optimizer.report());
  const auto left = a.optimizer.reports();
  const auto right = b.optimizer.reports();
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) expect_same(left[i], right[i]);
}

inline Blobs some_blobs() {
  return {{"", {std::byte{7}}}, {"empty", {}}, {"place", {std::byte{0}, std::byte{255}}}};
}

template <class Action>
std::string file_error(const Action& action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no FileError";
}

inline void expect_error(const std::string& text, const std::string& path,
                         const std::string& part) {
  EXPECT_EQ(text.rfind(path, 0), 0) << text;
  EXPECT_NE(text.find(part), std::string::npos) << text << " does not say " << part;
}

class CheckpointTest : public testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  /// Nothing but the checkpoint, with this content.
  void expect_only(const std::string& content) const {
    EXPECT_EQ(names(), std::vector<std::string>{"checkpoint"});
    EXPECT_TRUE(read_file(path_) == content);
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.file("checkpoint");
};

}  // namespace natgrad::tests
