#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace natgrad::trainer {

/// A number that a run reports under a name, a key of the metrics: "test_loss".
struct Figure {
  std::string name;
  double value = 0;
};

/// Figures in the order in which they are written.
using Figures = std::vector<Figure>;

/// The value of a figure; none where the name is not among them.
inline std::optional<double> value_of(const Figures& figures, std::string_view name) {
  for (const Figure& figure : figures) {
    if (figure.name == name) return figure.value;
  }
  return std::nullopt;
}

/// A figure's name as a sentence has it: "test loss".
inline std::string in_words(std::string name) {
  for (char& letter : name) {
    if (letter == '_') letter = ' ';
  }
  return name;
}

}  // namespace natgrad::trainer
