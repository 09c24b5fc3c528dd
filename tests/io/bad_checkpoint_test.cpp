#include "io/stepped_run.hpp"
#include "natgrad/natgrad.hpp"
#include "support/checkpoint_bytes.hpp"
#include "support/sanitized.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

// A file that is not what it should be is a FileError, whatever it holds, and changes nothing.

namespace natgrad::tests {

namespace {

class BadFiles : public SteppedRun {
 protected:
  /// What `load` says of this content, for the stepped run and for a fresh one.
  std::string error_of(const std::string& content) {
    write_file(path_, content);
    const std::string text = file_error([&] { load(path_, run_.optimizer); });
    Training<float> fresh;
    const std::string fresh_text = file_error([&] { load(path_, fresh.optimizer); });
    EXPECT_EQ(text, fresh_text);
    expect_same_bits(fresh, Training<float>());
    return text;
  }

  /// The checkpoint, to be changed.
  CheckpointBytes changed() const { return CheckpointBytes(content_); }
  /// With some bytes overwritten, and a checksum of the header that fits.
  std::string with(std::size_t at, std::string_view bytes) const {
    return CheckpointBytes::with_header_checksum(
        std::string(content_).replace(at, bytes.size(), bytes));
  }
  std::string with_length(std::uint64_t length) const {
    return with(0, {reinterpret_cast<const char*>(&length), sizeof length});
  }
  std::string with_text(std::string_view from, std::string_view to) const {
    EXPECT_EQ(from.size(), to.size());
    const std::size_t at = content_.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return with(at, to);
  }
};

using bad_checkpoint = BadFiles;

TEST_F(bad_checkpoint, says_what_is_wrong_with_the_file) {
  ASSERT_TRUE(CheckpointBytes::with_header_checksum(content_) == content_);
  ASSERT_TRUE(changed().text() == content_);
  const std::string old_format("\x89NATGRAD\4\3\2\1\2\0\0\0 and more", 25);
  const std::string foreign =
      CheckpointBytes::with_header(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  const struct {
    std::string content;
    const char* text;
  } cases[] = {
      {"", "is not a checkpoint"},
      {"{\"a\": \"text file\"}", "is not a checkpoint"},
      {std::string(1000, '\0'), "is not a checkpoint"},
      {foreign, "is not a checkpoint of natgrad"},
      {old_format, "is of an older version of natgrad; this version reads format 3"},
      {content_.substr(0, 5), "is not a checkpoint"},
      {content_.substr(0, 9), "cut off after 9 bytes"},
      {content_.substr(0, 31), "cut off after 31 bytes"},
      {content_.substr(0, 80), "cut off after 80 bytes"},
      {content_.substr(0, 1000), "cut off after 1000 bytes"},
      {content_.substr(0, content_.size() - 1), "cut off"},
      {content_ + '\0', "damaged: it is 1 bytes too long"},
      {with_text(R"("natgrad":"3")", R"("natgrad":"4")"),
       "of format 4, this version of natgrad reads format 3"},
      {changed().set_text("natgrad", "10").text(), "of format 10, this version"},
      {changed().set_text("natgrad", "2").text(), "of format 2, this version"},
      {changed().set_text("natgrad", "12345").text(), "its format is no number"},
      {changed().set_text("natgrad", "").text(), "its format is no number"},
      {with_text(R"(","checksum":")", R"(","checksun":")"), "its header has no checksum"},
      {with_length(~0ull), "its header is too long"},
      {with_length(100'000'000), "cut off"},
      {with_length(20), "its header is too short"},
      {with_length(100), "the header is not one of a checkpoint"},
      {std::string(content_).replace(8, 1, "["), "is not a checkpoint"},
      {std::string(content_).replace(60, 1, "x"), "its header has another checksum"},
      {std::string(content_).replace(content_.size() - 1, 1, "\xfe"),
       "damaged: entry \"blob.place\" has another checksum"},
  };
  for (const auto& bad : cases) expect_error(error_of(bad.content), path_, bad.text);
  expect_untouched();
}

TEST_F(bad_checkpoint, says_what_is_wrong_with_the_header) {
  const std::string rate = "optimizer.settings.rate";
  const struct {
    std::string content;
    const char* text;
  } cases[] = {
      {with(8 + 400, "\n"), "damaged: the header is not one of a checkpoint"},
      {with_text(R"("dtype")", R"("type ")"), "damaged: the header is not one of a checkpoint"},
      {changed().describe(rate, "BF16", nlohmann::ordered_json::array()).text(),
       "is of the element type \"BF16\", which natgrad does not write"},
      {changed().describe(rate, "F64", {2}).text(), "does not fit its place in the data"},
      {changed().describe(rate, "F64", {-1}).text(), "has another value for a number"},
      {changed().describe(rate, "F64", {1ull << 62, 8}).text(), "does not fit its place"},
      {changed().describe(rate, "F64", "1").text(), "has another value for a number"},
      {with_text(R"("data_offsets":[0,8])", R"("data_offsets":[8,0])"), "does not fit its place"},
      {with_text(R"("data_offsets":[0,8])", R"("data_offsets":[1,9])"), "overlap or leave a gap"},
      {with_text(R"("data_offsets":[8,16])", R"("data_offsets":[0, 8])"), "overlap or leave a gap"},
      {changed().erase_text("optimizer").text(), "its metadata has no \"optimizer\""},
      {with_text("checksum." + rate, "checksum_" + rate), "no \"checksum."},
  };
  for (const auto& bad : cases) expect_error(error_of(bad.content), path_, bad.text);
  expect_untouched();
}

TEST_F(bad_checkpoint, says_what_is_wrong_with_the_entries) {
  const std::string reported = "optimizer.counters.reported";
  const std::string reports = "optimizer.reports.";
  const struct {
    std::string content;
    const char* text;
  } cases[] = {
      {changed().rename("segment 0", "segment 7").text(),
       "another model: parameters of the file that the optimizer has not: \"segment 7\" (2 x 3); "
       "of the optimizer that the file has not: \"segment 0\" (2 x 3)"},
      {changed().erase("optimizer.momentum.segment 0").text(),
       "no entry \"optimizer.momentum.segment 0\" (F32, 2 x 3); the file was written by natgrad"},
      {changed().erase("optimizer.counters.steps").text(),
       "no entry \"optimizer.counters.steps\" (F64, one number)"},
      {changed().erase(reported).text(), "no entry \"optimizer.counters.reported\""},
      {changed().add("optimizer.settings.speed", 1).set_text("version", "9.8.7").text(),
       "does not know the entry \"optimizer.settings.speed\" (F64, one number); the file was "
       "written by natgrad 9.8.7, this is "},
      {changed().describe(reported, "F64", nlohmann::ordered_json::array()).text(),
       "is F64, one number in the file, I64, one number in the optimizer"},
      {changed().describe(reported, "I64", {1}).text(), "is I64, 1 in the file"},
      {changed().set(reported, std::int64_t{-1}).text(),
       "entry \"optimizer.counters.reported\" is damaged: it holds -1"},
      {changed().set(reported, std::int64_t{1} << 60).text(), "is damaged: it holds 1.15292e+18"},
      {changed().set("optimizer.counters.steps", 0.5).text(), "is damaged: it holds 0.5"},
      {changed().set(reports + "form", 3.0).text(), "form\" is damaged: it holds 3"},
      {changed().set(reports + "predicts_kl", -1.0).text(), "predicts_kl\" is damaged"},
      {changed().set(reports + "outcome", 4.0, 5).text(), "outcome\" is damaged: it holds 4"},
      {changed().set(reports + "outcome", std::numeric_limits<double>::quiet_NaN()).text(),
       "outcome\" is damaged: it holds nan"},
      {changed().set(reports + "failures_in_a_row", -1.0, 63).text(), "is damaged"},
      {changed().set("optimizer.settings.rate", -1.0).text(),
       "the rate or damping in the file does not go with the options"},
      {changed().set("optimizer.settings.absolute_damping", -1.0).text(),
       "the rate or damping in the file does not go with the options"},
  };
  for (const auto& bad : cases) expect_error(error_of(bad.content), path_, bad.text);
  expect_untouched();
}

TEST_F(bad_checkpoint, is_refused_at_every_length) {
  // A sanitizer makes reading a header so slow that some lengths must do.
  const std::size_t shorter = sanitized ? 17 : 1;
  for (std::size_t length = content_.size(); length > 0;) {
    length -= std::min(length, shorter);
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(length)), 0);
    ASSERT_NE(file_error([&] { load(path_, run_.optimizer); }), "no FileError") << length;
  }
  expect_untouched();
}

TEST_F(bad_checkpoint, is_refused_with_any_byte_changed) {
  // All bits of the beginning, then one of every byte. In place: to truncate a file and write it
  // again may wait for the disk.
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, char byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(byte).flush();
  };
  const std::size_t further = sanitized ? 153 : 9;
  for (std::size_t bit = 0; bit < 8 * content_.size(); bit += bit < 8 * 90 ? 1 : further) {
    const std::size_t at = bit / 8;
    put(at, static_cast<char>(content_[at] ^ (1 << bit % 8)));
    ASSERT_NE(file_error([&] { load(path_, run_.optimizer); }), "no FileError") << bit;
    put(at, content_[at]);
  }
  EXPECT_TRUE(read_file(path_) == content_);
  expect_untouched();
}

