#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/parameters.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <string>

// Which operand makes a result NaN or Inf, in words, for those who ask after it happened. Rows that
// are left out whatever they hold are passed over. All of these copy their operand to the host,
// some rows at a time, and wait.

namespace natgrad::detail {

/// ".weights is -1 at row 3, must be >= 0" or ".coefficients is nan at row 3": the first weight or
/// coefficient of a set that is negative or not finite; empty where there is none.
std::string describe_bad_columns(const ScoreSet& rows);

/// "w1: .input is nan at row 3 (term 0, column 2)": the first number of the rows' factors that is
/// not finite, or index that is no row of its weight; empty where there is none.
std::string describe_bad_factors(const ScoreSet& rows);

/// "parameter w1 is nan at number 5": the first parameter that is not finite.
std::string describe_bad_parameters(const Parameters& parameters);

/// "NAME is nan at number 5 (of w1)": the first of P numbers that is not finite.
std::string describe_bad_numbers(const std::string& name, const Parameters& parameters,
                                 const ConstView& numbers);

}  // namespace natgrad::detail
