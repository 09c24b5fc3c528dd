#include "trainer/data/csv.hpp"

#include "natgrad/error.hpp"
#include "support/files.hpp"
#include "trainer/data/csv_dataset.hpp"
#include "trainer/data/gzip.hpp"
#include "trainer/data/moments.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace natgrad::tests {
namespace {

using trainer::CsvOptions;
using trainer::CsvTable;
using trainer::Dataset;
using trainer::parse_csv;

using Numbers = std::vector<double>;
using Names = std::vector<std::string>;
using Labels = std::vector<std::int32_t>;

/// What the `FileError` of a call says.
template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no FileError";
}

TEST(csv, reads_names_and_numbers) {
  const CsvTable table = parse_csv("a,b,long name\n1,-2.5,3e2\n+4,.5,-0\n", "f");
  EXPECT_EQ(table.names, (Names{"a", "b", "long name"}));
  EXPECT_EQ(table.numbers, (Numbers{1, -2.5, 300, 4, 0.5, 0}));
  EXPECT_EQ(table.lines, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(table.at(1, 0), 4);
}

/// Also what lies below the smallest double, whose nearest is 0 or the smallest.
TEST(csv, reads_the_nearest_double) {
  const std::string digits(400, '0');
  const CsvTable table = parse_csv("a\n1e-400\n-1e-400\n1e-310\n5e-324\n3e-324\n2e-324\n0." +
                                       digits + "1\n0e400\n1.7976931348623157e308\n+1e-400\n",
                                   "f");
  EXPECT_EQ(table.numbers, (Numbers{0, 0, 1e-310, 5e-324, 5e-324, 0, 0, 0,
                                    std::numeric_limits<double>::max(), 0}));
}

TEST(csv, has_a_checksum_of_names_and_numbers) {
  const auto sum = [](const std::string& text) { return parse_csv(text, "f").checksum(); };
  const std::string first = sum("a,b\n1,2\n3,4\n");
  EXPECT_EQ(first.size(), 16);
  EXPECT_EQ(sum("\"a\", b\r\n1.0,2\r\n3,40e-1"), first);
  for (const std::string other : {"a,b\n1,2\n3,5\n", "a,b\n1,2\n4,3\n", "a,b\n3,4\n1,2\n",
                                  "b,a\n1,2\n3,4\n", "a,bc\n1,2\n3,4\n", "a,b\n-1,-2\n3,4\n"}) {
    EXPECT_NE(sum(other), first) << other;
  }
}

TEST(csv, reads_what_programs_write) {
  const Names names = {"a", "b"};
  const Numbers numbers = {1, 2, 3, 4};
  for (const std::string text : {"a,b\r\n1,2\r\n3,4\r\n",     // CR LF
                                 "a,b\n1,2\n3,4",             // no end of the last line
                                 "a,b\r\n1,2\r\n3,4\r",       //
                                 "a,b\n1,2\n3,4\n\n \r\n\n",  // empty lines behind the last
                                 "\xef\xbb\xbf"
                                 "a,b\n1,2\n3,4\n",                        // a byte order mark
                                 " a , b\n1 ,\t2\n 3, 4 \n",               // blanks
                                 "\"a\",\"b\"\r\n\"1\",2\r\n3,\"4\"\r\n",  // quotes
                                 " \"a\" ,b\n1, \"2\" \n3,4\n"}) {         // both
    const CsvTable table = parse_csv(text, "f");
    EXPECT_EQ(table.names, names) << text;
    EXPECT_EQ(table.numbers, numbers) << text;
  }
}

TEST(csv, keeps_commas_quotes_and_lines_within_quotes) {
  const CsvTable table = parse_csv("\"a, \"\"b\"\"\",\"two\r\nlines\",\" c \"\n1,2,3\n", "f");
  EXPECT_EQ(table.names, (Names{"a, \"b\"", "two\r\nlines", " c "}));
  EXPECT_EQ(table.lines, std::vector<std::int64_t>{3});
}

TEST(csv, refuses_bytes_that_are_no_text) {
  const std::string text("a,b\n1,2\0\n", 10);
  EXPECT_EQ(error_of([&] { parse_csv(text, "f"); }), "f: has a byte 0, so that it is no text");
}

TEST(csv, names_file_line_and_column_of_what_it_refuses) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"", "f: is empty"},
      {"\n \r\n", "f: is empty"},
      {"a,b\n", "f: has no rows below the names of the columns"},
      {"a,b\r\n\r\n", "f: has no rows below the names of the columns"},
      {"a,,c\n1,2,3\n", "f: line 1, column 2: has no name"},
      {"a,b,\"a\"\n1,2,3\n", "f: line 1, column 3: has the name of column 1, \"a\""},
      {"1,2\n3,4\n", "f: line 1: has numbers, expected the names of the columns"},
      {"a,b\n1,2\n3,\n", "f: line 3, column 2 (\"b\"): the value is missing"},
      {"a,b\n1,2\n,4\n", "f: line 3, column 1 (\"a\"): the value is missing"},
      {"a,b\n1, \n", "f: line 2, column 2 (\"b\"): the value is missing"},
      {"a,b\n1,\"\"\n", "f: line 2, column 2 (\"b\"): the value is missing"},
      {"a,b\n1,2,\n", "f: line 2: 3 values, expected 2 as line 1 has names"},
      {"a,b\n1,x\n", "f: line 2, column 2 (\"b\"): \"x\" is no number"},
      {"a,b\n1,2 3\n", "f: line 2, column 2 (\"b\"): \"2 3\" is no number"},
      {"a,b\n1,0x10\n", "f: line 2, column 2 (\"b\"): \"0x10\" is no number"},
      {"a,b\n1,nan\n", "f: line 2, column 2 (\"b\"): \"nan\" is no number"},
      {"a,b\n-inf,2\n", "f: line 2, column 1 (\"a\"): \"-inf\" is no number"},
      {"a,b\n1,1e999\n",
       "f: line 2, column 2 (\"b\"): \"1e999\" is too large for a number of double precision"},
      {"a,b\n1,2\n-1e400,2\n",
       "f: line 3, column 1 (\"a\"): \"-1e400\" is too large for a number of double precision"},
      {"1e400,2\n3,4\n", "f: line 1: has numbers, expected the names of the columns"},
      {"a,b\n1,+-2\n", "f: line 2, column 2 (\"b\"): \"+-2\" is no number"},
      {"a,b\n1,2\n3\n", "f: line 3: 1 values, expected 2 as line 1 has names"},
      {"a,b\n1,2\n3,4,5\n", "f: line 3: 3 values, expected 2 as line 1 has names"},
      {"a,b\n1,2\n\n3,4\n", "f: line 3: is empty"},
      {"a,b\n\"1,2\n3,4\n", "f: line 2: a quote begins that is not closed"},
      {"a,b\n\"1\"x,2\n", "f: line 2: text behind a closing quote"},
      {"\"a\nb\",c\n1,2\n3,z\n", "f: line 4, column 2 (\"c\"): \"z\" is no number"},
      {"a,b\n1;2\n", "f: line 2, column 1 (\"a\"): \"1;2\" is no number"},
      {"a\n0123456789012345678901234567890123456789012\n1e\n",
       "f: line 3, column 1 (\"a\"): \"1e\" is no number"},
      {"a\n012345678901234567890123456789012345678x012\n",
       "f: line 2, column 1 (\"a\"): \"012345678901234567890123456789012345678x...\" is no number"},
  };
  for (const auto& bad : cases) {
    EXPECT_EQ(error_of([&] { parse_csv(bad.text, "f"); }), bad.error) << bad.text;
  }
}