/// With checksums that fit, as far as there is a header that tells where the entries are.
std::string signed_again(const std::string& content) {
  try {
    return CheckpointBytes(content).text();
  } catch (const std::exception&) {
    return CheckpointBytes::with_header_checksum(content);
  }
}

TEST_F(bad_checkpoint, never_crashes_where_the_checksums_fit) {
  Random random(5);
  const auto below = [&](std::size_t count) {
    return static_cast<std::size_t>((random() + 1) / 2 * static_cast<double>(count));
  };
  int refused = 0;
  constexpr int tries = sanitized ? 100 : 500;
  for (int i = 0; i < tries; ++i) {
    std::string flipped = content_;
    const std::size_t at = below(content_.size());
    for (int flips = 0; flips < 3; ++flips) {
      char& byte = flipped[std::min(at + below(20), content_.size() - 1)];
      byte = static_cast<char>(byte ^ (1 << below(8)));
    }
    write_file(path_, signed_again(flipped));
    Training<float> run;
    if (file_error([&] { load(path_, run.optimizer); }) != "no FileError") {
      ++refused;
      expect_same_bits(run, Training<float>());
      continue;
    }
    try {
      for (int step = 0; step < 3; ++step) run.step(1);
      run.optimizer.report();
      run.optimizer.reports();
    } catch (const StepFailed&) {
      // That many failures may stand in the file.
    }
  }
  EXPECT_GT(refused, tries / 50);
  EXPECT_LT(refused, tries);
}

