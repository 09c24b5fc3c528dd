#include "natgrad/error.hpp"
#include "support/files.hpp"
#include "support/idx_files.hpp"
#include "trainer/data/dataset.hpp"
#include "trainer/data/gzip.hpp"
#include "trainer/data/idx.hpp"
#include "trainer/data/shuffle.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <variant>
#include <vector>

namespace natgrad::tests {
namespace {

using trainer::RandomStream;

void write_gzip(const std::string& path, const std::string& content) {
  const gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(gzwrite(file, content.data(), static_cast<unsigned>(content.size())),
            static_cast<int>(content.size()));
  EXPECT_EQ(gzclose(file), Z_OK);
}

/// The call must throw a `FileError` that names `file` and says `what`.
void expect_file_error(const std::function<void()>& call, const std::string& file,
                       const std::string& what) {
  try {
    call();
    FAIL() << "no error, expected: " << what;
  } catch (const FileError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find(file), std::string::npos) << text;
    EXPECT_NE(text.find(what), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(idx, reads_plain_and_packed_images) {
  const TemporaryDirectory directory;
  const std::string plain = directory.file("plain");
  const std::string packed = directory.file("packed");
  write_file(plain, image_bytes(4));
  write_gzip(packed, image_bytes(4));
  for (const std::string& path : {plain, packed}) {
    const trainer::IdxImages images = trainer::read_idx_images(path);
    EXPECT_EQ(images.count, 4);
    EXPECT_EQ(images.height, 2);
    EXPECT_EQ(images.width, 3);
    ASSERT_EQ(images.pixels.size(), 24);
    EXPECT_EQ(images.pixels[11], 1);
    EXPECT_EQ(images.pixels[12], 2);
  }
}

TEST(idx, reads_labels) {
  const TemporaryDirectory directory;
  write_gzip(directory.file("labels"), label_bytes(12));
  const std::vector<std::uint8_t> labels = trainer::read_idx_labels(directory.file("labels"), 10);
  EXPECT_EQ(labels, (std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1}));
}

TEST(idx, refuses_bad_files) {
  const std::string good = image_bytes(4);
  const auto with_byte = [&](std::size_t at, char byte) {
    std::string bytes = good;
    bytes[at] = byte;
    return bytes;
  };
  const struct {
    const char* name;
    std::string bytes;
    const char* what;
  } cases[] = {
      {"empty", "", "too short for an IDX file"},
      {"text", "0,0,5,13,9,1,0\n", "not an IDX file"},
      {"magic", with_byte(0, 1), "not an IDX file"},
      {"type", with_byte(2, 0x0d), "IDX element type 13, expected 8"},
      {"labels", label_bytes(4), "IDX file of 1 dimensions, expected 3"},
      {"header", good.substr(0, 15), "cut off within the IDX header"},
      {"truncated", good.substr(0, good.size() - 1), "cut off, 23 bytes are there for 4 x 2 x 3"},
      {"trailing", good + "ab", "2 bytes too many after 4 x 2 x 3"},
      {"nothing", idx_bytes({0, 2, 3}, {}), "a dimension is 0"},
      {"huge", idx_bytes({0xffffffff, 0xffffffff, 0xffffffff}, {1}), "cut off, 1 bytes"},
  };
  const TemporaryDirectory directory;
  for (const auto& bad : cases) {
    const std::string path = directory.file(bad.name);
    write_file(path, bad.bytes);
    expect_file_error([&] { trainer::read_idx_images(path); }, path, bad.what);
    write_gzip(path, bad.bytes);
    expect_file_error([&] { trainer::read_idx_images(path); }, path, bad.what);
  }
}

TEST(idx, refuses_labels_out_of_range) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("labels");
  write_file(path, idx_bytes({3}, {1, 10, 2}));
  expect_file_error([&] { trainer::read_idx_labels(path, 10); }, path,
                    "label 10 in row 1, expected less than 10");
}

TEST(gzip, refuses_what_cannot_be_read) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("file.gz");
  expect_file_error([&] { trainer::read_file(path); }, path, "No such file");
  expect_file_error([&] { trainer::read_file(directory.path()); }, directory.path(), "directory");

  write_gzip(path, image_bytes(200));
  const std::string packed = read_file(path);
  write_file(path, packed.substr(0, packed.size() / 2));
  expect_file_error([&] { trainer::read_file(path); }, path, "cut off");

  std::string damaged = packed;
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  write_file(path, damaged);
  expect_file_error([&] { trainer::read_file(path); }, path, "damaged");

  const std::vector<std::uint8_t> half(packed.begin(), packed.begin() + 30);
  expect_file_error([&] { trainer::unpack(half, "memory"); }, "memory", "damaged or cut off");
}

class Mnist : public testing::Test {
 protected:
  void SetUp() override {
    write_file(directory_.file("train-images-idx3-ubyte"), image_bytes(20));
    write_file(directory_.file("train-labels-idx1-ubyte"), label_bytes(20));
    write_gzip(directory_.file("t10k-images-idx3-ubyte.gz"), image_bytes(5));
    write_gzip(directory_.file("t10k-labels-idx1-ubyte.gz"), label_bytes(5));
  }

  void expect_error(const std::string& file, const std::string& what) {
    expect_file_error([&] { trainer::load_mnist(directory_.path()); }, directory_.file(file), what);
  }

