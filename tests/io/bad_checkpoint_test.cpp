#include "kernels/formulas/step_scalars.hpp"
#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

// A file that is not what it should be is a FileError, whatever it holds, and changes nothing; so
// is one that cannot be written, and the old one stays.

namespace natgrad::tests {

namespace {

/// A stepped run whose parameters no failed load may touch.
class BadFiles : public Checkpoint {
 protected:
  BadFiles() {
    run_.steps(1, 3);
    save(path_, run_.optimizer, some_blobs());
    content_ = read_file(path_);
    run_.steps(4, 5);
    undisturbed_.steps(1, 5);
  }

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
  void expect_untouched() {
    expect_same_bits(run_, undisturbed_);
    expect_same_reports(run_, undisturbed_);
    run_.step(6);
    undisturbed_.step(6);
    expect_same_bits(run_, undisturbed_);
  }

  /// FNV-1a once more, so that what a checksum cannot see is tried, too.
  static std::string with_checksum(std::string content) {
    std::uint64_t sum = 0xcbf29ce484222325;
    const std::size_t end = content.size() - sizeof sum;
    for (std::size_t i = 0; i < end; ++i) {
      sum = (sum ^ static_cast<unsigned char>(content[i])) * 0x100000001b3;
    }
    std::memcpy(&content[end], &sum, sizeof sum);
    return content;
  }
  template <class T>
  std::string with(std::size_t at, T value) const {
    std::string changed = content_;
    std::memcpy(&changed[at], &value, sizeof value);
    return with_checksum(changed);
  }
  std::size_t after(const std::string& section) const {
    const std::size_t at = content_.find(section);
    EXPECT_NE(at, std::string::npos) << section;
    return at + section.size();
  }

  Training<float> run_;
  Training<float> undisturbed_;
  std::string content_;
};

using bad_checkpoint = BadFiles;

TEST_F(bad_checkpoint, says_what_is_wrong_with_the_header) {
  ASSERT_TRUE(with_checksum(content_) == content_);
  const struct {
    std::string content;
    const char* text;
  } cases[] = {
      {"", "is not a checkpoint"},
      {"{\"a\": \"text file\"}", "is not a checkpoint"},
      {with(0, 'N'), "is not a checkpoint"},
      {with(7, 'd'), "is not a checkpoint"},
      {content_.substr(0, 5), "cut off after 5 bytes"},
      {content_.substr(0, 31), "cut off after 31 bytes"},
      {content_.substr(0, content_.size() - 1), "cut off"},
      {content_ + '\0', "damaged"},
      {with<std::uint32_t>(8, 0x04030201), "other byte order"},
      {with<std::uint32_t>(8, 0x01020305), "damaged"},
      {with<std::uint32_t>(12, 3), "of format 3, this version of natgrad reads format 2"},
      {with<std::uint32_t>(12, 0), "of format 0"},
      {with<std::uint64_t>(16, ~0ull), "cut off"},
      {with<std::uint64_t>(16, 3), "damaged"},
      {with<std::uint64_t>(24, 0), "bytes too long"},
      {with<std::uint64_t>(24, ~0ull), "ends too early"},
      {with<std::uint64_t>(32, ~0ull), "ends too early"},
      {with<std::uint64_t>(40, ~0ull - 3), "ends too early"},
  };
  for (const auto& bad : cases) expect_error(error_of(bad.content), path_, bad.text);
  expect_untouched();
}

TEST_F(bad_checkpoint, says_what_is_wrong_with_the_content) {
  const std::size_t reported = after("state: reported");
  const std::size_t scalars = after("state: scalars");
  const std::size_t outcome = scalars + offsetof(StepScalars, outcome);
  const struct {
    std::string content;
    const char* text;
  } cases[] = {
      {with(after("optimize"), 'R'), "no section \"optimizer\""},
      {with(after("segment"), 'S'), "no section \"segments\""},
      {with(after("thet"), 'A'), "no section \"theta\""},
      {with(after("state: momentu"), 'M'), "no section \"state: momentum\""},
      {with(reported, std::int64_t{-1}), "\"state: reported\" is damaged"},
      {with(reported, std::int64_t{1} << 60), "\"state: reported\" is damaged"},
      {with(scalars + offsetof(StepScalars, form), 3.0), "\"state: scalars\" is damaged"},
      {with(scalars + offsetof(StepScalars, kind), -1.0), "\"state: scalars\" is damaged"},
      {with(outcome, 4.0), "\"state: scalars\" is damaged"},
      {with(outcome, std::numeric_limits<double>::quiet_NaN()), "\"state: scalars\" is damaged"},
      {with(after("state: reports") + offsetof(StepScalars, failures), -1.0), "is damaged"},
  };
  for (const auto& bad : cases) expect_error(error_of(bad.content), path_, bad.text);
  expect_untouched();
}

TEST_F(bad_checkpoint, is_refused_at_every_length) {
  for (std::size_t length = content_.size(); length-- > 0;) {
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(length)), 0);
    ASSERT_NE(file_error([&] { load(path_, run_.optimizer); }), "no FileError") << length;
  }
  expect_untouched();
}

