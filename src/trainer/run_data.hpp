#pragma once

#include "trainer/json_blob.hpp"

#include <cstdint>
#include <string>

namespace natgrad::trainer {

/// The samples of a run, as its checkpoint tells them from others.
struct RunData {
  std::string samples;  // what they are called: "images"
  std::int64_t train = 0;
  std::int64_t test = 0;
  std::string checksum;  // of the files that they are from; empty: of none

  /// Adds them to a blob.
  void save(Json& blob) const;
  /// Throws `FileError` where the blob is of other samples. One without a checksum, as of before
  /// there was any, is of all that have its sizes. `file` begins error texts.
  void require_same(const BlobReader& blob, const std::string& file) const;
};

}  // namespace natgrad::trainer