TEST(csv, finds_columns_by_their_names) {
  const CsvTable table = parse_csv("a,b,\"b,c\",d\n1,2,3,4\n", "f");
  using Columns = std::vector<std::int64_t>;
  EXPECT_EQ(table.find("b"), Columns{1});
  EXPECT_EQ(table.find("d, a"), (Columns{3, 0}));
  EXPECT_EQ(table.find("b,c"), Columns{2});
  EXPECT_EQ(error_of([&] { table.find("a,e"); }), "f: has no column \"e\", but a, b, b,c, d");
  EXPECT_EQ(error_of([&] { table.find("a,"); }), "f: has no column \"\", but a, b, b,c, d");
  EXPECT_EQ(error_of([&] { table.find("a,d,a"); }), "f: column \"a\" is named twice");
}

TEST(csv, of_many_columns_shows_some) {
  std::string names = "c0";
  std::string numbers = "0";
  for (int i = 1; i < 100; ++i) {
    names += ",c" + std::to_string(i);
    numbers += ",0";
  }
  const CsvTable table = parse_csv(names + '\n' + numbers, "f");
  const std::string text = error_of([&] { table.find("x"); });
  EXPECT_NE(text.find(", c18, c19, ... (100 in all)"), std::string::npos) << text;
}

TEST(moments, are_those_of_the_numbers) {
  const auto of = [](const Numbers& numbers) {
    return trainer::moments_of(static_cast<std::int64_t>(numbers.size()), [&](std::int64_t i) {
      return numbers[static_cast<std::size_t>(i)];
    });
  };
  EXPECT_DOUBLE_EQ(of({1, 2, 3, 6}).mean, 3);
  EXPECT_DOUBLE_EQ(of({1, 2, 3, 6}).deviation, std::sqrt(14.0 / 4));
  EXPECT_EQ(of({0.1, 0.1, 0.1}).deviation, 0);
  EXPECT_EQ(of({0.1, 0.1, 0.1}).mean, 0.1);
  // Their squares are no doubles.
  EXPECT_DOUBLE_EQ(of({1e-200, 3e-200}).deviation, 1e-200);
  EXPECT_DOUBLE_EQ(of({1e200, 3e200}).deviation, 1e200);
}

