#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// The examples of README.md and docs/*.md are programs that the build compiles and ctest runs.
// Every block of C++ or C of these texts follows a line
//   <!-- example: NAME -->
// and is examples/NAME.cpp or NAME/main.cpp, or a file `elsewhere`: the lines between `// [shown]`
// and `// [end]`, without their indentation, or the whole file where it has no such lines. Every
// program is shown once, and every link between files of the repository leads to a file and a
// heading that exist.

namespace natgrad::tests {

namespace {

namespace fs = std::filesystem;

const fs::path source = NATGRAD_SOURCE_DIR;

// In tests/ and not in examples/, because g++ alone does not compile them.
const std::set<std::string> elsewhere = {"outside_cuda/main.cu", "outside_cuda/graph.cu"};

fs::path program_of(const std::string& name) {
  if (elsewhere.contains(name)) return source / "tests" / name;
  const fs::path folder = source / "examples" / name;
  if (fs::is_directory(folder)) return folder / "main.cpp";
  if (fs::exists(source / "examples" / (name + ".c"))) return source / "examples" / (name + ".c");
  return source / "examples" / (name + ".cpp");
}

/// README.md, then docs/*.md in the order of their names.
std::vector<fs::path> texts() {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& file : fs::directory_iterator(source / "docs")) {
    if (file.path().extension() == ".md") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  paths.insert(paths.begin(), source / "README.md");
  return paths;
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

/// The blocks of C++ and C of a Markdown text.
std::vector<Example> examples_of(const std::vector<std::string>& markdown) {
  constexpr std::string_view opening = "<!-- example: ";
  constexpr std::string_view closing = " -->";
  std::vector<Example> examples;
  for (std::size_t i = 0; i < markdown.size(); ++i) {
    if (!markdown[i].starts_with("```cpp") && markdown[i] != "```c") continue;
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

/// What a text shows of a program.
std::string shown(const std::vector<std::string>& program) {
  const auto is = [](std::string_view text) {
    return [text](const std::string& line) {
      const std::size_t start = line.find_first_not_of(' ');
      return start != std::string::npos && line.substr(start) == text;
    };
  };
  const auto begin = std::find_if(program.begin(), program.end(), is("// [shown]"));
  if (begin == program.end()) return text_of(program);
  const auto end = std::find_if(begin, program.end(), is("// [end]"));
  if (end == program.end()) throw std::runtime_error("[shown] without [end]");
  const std::size_t indentation = begin->find('/');
  std::vector<std::string> lines(begin + 1, end);
  for (std::string& line : lines) {
    if (line.find_first_not_of(' ') == std::string::npos) {
      line.clear();
    } else if (line.find_first_not_of(' ') < indentation) {
      throw std::runtime_error("less indented than its [shown]: " + line);
    } else {
      line.erase(0, indentation);
    }
  }
  return text_of(lines);
}

/// The anchor that GitHub gives a heading: lower case, without punctuation, spaces as hyphens.
std::string anchor_of(std::string_view heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || byte >= 0x80) {
      anchor += static_cast<char>(std::tolower(byte));
    } else if (c == ' ') {
      anchor += '-';
    }
  }
  return anchor;
}

/// The anchors of a Markdown file's headings.
std::set<std::string> anchors_of(const fs::path& path) {
  std::set<std::string> anchors;
  bool code = false;
  for (const std::string& line : lines_of(path)) {
    if (line.starts_with("```")) code = !code;
    const std::size_t level = line.find_first_not_of('#');
    if (code || level == 0 || level == std::string::npos || line[level] != ' ') continue;
    anchors.insert(anchor_of(std::string_view(line).substr(level + 1)));
  }
  return anchors;
}

struct Link {
  std::size_t line = 0;
  std::string target = {};
};

/// The targets of [text](target) outside of code, but for those on the web.
std::vector<Link> links_of(const std::vector<std::string>& markdown) {
  std::vector<Link> links;
  bool code = false;
  for (std::size_t i = 0; i < markdown.size(); ++i) {
    const std::string& line = markdown[i];
    if (line.starts_with("```")) code = !code;
    if (code) continue;
    for (std::size_t at = line.find("]("); at != std::string::npos; at = line.find("](", at + 2)) {
      const std::string target = line.substr(at + 2, line.find(')', at) - at - 2);
      if (!target.starts_with("http")) links.push_back({.line = i + 1, .target = target});
    }
  }
  return links;
}

TEST(readme, shows_the_examples_that_are_compiled) {
  std::set<std::string> names;
  for (const fs::path& text : texts()) {
    for (const Example& example : examples_of(lines_of(text))) {
      SCOPED_TRACE(text.filename().string() + ":" + std::to_string(example.line));
      ASSERT_NE(example.name, "") << "no line \"<!-- example: NAME -->\" precedes the block";
      EXPECT_TRUE(names.insert(example.name).second) << example.name << " is there twice";
      EXPECT_EQ(example.text, shown(lines_of(program_of(example.name))));
    }
  }
  std::set<std::string> programs = elsewhere;
  for (const fs::directory_entry& file : fs::directory_iterator(source / "examples")) {
    programs.insert(file.path().stem().string());
  }
  EXPECT_EQ(names, programs) << "examples of README.md and docs/, and programs in examples/";
}

TEST(readme, links_lead_to_files_and_headings_that_exist) {
  for (const fs::path& text : texts()) {
    for (const Link& link : links_of(lines_of(text))) {
      SCOPED_TRACE(text.filename().string() + ":" + std::to_string(link.line));
      const std::size_t hash = link.target.find('#');
      const std::string file = link.target.substr(0, hash);
      const fs::path path = file.empty() ? text : text.parent_path() / file;
      EXPECT_TRUE(fs::exists(path)) << "no file " << link.target;
      if (hash == std::string::npos || !fs::exists(path)) continue;
      EXPECT_TRUE(anchors_of(path).contains(link.target.substr(hash + 1)))
          << "no heading " << link.target;
    }
  }
}

TEST(readme, has_at_most_220_lines) { EXPECT_LE(lines_of(source / "README.md").size(), 220U); }

TEST(readme, links_and_anchors_are_read_as_github_reads_them) {
  EXPECT_EQ(anchor_of("A step's `mu F d_prev`, twice"), "a-steps-mu-f-d_prev-twice");
  const std::vector<Link> links =
      links_of({"see [a](b.md#c), [d](https://e), [f](#g)", "```", "[h](i)", "```", "[j](k)"});
  ASSERT_EQ(links.size(), 3U);
  EXPECT_EQ(links[0].target, "b.md#c");
  EXPECT_EQ(links[1].target, "#g");
  EXPECT_EQ(links[2].target, "k");
  EXPECT_EQ(links[2].line, 5U);
}

TEST(readme, an_example_is_its_marked_lines_or_the_whole_program) {
  EXPECT_EQ(shown({"int main() {", "  return 0;", "}"}), "int main() {\n  return 0;\n}\n");
  EXPECT_EQ(shown({"int main() {", "  // [shown]", "  if (true) {", "", "    f();", "  }",
                   "  // [end]", "}"}),
            "if (true) {\n\n  f();\n}\n");
  EXPECT_THROW(shown({"  // [shown]", "  f();"}), std::runtime_error);
  EXPECT_THROW(shown({"  // [shown]", "f();", "  // [end]"}), std::runtime_error);
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
