#include "natgrad/types.hpp"

#include <cstddef>

namespace natgrad {

namespace {

/// Whether the rows of a table have the values 0, 1, ...
template <class Enum, std::size_t rows>
constexpr bool in_order(const EnumeratorName<Enum> (&table)[rows]) {
  for (std::size_t i = 0; i < rows; ++i) {
    if (static_cast<std::size_t>(table[i].value) != i) return false;
  }
  return true;
}

template <class Enum, std::size_t rows>
const char* name_in(const EnumeratorName<Enum> (&table)[rows], Enum value) {
  for (const EnumeratorName<Enum>& row : table) {
    if (row.value == value) return row.name;
  }
  return "unknown";
}

}  // namespace

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

static_assert(in_order(structure_table));

const char* to_string(Structure structure) { return name_in(structure_table, structure); }

static_assert(in_order(damping_scaling_table));

const char* to_string(DampingScaling scaling) { return name_in(damping_scaling_table, scaling); }

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

static_assert(in_order(likelihood_names));

const char* to_string(Likelihood likelihood) { return name_in(likelihood_names, likelihood); }

static_assert(in_order(density_table));

const char* to_string(PoissonSolution solution) {
  return name_in(poisson_solution_table, solution);
}

const char* to_string(DensityFamily family) { return name_in(density_table, family); }

}  // namespace natgrad
