#include "natgrad/types.hpp"

namespace natgrad {

const char* to_string(ElementType type) {
  switch (type) {
    case ElementType::int32:
      return "int32";
    case ElementType::float32:
      return "float32";
    case ElementType::float64:
      return "float64";
  }
  return "unknown";
}

const char* to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
  }
  return "unknown";
}

const char* to_string(FisherKind kind) {
  switch (kind) {
    case FisherKind::empirical:
      return "empirical";
    case FisherKind::sampled:
      return "sampled";
    case FisherKind::exact:
      return "exact";
    case FisherKind::residual:
      return "residual";
  }
  return "unknown";
}

const char* to_string(Form form) {
  switch (form) {
    case Form::automatic:
      return "automatic";
    case Form::primal:
      return "primal";
    case Form::dual:
      return "dual";
  }
  return "unknown";
}

static_assert([] {
  int value = 0;
  for (const StructureRow& row : structure_table) {
    if (static_cast<int>(row.structure) != value++) return false;
  }
  return true;
}());

const char* to_string(Structure structure) {
  for (const StructureRow& row : structure_table) {
    if (row.structure == structure) return row.name;
  }
  return "unknown";
}

static_assert([] {
  int value = 0;
  for (const DampingScalingRow& row : damping_scaling_table) {
    if (static_cast<int>(row.scaling) != value++) return false;
  }
  return true;
}());

const char* to_string(DampingScaling scaling) {
  for (const DampingScalingRow& row : damping_scaling_table) {
    if (row.scaling == scaling) return row.name;
  }
  return "unknown";
}

const char* to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::accepted:
      return "accepted";
    case Outcome::rejected:
      return "rejected";
    case Outcome::not_finite:
      return "not_finite";
    case Outcome::not_positive_definite:
      return "not_positive_definite";
  }
  return "unknown";
}

const char* to_string(NotFinite operand) {
  switch (operand) {
    case NotFinite::nothing:
      return "nothing";
    case NotFinite::rows:
      return "rows";
    case NotFinite::coefficients:
      return "coefficients";
    case NotFinite::gradient:
      return "gradient";
    case NotFinite::solution:
      return "solution";
    case NotFinite::parameters:
      return "parameters";
    case NotFinite::loss:
      return "loss";
  }
  return "unknown";
}

const char* to_string(Activation activation) {
  switch (activation) {
    case Activation::identity:
      return "identity";
    case Activation::tanh:
      return "tanh";
    case Activation::relu:
      return "relu";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::gelu:
      return "gelu";
  }
  return "unknown";
}

static_assert([] {
  int value = 0;
  for (const LikelihoodName& row : likelihood_names) {
    if (static_cast<int>(row.likelihood) != value++) return false;
  }
  return true;
}());

const char* to_string(Likelihood likelihood) {
  for (const LikelihoodName& row : likelihood_names) {
    if (row.likelihood == likelihood) return row.name;
  }
  return "unknown";
}

static_assert([] {
  int value = 0;
  for (const DensityRow& row : density_table) {
    if (static_cast<int>(row.family) != value++) return false;
  }
  return true;
}());

const char* to_string(DensityFamily family) {
  for (const DensityRow& row : density_table) {
    if (row.family == family) return row.name;
  }
  return "unknown";
}

}  // namespace natgrad
