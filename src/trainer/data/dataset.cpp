#include "trainer/data/dataset.hpp"

#include "natgrad/error.hpp"
#include "trainer/data/checksum.hpp"
#include "trainer/data/digits_bytes.hpp"
#include "trainer/data/gzip.hpp"
#include "trainer/data/idx.hpp"
#include "trainer/data/shuffle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

namespace natgrad::trainer {

namespace {

constexpr std::int64_t digit_inputs = 64;
constexpr int digit_maximum = 16;
constexpr int classes = 10;

struct LabelledImages {
  std::vector<float> pixels;         // (count, inputs), within [0, 1]
  std::vector<std::int32_t> labels;  // (count)

  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

Examples examples_of(LabelledImages images) {
  const std::int64_t count = images.count();
  return {.inputs = std::move(images.pixels), .targets = std::move(images.labels), .count = count};
}

/// Reads the numbers of one line, `digit_inputs` pixels and the label. Returns where the next
/// begins.
const char* append_digit(const char* at, const char* end, LabelledImages& images) {
  for (std::int64_t column = 0; column <= digit_inputs; ++column) {
    int value = -1;
    const auto [next, error] = std::from_chars(at, end, value);
    const bool is_label = column == digit_inputs;
    const int largest = is_label ? classes - 1 : digit_maximum;
    const char separator = is_label ? '\n' : ',';
    if (error != std::errc() || value < 0 || value > largest || next == end || *next != separator) {
      throw FileError(fmt::format("digits.csv.gz: line {}, column {} is not a number up to {}",
                                  images.count() + 1, column + 1, largest));
    }
    if (is_label) {
      images.labels.push_back(value);
    } else {
      images.pixels.push_back(static_cast<float>(value) / digit_maximum);
    }
    at = next + 1;
  }
  return at;
}

LabelledImages parse_digits(const std::vector<std::uint8_t>& text) {
  LabelledImages images;
  const char* at = reinterpret_cast<const char*>(text.data());
  const char* const end = at + text.size();
  while (at != end) at = append_digit(at, end, images);
  return images;
}

Examples select(const LabelledImages& from, std::span<const std::int32_t> rows,
                std::int64_t inputs) {
  LabelledImages selected;
  for (const std::int32_t row : rows) {
    const auto first = from.pixels.begin() + static_cast<std::ptrdiff_t>(row * inputs);
    selected.pixels.insert(selected.pixels.end(), first, first + inputs);
    selected.labels.push_back(from.labels[static_cast<std::size_t>(row)]);
  }
  return examples_of(std::move(selected));
}

std::string plain_or_packed(const std::filesystem::path& directory, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const std::filesystem::path path = directory / (name + ending);
    std::error_code why;
    const std::filesystem::file_status status = std::filesystem::status(path, why);
    if (std::filesystem::is_regular_file(status)) return path.string();
    if (std::filesystem::exists(status)) throw FileError(path.string() + ": is no file");
    if (status.type() == std::filesystem::file_type::none) {
      throw FileError(path.string() + ": " + why.message());
    }
  }
  throw FileError((directory / name).string() + ": no such file, nor with .gz");
}

struct ImageFiles {
  LabelledImages images;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

ImageFiles load_pair(const std::string& directory, const std::string& prefix, Checksum& sum) {
  const std::string image_path = plain_or_packed(directory, prefix + "-images-idx3-ubyte");
  const std::string label_path = plain_or_packed(directory, prefix + "-labels-idx1-ubyte");
  const IdxImages images = read_idx_images(image_path);
  const std::vector<std::uint8_t> labels = read_idx_labels(label_path, classes);
  if (images.count != static_cast<std::int64_t>(labels.size())) {
    throw FileError(fmt::format("{}: {} labels for the {} images of {}", label_path, labels.size(),
                                images.count, image_path));
  }
  sum.add_numbers(std::span(images.pixels));
  sum.add_numbers(std::span(labels));
  ImageFiles files = {{}, images.height, images.width};
  files.images.labels.assign(labels.begin(), labels.end());
  files.images.pixels.resize(images.pixels.size());
  std::transform(images.pixels.begin(), images.pixels.end(), files.images.pixels.begin(),
                 [](std::uint8_t pixel) { return static_cast<float>(pixel) / 255; });
  return files;
}

}  // namespace

const char* const digits_attribution =
    "digits: Optical Recognition of Handwritten Digits, test set, by E. Alpaydin and C. Kaynak\n"
    "(1998), UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, as shipped by\n"
    "scikit-learn; licence CC BY 4.0, https://creativecommons.org/licenses/by/4.0/";

Split divide(std::int64_t count, std::uint64_t split) {
  const std::vector<std::int32_t> order = shuffled(split, RandomStream::split, 0, count);
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(order.size() * 4 / 5);
  return {.train = {order.begin(), middle}, .test = {middle, order.end()}};
}

Dataset load_digits(std::uint64_t split) {
  const LabelledImages all = parse_digits(unpack(digits_bytes(), "digits.csv.gz"));
  const Split rows = divide(all.count(), split);
  return {.name = "digits",
          .samples = "images",
          .inputs = digit_inputs,
          .outputs = classes,
          .train = select(all, rows.train, digit_inputs),
          .test = select(all, rows.test, digit_inputs)};
}

Dataset load_mnist(const std::string& directory) {
  if (std::error_code none; !std::filesystem::is_directory(directory, none)) {
    throw FileError(directory + ": no such directory");
  }
  Checksum sum;
  ImageFiles train = load_pair(directory, "train", sum);
  ImageFiles test = load_pair(directory, "t10k", sum);
  if (train.height != test.height || train.width != test.width) {
    throw FileError(fmt::format("{}: images are {} x {} for training and {} x {} for test",
                                directory, train.height, train.width, test.height, test.width));
  }
  return {.name = "mnist",
          .samples = "images",
          .inputs = train.height * train.width,
          .outputs = classes,
          .train = examples_of(std::move(train.images)),
          .test = examples_of(std::move(test.images)),
          .checksum = sum.text()};
}

}  // namespace natgrad::trainer
