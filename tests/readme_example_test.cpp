#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

// The README's example is the program that the build compiles and ctest runs.

namespace natgrad::tests {

namespace {

std::string read(const std::string& name) {
  const std::ifstream file(NATGRAD_SOURCE_DIR "/" + name);
  EXPECT_TRUE(file.is_open()) << "cannot read " << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(readme, shows_the_example_that_is_compiled) {
  const std::string readme = read("README.md");
  const std::size_t heading = readme.find("\n## Example\n");
  ASSERT_NE(heading, std::string::npos) << "README.md has no heading \"## Example\"";
  const std::string opening = "```cpp\n";
  const std::size_t fence = readme.find(opening, heading);
  ASSERT_NE(fence, std::string::npos) << "no C++ block follows that heading";
  const std::size_t begin = fence + opening.size();
  const std::size_t end = readme.find("```\n", begin);
  ASSERT_NE(end, std::string::npos) << "the block does not end";
  EXPECT_EQ(readme.substr(begin, end - begin), read("tests/readme_example.cpp"));
}

}  // namespace

}  // namespace natgrad::tests
