#pragma once

#include "natgrad/export.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace natgrad {

/// The class of an `Error` as a number, for languages without exceptions: the values of
/// `natgrad_status` in the C interface, where 0 stands for success.
enum class ErrorCode : std::uint8_t {
  argument = 1,
  shape = 2,
  type = 3,
  device = 4,
  option = 5,
  file = 6,
  memory = 7,
  step_failed = 8,
  other = 9,  ///< a class that is not the library's own
};

/// The base of every exception that the library throws: a broken contract, a bad option, an
/// unreadable file or a failing driver. The text names the operand, its shape or the file, and the
/// inequality that failed. A call that throws has changed nothing, except where a driver failed
/// half way (`DeviceError`). Failure of numbers (NaN, a singular matrix) is not an exception but an
/// `Outcome`.
class NATGRAD_EXPORT Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text, ErrorCode code = ErrorCode::other)
      : std::runtime_error(text), code_(code) {}
  /// Which of the classes below this is.
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// An operand that is missing, null, used twice, or belongs to another object.
class NATGRAD_EXPORT ArgumentError : public Error {
 public:
  explicit ArgumentError(const std::string& text) : Error(text, ErrorCode::argument) {}
};

/// Shapes that do not fit each other.
class NATGRAD_EXPORT ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& text) : Error(text, ErrorCode::shape) {}
};

/// An element type that the operation does not take. Operands are not converted silently; where
/// float64 is taken beside float rows (weights and coefficients), the operand's docstring says so.
class NATGRAD_EXPORT TypeError : public Error {
 public:
  explicit TypeError(const std::string& text) : Error(text, ErrorCode::type) {}
};

/// Memory on another device than the operation's, a device that is not there, or a driver that
/// fails.
class NATGRAD_EXPORT DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& text) : Error(text, ErrorCode::device) {}
};

/// An option outside its range, or options that exclude each other.
class NATGRAD_EXPORT OptionError : public Error {
 public:
  explicit OptionError(const std::string& text) : Error(text, ErrorCode::option) {}
};

/// A file that cannot be read or written, or whose content is not what it should be.
class NATGRAD_EXPORT FileError : public Error {
 public:
  explicit FileError(const std::string& text) : Error(text, ErrorCode::file) {}
};

/// An allocation that failed, of the context's allocator or of the host.
class NATGRAD_EXPORT MemoryError : public Error {
 public:
  explicit MemoryError(const std::string& text) : Error(text, ErrorCode::memory) {}
};

/// Ten steps in a row were not accepted. `NaturalGradient::step` alone throws it: on the CPU from
/// the tenth, on a GPU from the first call that finds the tenth report there, and again after ten
/// more. The text says which step, with what outcome and damping, and what to change. Parameters
/// and momentum are as before these steps.
class NATGRAD_EXPORT StepFailed : public Error {
 public:
  explicit StepFailed(const std::string& text) : Error(text, ErrorCode::step_failed) {}
};

}  // namespace natgrad