TEST_F(bad_checkpoint, of_another_run_names_both_sides) {
  const auto error_for = [&](auto run) {
    const auto before = run->batch.theta_memory();
    const std::string text = file_error([&] { load(path_, run->optimizer); });
    const auto after = run->batch.theta_memory();
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(same_bits(before[i], after[i]));
    EXPECT_THROW(run->optimizer.report(), ArgumentError);
    return text;
  };
  expect_error(error_for(std::make_unique<Training<double>>()), path_,
               "the parameters in the file are F32, those of the optimizer F64");
  using Options = NaturalGradient::Options;
  expect_error(error_for(std::make_unique<Training<float>>(Options{.momentum = NoMomentum{}})),
               path_,
               "the file is of natural gradient with SPRING momentum, the optimizer is natural "
               "gradient without momentum");
  expect_error(error_for(std::make_unique<Training<float>>(Options{.momentum = HeavyBall{}})),
               path_, "the optimizer is natural gradient with heavy-ball momentum");
  // Momentum has no numbers of frozen tensors, and the file's rate must suit the options.
  expect_error(
      error_for(std::make_unique<Training<float>>(Options{.rate_factors = {{Segment{1}, 0}}})),
      path_, "natural gradient with SPRING momentum and frozen segment 1");
  expect_error(error_for(std::make_unique<Training<float>>(
                   Options{.step = FixedRate{1e-3}, .weight_decay = 900})),
               path_, "the rate or damping in the file does not go with the options");

  std::vector<float> a(6), b(2), c(4), d(2);
  const auto model_error = [&](const std::vector<std::pair<View, std::string>>& tensors) {
    Parameters parameters(Context::cpu());
    for (const auto& [view, name] : tensors) parameters.add(view, name);
    NaturalGradient optimizer(parameters);
    return file_error([&] { load(path_, optimizer); });
  };
  const View first(a.data(), {2, 3}), second(b.data(), {2});
  expect_error(
      model_error({{View(a.data(), {3, 2}), ""}}), path_,
      "another model: parameter \"segment 0\" is 2 x 3 in the file, 3 x 2 in the optimizer");
  expect_error(
      model_error({{first, ""}, {second, "bias"}}), path_,
      "another model: parameters of the file that the optimizer has not: \"segment 1\" (2), "
      "\"segment 2\" (2 x 2), \"segment 3\" (2); of the optimizer that the file has not: "
      "\"bias\" (2)");
  expect_error(
      model_error({{first, ""}, {second, ""}}), path_,
      "\"segment 2\" (2 x 2), \"segment 3\" (2); of the optimizer that the file has not: none");
  std::vector<float> e(1);
  expect_error(model_error({{first, ""},
                            {second, ""},
                            {View(c.data(), {2, 2}), ""},
                            {View(d.data(), {2}), ""},
                            {View(e.data(), {1}), ""}}),
               path_, "has not: none; of the optimizer that the file has not: \"segment 4\" (1)");
  EXPECT_EQ(a, std::vector<float>(6));
}

TEST_F(bad_checkpoint, is_a_file_that_cannot_be_read) {
  const auto error = [&](const std::string& path) {
    return file_error([&] { load(path, run_.optimizer); });
  };
  const std::string nowhere = directory_.file("nowhere");
  expect_error(error(nowhere), nowhere, "cannot be read: No such file or directory");
  expect_error(error(directory_.path()), directory_.path(), "is not a regular file");
  expect_error(error("/dev/zero"), "/dev/zero", "is not a regular file");
  expect_error(error(path_ + "/under"), path_, "Not a directory");
  expect_error(error(""), "", "cannot be read: the name of its file is empty");
  expect_error(error(path_ + '\0' + "more"), path_, "goes on behind a null character");
  expect_untouched();
}

TEST_F(bad_checkpoint, is_not_read_where_a_large_file_is_something_else) {
  write_file(path_, "PK and a terabyte more");
  ASSERT_EQ(truncate(path_.c_str(), off_t{1} << 40), 0);
  expect_error(file_error([&] { load(path_, run_.optimizer); }), path_, "is not a checkpoint");
  write_file(path_, content_);
  ASSERT_EQ(truncate(path_.c_str(), off_t{1} << 40), 0);
  expect_error(file_error([&] { load(path_, run_.optimizer); }), path_, "bytes too long");
  expect_untouched();
}

}  // namespace

}  // namespace natgrad::tests
