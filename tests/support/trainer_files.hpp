#pragma once

#include "support/files.hpp"

#include <nlohmann/json.hpp>

#include <sstream>
#include <string>
#include <vector>

// Metrics as natgrad-train writes them.

namespace natgrad::tests {

using nlohmann::json;

/// The lines of a metrics file, each of which must be whole.
inline std::vector<json> read_metrics(const std::string& path) {
  std::vector<json> metrics;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) metrics.push_back(json::parse(line));
  return metrics;
}

/// All figures but the times.
inline std::string without_seconds(const std::vector<json>& metrics) {
  std::string text;
  for (json line : metrics) {
    line.erase("seconds");
    line.erase("evaluation_seconds");
    text += line.dump() + '\n';
  }
  return text;
}

}  // namespace natgrad::tests
