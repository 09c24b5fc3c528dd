#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// The README's examples are programs that the build compiles and ctest runs. Every C++ block of the
// README follows a line
//   <!-- example: NAME -->
// and is tests/readme/NAME.cpp, or a file `elsewhere`: the lines between `// [readme]` and `//
// [end]`, without their indentation, or the whole file where it has no such lines.

namespace natgrad::tests {

namespace {

namespace fs = std::filesystem;

const fs::path source = NATGRAD_SOURCE_DIR;

// In tests/ and not in tests/readme/, because g++ alone does not compile them.
const std::set<std::string> elsewhere = {"outside_cuda/main.cu", "outside_cuda/graph.cu"};

fs::path program_of(const std::string& name) {
  if (elsewhere.contains(name)) return source / "tests" / name;
  return source / "tests/readme" / (name + ".cpp");
}

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  if (!file.is_open()) throw std::runtime_error("cannot read " + path.string());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

struct Example {
  std::string name = {};  // "" where no line gives it
  std::size_t line = 0;
  std::string text = {};
};

/// The C++ blocks of a Markdown text.
std::vector<Example> examples_of(const std::vector<std::string>& markdown) {
  constexpr std::string_view opening = "<!-- example: ";
  constexpr std::string_view closing = " -->";
  std::vector<Example> examples;
  for (std::size_t i = 0; i < markdown.size(); ++i) {
    if (!markdown[i].starts_with("```cpp")) continue;
    Example example{.line = i + 1};
    const std::string before = i > 0 ? markdown[i - 1] : "";
    if (before.starts_with(opening) && before.ends_with(closing)) {
      example.name = before.substr(opening.size(), before.size() - opening.size() - closing.size());
    }
    for (++i; i < markdown.size() && markdown[i] != "```"; ++i) example.text += markdown[i] + "\n";
    examples.push_back(example);
  }
  return examples;
}

/// What the README shows of a program.
std::string shown(const std::vector<std::string>& program) {
  const auto is = [](std::string_view text) {
    return [text](const std::string& line) {
      const std::size_t start = line.find_first_not_of(' ');
      return start != std::string::npos && line.substr(start) == text;
    };
  };
  const auto begin = std::find_if(program.begin(), program.end(), is("// [readme]"));
  if (begin == program.end()) return text_of(program);
  const auto end = std::find_if(begin, program.end(), is("// [end]"));
  if (end == program.end()) throw std::runtime_error("[readme] without [end]");
  const std::size_t indentation = begin->find('/');
  std::vector<std::string> lines(begin + 1, end);
  for (std::string& line : lines) {
    if (line.find_first_not_of(' ') == std::string::npos) {
      line.clear();
    } else if (line.find_first_not_of(' ') < indentation) {
      throw std::runtime_error("less indented than its [readme]: " + line);
    } else {
      line.erase(0, indentation);
    }
  }
  return text_of(lines);
}

TEST(readme, shows_the_examples_that_are_compiled) {
  const std::vector<Example> examples = examples_of(lines_of(source / "README.md"));
  std::set<std::string> names;
  for (const Example& example : examples) {
    SCOPED_TRACE("README.md:" + std::to_string(example.line));
    ASSERT_NE(example.name, "") << "no line \"<!-- example: NAME -->\" precedes the block";
    EXPECT_TRUE(names.insert(example.name).second) << example.name << " is there twice";
    EXPECT_EQ(example.text, shown(lines_of(program_of(example.name))));
  }
  std::set<std::string> programs = elsewhere;
  for (const fs::directory_entry& file : fs::directory_iterator(source / "tests/readme")) {
    programs.insert(file.path().stem().string());
  }
  EXPECT_EQ(names, programs) << "examples of the README, and programs in tests/readme/";
}

TEST(readme, an_example_is_its_marked_lines_or_the_whole_program) {
  EXPECT_EQ(shown({"int main() {", "  return 0;", "}"}), "int main() {\n  return 0;\n}\n");
  EXPECT_EQ(shown({"int main() {", "  // [readme]", "  if (true) {", "", "    f();", "  }",
                   "  // [end]", "}"}),
            "if (true) {\n\n  f();\n}\n");
  EXPECT_THROW(shown({"  // [readme]", "  f();"}), std::runtime_error);
  EXPECT_THROW(shown({"  // [readme]", "f();", "  // [end]"}), std::runtime_error);
  const std::vector<Example> examples = examples_of({"```sh", "ls", "```", "```cpp", "a", "```", "",
                                                     "<!-- example: b -->", "```cpp", "b", "```"});
  ASSERT_EQ(examples.size(), 2U);
  EXPECT_EQ(examples[0].name, "");
  EXPECT_EQ(examples[0].text, "a\n");
  EXPECT_EQ(examples[1].name, "b");
  EXPECT_EQ(examples[1].text, "b\n");
}

}  // namespace

}  // namespace natgrad::tests
