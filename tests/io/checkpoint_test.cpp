#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

// A run that is saved, loaded and continued has the bits of one that was never stopped.

namespace natgrad::tests {

namespace {

constexpr std::array forms{Form::primal, Form::dual};
const std::array<Momentum, 3> momenta{NoMomentum{}, HeavyBall{0.7}, Spring{0.8}};

using checkpoint = CheckpointTest;

template <class T>
void check_continuation(const std::string& path, const NaturalGradient::Options& options) {
  SCOPED_TRACE(testing::Message() << sizeof(T) << " bytes, " << to_string(options.form)
                                  << ", momentum " << options.momentum.index());
  Training<T> whole(options);
  whole.steps(1, 3);
  synchronize_device();
  EXPECT_EQ(whole.optimizer.reports().size(), 3);
  whole.steps(4, 5);
  save(path, whole.optimizer, some_blobs());

  Training<T> fresh(options);
  EXPECT_EQ(load(path, fresh.optimizer), some_blobs());
  expect_same_bits(fresh, whole);
  // Its ring has gone round, with failures in it.
  Training<T> used(options);
  used.steps(100, 170);
  used.coefficients(0) = std::numeric_limits<T>::infinity();
  used.batch.fill(used.scores, {.coefficients = used.coefficients.view()});
  for (int i = 0; i < 9; ++i) used.optimizer.step(used.scores);
  load(path, used.optimizer);

  expect_same_reports(fresh, used);
  whole.steps(6, 9);
  fresh.steps(6, 9);
  used.steps(6, 9);
  expect_same_bits(fresh, whole);
  expect_same_bits(used, whole);
  expect_same(fresh.optimizer.report(), whole.optimizer.report());
  EXPECT_EQ(whole.optimizer.reports().size(), 6) << "4 and 5 are still unread";
  expect_same_reports(fresh, used);
}

TEST_F(checkpoint, continues_bit_for_bit) {
  for (const Form form : forms) {
    for (const Momentum& momentum : momenta) {
      const NaturalGradient::Options options{
          .momentum = momentum, .weight_decay = 0.1, .form = form};
      check_continuation<float>(path_, options);
      check_continuation<double>(path_, options);
    }
  }
}

TEST_F(checkpoint, goes_back_to_before_the_first_step) {
  Training<float> run;
  save(path_, run.optimizer);
  Training<float> other;
  other.steps(10, 12);
  EXPECT_EQ(load(path_, other.optimizer), Blobs{});
  EXPECT_THROW(other.optimizer.report(), ArgumentError);
  EXPECT_TRUE(other.optimizer.reports().empty());
  run.steps(1, 3);
  other.steps(1, 3);
  expect_same_bits(run, other);
}

TEST_F(checkpoint, keeps_failures_in_a_row) {
  Training<float> run;
  run.coefficients(0) = std::numeric_limits<float>::quiet_NaN();
  run.batch.fill(run.scores, {.coefficients = run.coefficients.view()});
  for (int i = 0; i < 9; ++i) run.optimizer.step(run.scores);
  save(path_, run.optimizer);
  Training<float> other;
  load(path_, other.optimizer);
  EXPECT_EQ(other.optimizer.report().failures_in_a_row, 9);
  other.coefficients = run.coefficients;
  other.batch.fill(other.scores, {.coefficients = other.coefficients.view()});
  const auto fail_once_more = [&] {
    other.optimizer.step(other.scores);  // the tenth
    synchronize_device();                // or the next step does not know yet
    other.optimizer.step(other.scores);
  };
  EXPECT_THROW(fail_once_more(), StepFailed);
}

TEST_F(checkpoint, takes_rate_and_damping_in_force_from_the_file) {
  Training<double> run({.damping = {.absolute = 0.5}, .step = FixedRate{0.25}});
  run.step(1);
  save(path_, run.optimizer);
  Training<double> other;
  load(path_, other.optimizer);
  other.step(2);
  EXPECT_EQ(other.optimizer.report().rate, 0.25);
  EXPECT_EQ(other.optimizer.report().damping, 0.5);
}

TEST_F(checkpoint, replaces_a_file_through_a_link_and_keeps_its_mode) {
  Training<float> run;
  write_file(directory_.file("file"), "old");
  chmod(directory_.file("file").c_str(), 0640);
  std::filesystem::create_symlink("file", path_);
  save(path_, run.optimizer);
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  struct stat status {};
  ASSERT_EQ(stat(directory_.file("file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640);
  EXPECT_GT(status.st_size, 1000);
  EXPECT_EQ(names().size(), 2);
}

TEST_F(checkpoint, is_written_where_a_link_leads_though_nothing_is_there_yet) {
  Training<float> run;
  std::filesystem::create_directory(directory_.file("folder"));
  std::filesystem::create_symlink("folder/link", path_);
  std::filesystem::create_symlink("file", directory_.file("folder/link"));
  save(path_, run.optimizer);
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_TRUE(std::filesystem::is_symlink(directory_.file("folder/link")));
  EXPECT_TRUE(std::filesystem::is_regular_file(directory_.file("folder/file")));
  Training<float> other;
  load(path_, other.optimizer);

  const std::string loop = directory_.file("loop");
  std::filesystem::create_symlink("loop", loop);
  EXPECT_THROW(save(loop, run.optimizer), FileError);
  EXPECT_TRUE(std::filesystem::is_symlink(loop));
}

TEST_F(checkpoint, is_whole_at_any_instant_and_for_two_writers) {
  Training<float> first, second;
  first.steps(1, 2);
  second.steps(1, 3);
  save(path_, first.optimizer);
  const auto write = [&](const NaturalGradient& optimizer) {
    for (int i = 0; i < 30; ++i) save(path_, optimizer);
  };
  std::thread writer([&] { write(first.optimizer); });
  std::thread other([&] { write(second.optimizer); });
  Training<float> reader;
  for (int i = 0; i < 100; ++i) {
    load(path_, reader.optimizer);
    const std::int64_t step = reader.optimizer.report().step;
    expect_same_bits(reader, step == 2 ? first : second);
  }
  writer.join();
  other.join();
  EXPECT_EQ(names(), std::vector<std::string>{"checkpoint"});
}

}  // namespace

}  // namespace natgrad::tests
