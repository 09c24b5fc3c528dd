#pragma once

#include "natgrad/types.hpp"
#include "trainer/data/dataset.hpp"

#include <cstdint>
#include <string>

namespace natgrad::trainer {

/// What a table is to be taken for.
struct CsvOptions {
  std::string targets;  ///< name of the column to predict, or names with commas between them
  Likelihood likelihood = Likelihood::gaussian;
  double sigma = 1;                              ///< of `Likelihood::gaussian`
  bool raw = false;                              ///< numbers stay as they stand in the file
  std::uint64_t split = 0;                       ///< key of training and test set
  ElementType precision = ElementType::float32;  ///< that must have room for the numbers
};

/// Reads a table (csv.hpp) and divides its rows into training and test set. All columns but the
/// targets are inputs. Unless `raw`, each input column, and each target column whose likelihood is
/// one of numbers with a unit, loses the mean of its training rows and is divided by their
/// deviation; an input column that is constant there becomes zeros, with a warning. A model begins
/// with the distribution that has the mean of the training targets. Throws `FileError` as
/// `read_csv`, for columns that are not there, too few rows, no inputs, a target outside the
/// support of the likelihood, a class without a row, a target in units without deviation, and a
/// number that is too large for the precision; `OptionError` for several targets where the
/// likelihood has one.
Dataset load_csv(const std::string& path, const CsvOptions& options);

}  // namespace natgrad::trainer