TEST_F(bad_checkpoint, is_refused_with_any_bit_of_its_frame_flipped) {
  // The header, names and lengths, and the checksum.
  for (std::size_t bit = 0; bit < 8 * content_.size(); bit += bit < 8 * 200 ? 1 : 97) {
    std::string flipped = content_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write_file(path_, flipped);
    ASSERT_NE(file_error([&] { load(path_, run_.optimizer); }), "no FileError") << bit;
  }
  expect_untouched();
}

TEST_F(bad_checkpoint, never_crashes_where_the_checksum_fits) {
  Random random(5);
  const auto below = [&](std::size_t count) {
    return static_cast<std::size_t>((random() + 1) / 2 * static_cast<double>(count));
  };
  int refused = 0;
  constexpr int tries = 1000;
  for (int i = 0; i < tries; ++i) {
    std::string flipped = content_;
    const std::size_t at = below(content_.size() - 8);
    for (int flips = 0; flips < 3; ++flips) {
      char& byte = flipped[std::min(at + below(20), content_.size() - 9)];
      byte = static_cast<char>(byte ^ (1 << below(8)));
    }
    write_file(path_, with_checksum(flipped));
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
               "the parameters in the file are float32, those of the optimizer float64");
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
  expect_error(model_error({{View(a.data(), {3, 2}), ""}}), path_,
               "segment 0 is \"segment 0\" (2 x 3) in the file, \"segment 0\" (3 x 2) in the");
  expect_error(model_error({{first, ""}, {second, "bias"}}), path_,
               "segment 1 is \"segment 1\" (2 x 1) in the file, \"bias\" (2 x 1) in the");
  expect_error(model_error({{first, ""}, {second, ""}}), path_,
               "4 segments in the file, 2 in the optimizer");
  std::vector<float> e(1);
  expect_error(model_error({{first, ""},
                            {second, ""},
                            {View(c.data(), {2, 2}), ""},
                            {View(d.data(), {2}), ""},
                            {View(e.data(), {1}), ""}}),
               path_, "4 segments in the file, 5 in the optimizer");
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
  expect_untouched();
}

/// As if the disk had room for so many bytes.
class DiskOf {
 public:
  explicit DiskOf(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  DiskOf(const DiskOf&) = delete;
  DiskOf& operator=(const DiskOf&) = delete;
  ~DiskOf() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(bad_checkpoint, is_never_left_by_a_full_disk) {
  for (const std::size_t room :
       {std::size_t{0}, std::size_t{20}, std::size_t{4096}, content_.size() - 1}) {
    const std::string text = file_error([&] {
      const DiskOf disk(room);
      save(path_, run_.optimizer, some_blobs());
    });
    expect_error(text, path_, "cannot be written: File too large");
    expect_only(content_);
  }
  expect_untouched();
}

/// Without the rights of root, who may write everywhere.
class Unprivileged {
 public:
  Unprivileged() : root_(geteuid() == 0) {
    constexpr uid_t nobody = 65534;
    if (!root_) return;
    EXPECT_EQ(seteuid(nobody), 0);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() {
    if (!root_) return;
    EXPECT_EQ(seteuid(0), 0);
  }

 private:
  bool root_;
};

TEST_F(bad_checkpoint, is_never_left_by_a_directory_that_is_not_writable) {
  const auto error = [&](const std::string& path) {
    return file_error([&] { save(path, run_.optimizer); });
  };
  ASSERT_EQ(chmod(directory_.path().c_str(), 0555), 0);
  {
    const Unprivileged nobody;
    expect_error(error(path_), path_, "cannot be written: Permission denied");
  }
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  expect_only(content_);
  const std::string nowhere = directory_.file("nowhere/checkpoint");
  expect_error(error(nowhere), nowhere, "cannot be written: No such file or directory");
  expect_error(error(path_ + "/under"), path_, "Not a directory");
  expect_error(error(directory_.path()), directory_.path(), "is not a regular file");
  expect_error(error("/dev/null"), "/dev/null", "is not a regular file");
  expect_only(content_);
  expect_untouched();
}

}  // namespace

}  // namespace natgrad::tests
