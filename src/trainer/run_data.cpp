#include "trainer/run_data.hpp"

#include "natgrad/error.hpp"

#include <fmt/format.h>

namespace natgrad::trainer {

void RunData::save(Json& blob) const {
  blob["train_samples"] = train;
  blob["test_samples"] = test;
  blob["data_checksum"] = checksum;
}

void RunData::require_same(const BlobReader& blob, const std::string& file) const {
  const auto saved_train = blob.get<std::int64_t>("train_samples");
  const auto saved_test = blob.get<std::int64_t>("test_samples");
  if (saved_train != train || saved_test != test) {
    throw FileError(
        fmt::format("{}: the run has {} {} to train on and {} to test, here are {} and {}", file,
                    saved_train, samples, saved_test, train, test));
  }
  if (!blob.object().contains("data_checksum")) return;
  const auto saved = blob.get<std::string>("data_checksum");
  if (saved == checksum) return;
  const auto in_words = [](const std::string& sum) {
    return sum.empty() ? std::string("of no file") : "with checksum " + sum;
  };
  throw FileError(fmt::format("{}: the run is on other data of this size, {}; here they are {}",
                              file, in_words(saved), in_words(checksum)));
}

}  // namespace natgrad::trainer