/// A file in a directory of its own, and what is made of it.
class CsvFile : public testing::Test {
 protected:
  Dataset load(const std::string& text, const CsvOptions& options) {
    write_file(file_, text);
    return trainer::load_csv(file_, options);
  }
  /// What a `FileError` says behind the name of the file.
  std::string error(const std::string& text, const CsvOptions& options) {
    const std::string error = error_of([&] { load(text, options); });
    EXPECT_EQ(error.rfind(file_ + ": ", 0), 0) << error;
    return error.substr(std::min(error.size(), file_.size() + 2));
  }

  TemporaryDirectory directory_;
  std::string file_ = directory_.file("table.csv");
};

using csv_dataset = CsvFile;

/// Rows "n,n^2,n%3,0.5": five of them are four to train on and one to test.
std::string rows(int count) {
  std::string text = "n,square,class,half\n";
  for (int n = 0; n < count; ++n) {
    text +=
        std::to_string(n) + ',' + std::to_string(n * n) + ',' + std::to_string(n % 3) + ",0.5\n";
  }
  return text;
}

Numbers numbers_of(const trainer::Examples& examples) { return std::get<Numbers>(examples.inputs); }

TEST_F(csv_dataset, leaves_raw_columns_as_they_are) {
  const Dataset data =
      load(rows(10), {.targets = "square", .likelihood = Likelihood::poisson, .raw = true});
  EXPECT_EQ(data.inputs, 3);
  EXPECT_EQ(data.outputs, 1);
  EXPECT_EQ(data.train.count, 8);
  EXPECT_EQ(data.test.count, 2);
  EXPECT_TRUE(data.warnings.empty());
  double sum = 0;
  for (const trainer::Examples* part : {&data.train, &data.test}) {
    const Numbers inputs = numbers_of(*part);
    const Numbers& targets = std::get<Numbers>(part->targets);
    for (std::size_t row = 0; row < targets.size(); ++row) {
      const double n = inputs[3 * row];
      EXPECT_EQ(targets[row], n * n);
      EXPECT_EQ(inputs[3 * row + 1], std::fmod(n, 3));
      EXPECT_EQ(inputs[3 * row + 2], 0.5);
      sum += n;
    }
  }
  EXPECT_EQ(sum, 45);
}

TEST_F(csv_dataset, standardizes_by_the_training_rows_and_warns_of_constant_columns) {
  const std::string text = rows(10);
  const CsvOptions raw = {.targets = "square", .likelihood = Likelihood::gaussian, .raw = true};
  CsvOptions scaled = raw;
  scaled.raw = false;
  const Dataset before = load(text, raw);
  const Dataset after = load(text, scaled);
  EXPECT_EQ(after.warnings,
            Names{file_ + ": column 4 (\"half\") is constant in the training set, 0.5: it becomes "
                          "zeros"});
  const auto moments = [](const Numbers& numbers, std::size_t first, std::size_t stride) {
    return trainer::moments_of(
        8, [&](std::int64_t n) { return numbers[first + stride * static_cast<std::size_t>(n)]; });
  };
  for (std::size_t column = 0; column < 2; ++column) {
    const auto of_raw = moments(numbers_of(before.train), column, 3);
    EXPECT_NEAR(moments(numbers_of(after.train), column, 3).mean, 0, 1e-15);
    EXPECT_NEAR(moments(numbers_of(after.train), column, 3).deviation, 1, 1e-15);
    for (std::size_t row = 0; row < 2; ++row) {
      const std::size_t at = 3 * row + column;
      EXPECT_DOUBLE_EQ(numbers_of(after.test)[at],
                       (numbers_of(before.test)[at] - of_raw.mean) / of_raw.deviation);
      EXPECT_EQ(numbers_of(after.test)[3 * row + 2], 0);
    }
  }
  const Numbers& targets = std::get<Numbers>(after.train.targets);
  EXPECT_NEAR(moments(targets, 0, 1).deviation, 1, 1e-15);
  EXPECT_DOUBLE_EQ(after.error_unit,
                   moments(std::get<Numbers>(before.train.targets), 0, 1).deviation);
  EXPECT_EQ(before.error_unit, 1);
}

