#include "io/stepped_run.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstddef>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// A checkpoint that cannot be written is a FileError, and the old one stays.

namespace natgrad::tests {

namespace {

using unwritable_checkpoint = SteppedRun;

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

TEST_F(unwritable_checkpoint, leaves_the_old_one_on_a_full_disk) {
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

TEST_F(unwritable_checkpoint, leaves_the_old_one_in_a_directory_that_is_not_writable) {
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
  expect_error(error(""), "", "cannot be written: the name of its file is empty");
  expect_error(error(path_ + '\0' + "more"), path_, "goes on behind a null character");
  expect_error(file_error([] { require_writable(""); }), "", "the name of its file is empty");
  require_writable(path_);
  expect_only(content_);
  expect_untouched();
}

}  // namespace

}  // namespace natgrad::tests
