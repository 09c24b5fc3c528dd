#pragma once

#include "natgrad/context.hpp"
#include "natgrad/models/densities.hpp"
#include "trainer/settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace natgrad::trainer {

/// What the task `density` fits: samples, a density, and where it starts. Samples are rows of D
/// numbers; those of an exponential family are its statistics.
struct DensityProblem {
  std::string samples_name;     // "2000 samples drawn", "samples of data.csv"
  std::string checksum;         // of the file; empty: they are drawn
  Density::Options options;     // of the density that is trained
  std::vector<double> train;    // (N, D)
  std::vector<double> test;     // (M, D)
  std::vector<double> start;    // (P)
  std::vector<double> truth;    // (P) the samples were drawn at; empty: they are of a file
  std::int64_t dimensions = 1;  // D

  std::int64_t train_count() const;
  std::int64_t test_count() const;
};

/// Draws the samples, or reads them, and divides them four to one. The columns of a file lose their
/// mean and are divided by their deviation, both of the training samples; that of an exponential
/// family is mapped to [-1, 1], from its smallest to its largest number. Throws `FileError` as
/// `read_csv`, for columns that are not there, of which there is not the number that the density
/// has, or that are constant, and for fewer than five rows.
DensityProblem density_problem(const Settings& settings, const Context& context);

/// The parameterizations of a single Gaussian on the command line.
enum class GaussianParameters : std::uint8_t { automatic, scale, log_scale, natural, cholesky };

/// The families on the command line.
enum class DensityName : std::uint8_t { gaussian, mixture, exponential };

}  // namespace natgrad::trainer