TEST_F(csv_dataset, begins_at_the_link_of_the_mean) {
  // Ten rows of which every one is to train on but two, whichever: the numbers alternate.
  std::string text = "x,y\n";
  for (int n = 0; n < 10; ++n) text += std::to_string(n) + ",1\n";
  const auto first = [&](Likelihood likelihood, const std::string& table, bool raw = false) {
    return load(table, {.targets = "y", .likelihood = likelihood, .raw = raw}).first_outputs;
  };
  // Of ones alone: half of one of eight samples is taken for another.
  EXPECT_NEAR(first(Likelihood::bernoulli, text)[0], std::log(15), 1e-14);
  EXPECT_NEAR(first(Likelihood::poisson, text)[0], 0, 1e-15);
  text = "x,y\n";
  for (int n = 0; n < 10; ++n) text += std::to_string(n) + ",0\n";
  EXPECT_NEAR(first(Likelihood::poisson, text)[0], std::log(0.5 / 8), 1e-14);

  const std::string table = rows(50);
  const Dataset data =
      load(table, {.targets = "square", .likelihood = Likelihood::gaussian_scale, .raw = true});
  const Numbers& squares = std::get<Numbers>(data.train.targets);
  const auto moments =
      trainer::moments_of(40, [&](std::int64_t n) { return squares[static_cast<std::size_t>(n)]; });
  EXPECT_EQ(data.outputs, 2);
  EXPECT_EQ(data.first_outputs, (Numbers{moments.mean, std::log(moments.deviation)}));
  const CsvOptions scaled = {.targets = "square", .likelihood = Likelihood::gaussian_scale};
  for (const double output : load(table, scaled).first_outputs) EXPECT_NEAR(output, 0, 1e-15);

  const Dataset classes =
      load(table, {.targets = "class", .likelihood = Likelihood::categorical, .raw = true});
  EXPECT_EQ(classes.outputs, 3);
  Numbers counts(3);
  for (const std::int32_t label : std::get<Labels>(classes.train.targets)) {
    ++counts[static_cast<std::size_t>(label)];
  }
  const Numbers& z = classes.first_outputs;
  EXPECT_NEAR(z[0] + z[1] + z[2], 0, 1e-14);
  EXPECT_NEAR(z[1] - z[0], std::log(counts[1] / counts[0]), 1e-14);
  EXPECT_NEAR(z[2] - z[0], std::log(counts[2] / counts[0]), 1e-14);
}

TEST_F(csv_dataset, takes_several_targets) {
  const Dataset data =
      load(rows(20), {.targets = "square,n", .likelihood = Likelihood::gaussian_scale});
  EXPECT_EQ(data.inputs, 2);
  EXPECT_EQ(data.targets, 2);
  EXPECT_EQ(data.outputs, 4);
  EXPECT_EQ(data.first_outputs.size(), 4);
  EXPECT_EQ(data.error_unit, 1);
  EXPECT_EQ(std::get<Numbers>(data.train.targets).size(), 32);
  EXPECT_THROW(load(rows(20), {.targets = "class,n", .likelihood = Likelihood::categorical}),
               OptionError);
}

TEST_F(csv_dataset, is_divided_by_its_key) {
  const auto n_of = [&](std::uint64_t split) {
    return numbers_of(
        load(rows(40),
             {.targets = "square", .likelihood = Likelihood::poisson, .raw = true, .split = split})
            .test);
  };
  EXPECT_EQ(n_of(3), n_of(3));
  EXPECT_NE(n_of(3), n_of(4));
}

