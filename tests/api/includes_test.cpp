#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// The include order of docs/architecture.md, read from the source tree:
//   types, error -> array -> context -> backend -> scores -> curvature, models -> step rules,
//   damping, momentum -> optimizer -> io -> bindings -> trainer, bench

namespace natgrad::tests {

namespace {

namespace fs = std::filesystem;

/// A file or folder, and how far up it stands: it may include what stands no higher, but for its
/// neighbours at one height (curvature and models do not know each other).
struct Place {
  std::string_view path;
  int height;
};

// The longest path that a file begins with counts. Formulas and the damping's two numbers know
// nothing of the library, kernels know its arrays; the context's inside holds the backend and
// stands above it.
constexpr Place places[] = {
    {"kernels/cuda/", 15},
    {"kernels/formulas/", 0},
    {"kernels/formulas/updated_tensor.hpp", 15},
    {"kernels/formulas/spin_arrays.hpp", 15},
    {"include/natgrad/export.hpp", 0},
    {"include/natgrad/version.hpp", 0},
    {"include/natgrad/types.hpp", 0},
    {"include/natgrad/error.hpp", 0},
    {"include/natgrad/damping.hpp", 0},
    {"src/version.hpp.in", 0},
    {"src/core/version.cpp", 0},
    {"src/core/types.cpp", 0},
    {"src/core/message.hpp", 0},
    {"src/core/option_errors.hpp", 0},
    {"src/core/enumerators.hpp", 0},
    {"src/core/memory_errors", 0},
    {"include/natgrad/array.hpp", 10},
    {"src/core/array.cpp", 10},
    {"src/core/operands.hpp", 10},
    {"src/core/overlap.hpp", 10},
    {"src/core/arena.hpp", 10},
    {"src/core/growing_array.hpp", 10},
    {"include/natgrad/context.hpp", 20},
    {"include/natgrad/gather.hpp", 20},
    {"include/natgrad/process.hpp", 0},
    {"src/backend/", 30},
    {"src/backend/cuda/context.cpp", 35},
    {"include/natgrad/cuda.hpp", 20},
    {"src/core/context", 35},
    {"src/core/gather.cpp", 35},
    {"include/natgrad/parameters.hpp", 40},
    {"include/natgrad/scores.hpp", 40},
    {"include/natgrad/check_scores.hpp", 40},
    {"src/scores/", 40},
    {"include/natgrad/fisher_matrix.hpp", 50},
    {"include/natgrad/structure.hpp", 40},
    {"include/natgrad/spectrum.hpp", 0},
    {"src/curvature/", 50},
    {"include/natgrad/models/", 50},
    {"include/natgrad/models/ising_chain.hpp", 0},
    {"src/models/", 50},
    {"include/natgrad/memory_plan.hpp", 50},
    {"include/natgrad/first_order.hpp", 70},
    {"include/natgrad/natural_gradient.hpp", 70},
    {"src/optimizer/", 70},
    {"include/natgrad/checkpoint.hpp", 75},
    {"include/natgrad/natgrad.hpp", 75},
    {"include/natgrad/torch", 90},
    {"src/io/", 80},
    {"bindings/c/", 85},
    {"include/natgrad/natgrad.h", 0},
    {"include/natgrad/dlpack.h", 0},
    {"src/trainer/", 90},
    {"bench/", 90},
};

const Place* place_of(std::string_view file) {
  const Place* longest = nullptr;
  for (const Place& place : places) {
    if (file.starts_with(place.path) && (!longest || place.path.size() > longest->path.size())) {
      longest = &place;
    }
  }
  return longest;
}

struct Include {
  std::string name;  // as written, without quotes or brackets
  int line;
};

std::vector<Include> includes_of(const fs::path& file) {
  std::vector<Include> includes;
  std::ifstream input(file);
  std::string text;
  for (int line = 1; std::getline(input, text); ++line) {
    const std::size_t start = text.find_first_not_of(" \t");
    if (start == std::string::npos || text[start] != '#') continue;
    const std::size_t directive = text.find("include", start);
    const std::size_t open = text.find_first_of("\"<", start);
    if (directive == std::string::npos || open == std::string::npos || open < directive) continue;
    const std::size_t close = text.find_first_of("\">", open + 1);
    includes.push_back({text.substr(open + 1, close - open - 1), line});
  }
  return includes;
}

/// What every rule needs of the tree: each file's includes, by its path from the root.
std::map<std::string, std::vector<Include>> read_tree() {
  const fs::path root = NATGRAD_SOURCE_DIR;
  std::map<std::string, std::vector<Include>> files;
  for (const char* folder : {"include", "src", "kernels", "bench", "bindings"}) {
    if (!fs::exists(root / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      std::string extension = entry.path().extension();
      if (extension == ".in") extension = entry.path().stem().extension();
      if (extension != ".hpp" && extension != ".cpp" && extension != ".cu" && extension != ".h") {
        continue;
      }
      files[entry.path().lexically_relative(root).string()] = includes_of(entry.path());
    }
  }
  return files;
}

/// The path from the root of a file of the project; empty where the include is somebody else's.
std::string resolve(const std::map<std::string, std::vector<Include>>& files,
                    const std::string& from, const std::string& name) {
  const std::string folder = from.substr(0, from.rfind('/') + 1);
  for (const std::string& candidate : {folder + name, name, "src/" + name, "include/" + name}) {
    if (files.contains(candidate)) return candidate;
  }
  // Made by the build.
  if (name == "natgrad/export.hpp" || name == "natgrad/version.hpp") return "include/" + name;
  return {};
}

bool begins_with_any(std::string_view name, std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](std::string_view b) { return name.starts_with(b); });
}

bool is_standard(std::string_view name) {
  if (name == "stddef.h" || name == "stdint.h") return true;  // of the headers for C
  return name.find('/') == std::string_view::npos && name.find('.') == std::string_view::npos;
}

/// Calls rule(file, include, path of the included file in the project or "").
template <class Rule>
void for_each_include(const Rule& rule) {
  const auto files = read_tree();
  int count = 0;
  for (const auto& [file, includes] : files) {
    for (const Include& include : includes) {
      SCOPED_TRACE(file + ":" + std::to_string(include.line) + " includes " + include.name);
      rule(file, include.name, resolve(files, file, include.name));
      ++count;
    }
  }
  EXPECT_GT(count, 100) << "the tree was not found at " << NATGRAD_SOURCE_DIR;
}

TEST(includes, go_one_way) {
  for_each_include([](const std::string& file, const std::string&, const std::string& included) {
    const Place* here = place_of(file);
    if (here == nullptr) {
      ADD_FAILURE() << file << " has no place in the order";
      return;
    }
    if (included.empty()) return;
    const Place* there = place_of(included);
    ASSERT_NE(there, nullptr);
    EXPECT_LE(there->height, here->height) << "what stands higher";
    const auto is_model = [](std::string_view path) { return path.find("models/") != path.npos; };
    if (here->height == 50 && there->height == 50) {
      EXPECT_EQ(is_model(file), is_model(included)) << "curvature and models know each other";
    }
  });
}

TEST(includes, every_include_of_the_project_exists) {
  for_each_include([](const std::string&, const std::string& name, const std::string& included) {
    if (name.ends_with(".hpp") && !name.starts_with("CLI") && !name.starts_with("nlohmann")) {
      EXPECT_FALSE(included.empty()) << "no such file";
    }
  });
}

TEST(includes, public_headers_include_public_headers_only) {
  for_each_include([](const std::string& file, const std::string& name, const std::string&) {
    if (!file.starts_with("include/")) return;
    if (file == "include/natgrad/cuda.hpp" && name == "cuda_runtime_api.h") return;
    if (file.starts_with("include/natgrad/torch") && begins_with_any(name, {"torch/", "c10/"})) {
      return;
    }
    EXPECT_TRUE(name.starts_with("natgrad/") || is_standard(name));
  });
}

/// The trainer is an outside program: what it needs, users need too.
TEST(includes, the_trainer_includes_public_headers_only) {
  for_each_include([](const std::string& file, const std::string&, const std::string& included) {
    if (!file.starts_with("src/trainer/") || included.empty()) return;
    EXPECT_TRUE(begins_with_any(included, {"include/natgrad/", "src/trainer/"}));
  });
}

/// Benchmarks do: they time the BLAS itself, and others' algorithms on it.
TEST(includes, the_backend_alone_knows_blas_openmp_and_cuda) {
  for_each_include([](const std::string& file, const std::string& name, const std::string&) {
    const bool backend = begins_with_any(file, {"src/backend/", "bench/"});
    if (!backend) {
      EXPECT_FALSE(begins_with_any(name, {"cblas", "lapack", "openblas", "omp"}));
    }
    if (begins_with_any(file, {"src/backend/cuda/", "kernels/cuda/intrinsics.hpp",
                               "kernels/cuda/launch.hpp", "include/natgrad/cuda.hpp", "bench/"})) {
      return;
    }
    EXPECT_FALSE(begins_with_any(name, {"cuda", "cublas", "cusolver", "thrust/", "cub/"}));
  });
}

TEST(includes, kernels_include_kernels_arrays_and_random123_only) {
  for_each_include([](const std::string& file, const std::string& name, const std::string&) {
    if (!file.starts_with("kernels/")) return;
    if (file == "kernels/cuda/intrinsics.hpp" && name.starts_with("cuda_")) return;
    EXPECT_TRUE(begins_with_any(name, {"kernels/", "natgrad/", "Random123/"}) || is_standard(name));
  });
}

TEST(includes, the_library_reads_and_prints_nothing) {
  for_each_include([](const std::string& file, const std::string& name, const std::string&) {
    if (begins_with_any(file, {"src/trainer/", "src/io/", "bench/"})) return;
    EXPECT_NE(name, "iostream");
    EXPECT_NE(name, "fstream");
    EXPECT_NE(name, "cstdio");
  });
}

}  // namespace

}  // namespace natgrad::tests
