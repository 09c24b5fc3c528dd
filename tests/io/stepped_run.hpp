#pragma once

#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <string>

namespace natgrad::tests {

/// A stepped run whose parameters nothing that fails may touch, and a checkpoint from before its
/// last steps.
class SteppedRun : public CheckpointTest {
 protected:
  SteppedRun() {
    run_.steps(1, 3);
    save(path_, run_.optimizer, some_blobs());
    content_ = read_file(path_);
    run_.steps(4, 5);
    undisturbed_.steps(1, 5);
  }

  void expect_untouched() {
    expect_same_bits(run_, undisturbed_);
    expect_same_reports(run_, undisturbed_);
    run_.step(6);
    undisturbed_.step(6);
    expect_same_bits(run_, undisturbed_);
  }

  Training<float> run_;
  Training<float> undisturbed_;
  std::string content_;
};

}  // namespace natgrad::tests