TEST_F(csv_dataset, refuses_targets_outside_the_support) {
  const auto of = [&](const std::string& target, Likelihood likelihood) {
    return error("x,y\n1,1\n2," + target + "\n3,0\n", {.targets = "y", .likelihood = likelihood});
  };
  const std::string place = "line 3, column 2 (\"y\"): ";
  EXPECT_EQ(of("-1", Likelihood::poisson),
            place + "-1 is no target of --likelihood poisson: expected a count, 0, 1, 2, ...");
  EXPECT_EQ(of("1.5", Likelihood::poisson).rfind(place + "1.5 is no target", 0), 0);
  EXPECT_EQ(of("1.01", Likelihood::bernoulli),
            place + "1.01 is no target of --likelihood bernoulli: expected a number from 0 to 1");
  EXPECT_EQ(of("-0.5", Likelihood::bernoulli).rfind(place + "-0.5 is no target", 0), 0);
  EXPECT_EQ(of("0.5", Likelihood::categorical),
            place +
                "0.5 is no target of --likelihood categorical: expected the number of a class, "
                "0, 1, 2, ...");
  EXPECT_EQ(of("red", Likelihood::categorical), place + "\"red\" is no number");
}

TEST_F(csv_dataset, refuses_tables_that_cannot_be_learnt) {
  const std::string two = "x,y\n1,1\n2,2\n";
  EXPECT_EQ(error("x,y\n1,1\n", {.targets = "y"}), "1 rows, expected from 2 to 2^31 - 1");
  EXPECT_EQ(error(two, {.targets = "z"}), "has no column \"z\", but x, y");
  EXPECT_EQ(error(two, {.targets = "x,y"}),
            "has no column beside the targets, to predict them from");
  EXPECT_EQ(error("x,y\n1,2\n2,1\n3,2\n", {.targets = "y", .likelihood = Likelihood::categorical}),
            "line 2, column 2 (\"y\"): classes are numbered from 0, and no row has class 0 where 2 "
            "has one");
  EXPECT_EQ(error("x,y\n1,0\n2,1\n3,3\n", {.targets = "y", .likelihood = Likelihood::categorical}),
            "line 2, column 2 (\"y\"): classes are numbered from 0, and no row has class 2 where 3 "
            "has one");
  EXPECT_EQ(error("x,y\n1,0\n2,0\n", {.targets = "y", .likelihood = Likelihood::categorical}),
            "line 2, column 2 (\"y\"): every row has class 0");
  // A variance that is 0 from the beginning.
  for (const Likelihood likelihood : {Likelihood::gaussian, Likelihood::gaussian_scale}) {
    for (const bool raw : {false, true}) {
      EXPECT_EQ(
          error("x,y\n1,4\n2,4\n3,4\n", {.targets = "y", .likelihood = likelihood, .raw = raw}),
          "line 2, column 2 (\"y\"): is 4 in the whole training set: there is nothing to learn");
    }
  }
}

TEST_F(csv_dataset, refuses_numbers_without_room) {
  const std::string text = "x,y\n1,1\n2,2\n3,3\n1e300,4\n";
  const CsvOptions raw = {.targets = "y", .raw = true};
  EXPECT_EQ(error(text, raw), "line 5, column 1 (\"x\"): 1e+300 is too large here");
  CsvOptions in_double = raw;
  in_double.precision = ElementType::float64;
  EXPECT_EQ(load(text, in_double).inputs, 1);
  // Their deviation is no double.
  in_double.raw = false;
  const std::string most = std::to_string(std::numeric_limits<double>::max());
  const std::string error_text = error(
      "x,y\n" + most + ",1\n-" + most + ",2\n" + most + ",3\n-" + most + ",4\n0,5\n", in_double);
  EXPECT_NE(error_text.find("is too large here"), std::string::npos) << error_text;
}

TEST_F(csv_dataset, is_read_from_gzip) {
  const std::string text = rows(10);
  const gzFile file = gzopen(file_.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  EXPECT_EQ(gzclose(file), Z_OK);
  EXPECT_EQ(trainer::read_csv(file_).rows(), 10);
  write_file(file_, read_file(file_).substr(0, 30));
  EXPECT_NE(error_of([&] { trainer::read_csv(file_); }).find("cut off"), std::string::npos);
  std::filesystem::remove(file_);
  EXPECT_NE(error_of([&] { trainer::read_csv(file_); }).find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace natgrad::tests
