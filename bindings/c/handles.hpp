#pragma once

#include "bindings/c/tensors.hpp"
#include "natgrad/natgrad.h"
#include "natgrad/natgrad.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

// What the opaque handles of natgrad.h are. Members are destroyed last to first: tensors go when
// nothing reads them any more.

namespace natgrad::c {

/// The tensors of parameters by their segments, held by all that is made from these.
using ParameterTensors = std::shared_ptr<std::vector<SharedTensors>>;

}  // namespace natgrad::c

struct natgrad_context {
  natgrad::Context value;
};

struct natgrad_parameters {
  natgrad::c::ParameterTensors tensors = std::make_shared<std::vector<natgrad::c::SharedTensors>>();
  natgrad::Parameters value;
};

struct natgrad_scores {
  natgrad::c::ParameterTensors parameter_tensors;
  std::variant<natgrad::DenseScores, natgrad::LayerScores> value;

  const natgrad::Scores& rows() const {
    return std::visit(
        [](const natgrad::Scores& scores) -> const natgrad::Scores& { return scores; }, value);
  }
};

struct natgrad_optimizer {
  natgrad::c::ParameterTensors parameter_tensors;
  natgrad::NaturalGradient value;
  std::deque<natgrad::StepReport> left_over;  ///< reports that found no room in the last call
};

struct natgrad_plan {
  natgrad::MemoryPlan value;
};

struct natgrad_bytes {
  std::vector<std::byte> value;
};

struct natgrad_checkpoint {
  natgrad::Checkpoint value;
};

struct natgrad_fisher {
  natgrad::c::ParameterTensors parameter_tensors;
  natgrad::FisherMatrix value;
};

struct natgrad_spectrum {
  natgrad::Spectrum value;
};