  TemporaryDirectory directory_;
};

using mnist = Mnist;

const std::vector<float>& pixels(const trainer::Examples& examples) {
  return std::get<std::vector<float>>(examples.inputs);
}
const std::vector<std::int32_t>& labels(const trainer::Examples& examples) {
  return std::get<std::vector<std::int32_t>>(examples.targets);
}

TEST_F(mnist, loads_plain_and_packed_files) {
  const trainer::Dataset data = trainer::load_mnist(directory_.path());
  EXPECT_EQ(data.inputs, 6);
  EXPECT_EQ(data.outputs, 10);
  EXPECT_EQ(data.train.count, 20);
  EXPECT_EQ(data.test.count, 5);
  ASSERT_EQ(pixels(data.train).size(), 120);
  EXPECT_EQ(pixels(data.train)[6], 1.0F / 255);
  EXPECT_EQ(labels(data.train)[13], 3);
}

TEST_F(mnist, refuses_files_that_do_not_fit_each_other) {
  write_file(directory_.file("train-labels-idx1-ubyte"), label_bytes(19));
  expect_error("train-labels-idx1-ubyte", "19 labels for the 20 images");
  SetUp();
  write_gzip(directory_.file("t10k-images-idx3-ubyte.gz"), idx_bytes({5, 1, 1}, {1, 2, 3, 4, 5}));
  expect_file_error([&] { trainer::load_mnist(directory_.path()); }, directory_.path(),
                    "2 x 3 for training and 1 x 1 for test");
}

TEST_F(mnist, names_the_missing_file) {
  std::filesystem::remove(directory_.file("t10k-labels-idx1-ubyte.gz"));
  expect_error("t10k-labels-idx1-ubyte", "no such file, nor with .gz");
  expect_file_error([&] { trainer::load_mnist(directory_.file("none")); }, directory_.file("none"),
                    "no such directory");
}

TEST(shuffle, is_a_permutation_for_every_length) {
  for (const std::int64_t count : {0, 1, 2, 3, 1000}) {
    std::vector<std::int32_t> order = trainer::shuffled(7, RandomStream::shuffle, 3, count);
    std::sort(order.begin(), order.end());
    std::vector<std::int32_t> expected(static_cast<std::size_t>(count));
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(order, expected);
  }
}

// Literal, because splits and orders must stay what they are on every machine and in every version.
TEST(shuffle, never_changes) {
  const auto first = [](std::uint64_t seed, RandomStream stream, std::uint32_t part) {
    std::vector<std::int32_t> order = trainer::shuffled(seed, stream, part, 1797);
    order.resize(6);
    return order;
  };
  using Order = std::vector<std::int32_t>;
  EXPECT_EQ(first(0, RandomStream::split, 0), (Order{1502, 1553, 940, 779, 706, 1247}));
  EXPECT_EQ(first(1, RandomStream::split, 0), (Order{431, 1625, 1464, 385, 1497, 1042}));
  EXPECT_EQ(first(0, RandomStream::shuffle, 0), (Order{1715, 1434, 238, 1254, 679, 1694}));
  EXPECT_EQ(first(0, RandomStream::shuffle, 1), (Order{1412, 1320, 1597, 627, 1351, 1205}));
}

TEST(shuffle, is_uniform_over_the_six_orders_of_three) {
  std::vector<int> counts(27, 0);
  constexpr int trials = 6000;
  for (std::uint32_t part = 0; part < trials; ++part) {
    const std::vector<std::int32_t> order = trainer::shuffled(5, RandomStream::shuffle, part, 3);
    ++counts[static_cast<std::size_t>(order[0] * 9 + order[1] * 3 + order[2])];
  }
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    // The standard deviation is 29.
    EXPECT_NEAR(count, trials / 6, 150);
  }
  EXPECT_EQ(orders, 6);
}

TEST(digits, are_split_four_to_one) {
  const trainer::Dataset data = trainer::load_digits(0);
  EXPECT_EQ(data.inputs, 64);
  EXPECT_EQ(data.outputs, 10);
  EXPECT_EQ(data.train.count, 1437);
  EXPECT_EQ(data.test.count, 360);
  EXPECT_EQ(pixels(data.train).size(), 1437 * 64);
  EXPECT_EQ(pixels(data.test).size(), 360 * 64);
  for (const trainer::Examples* part : {&data.train, &data.test}) {
    const auto [least, most] = std::minmax_element(pixels(*part).begin(), pixels(*part).end());
    EXPECT_EQ(*least, 0);
    EXPECT_EQ(*most, 1);
  }
}

TEST(digits, follow_the_order_of_the_split) {
  // The file's first row: a zero whose third pixel is 5.
  const std::vector<std::int32_t> order = trainer::shuffled(3, RandomStream::split, 0, 1797);
  const trainer::Dataset data = trainer::load_digits(3);
  const auto at =
      static_cast<std::size_t>(std::find(order.begin(), order.end(), 0) - order.begin());
  const bool in_train = at < 1437;
  const trainer::Examples& part = in_train ? data.train : data.test;
  const std::size_t row = in_train ? at : at - 1437;
  EXPECT_EQ(labels(part)[row], 0);
  EXPECT_EQ(pixels(part)[row * 64 + 2], 5.0F / 16);
}

TEST(digits, of_two_splits_differ_but_are_the_same_in_all) {
  std::int64_t label_sums[2] = {};
  for (const std::uint64_t split : {0, 1}) {
    const trainer::Dataset data = trainer::load_digits(split);
    for (const trainer::Examples* part : {&data.train, &data.test}) {
      label_sums[split] =
          std::accumulate(labels(*part).begin(), labels(*part).end(), label_sums[split]);
    }
  }
  EXPECT_EQ(label_sums[0], label_sums[1]);
  EXPECT_NE(labels(trainer::load_digits(0).test), labels(trainer::load_digits(1).test));
}

}  // namespace
}  // namespace natgrad::tests
