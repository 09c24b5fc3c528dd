#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace natgrad {

/// The name of one tensor of a `Parameters` object, as `Parameters::add` returned it. A default one
/// stands for "no tensor".
struct Segment {
  int index = -1;  ///< its place in the order of `add`, from 0
  explicit operator bool() const { return index >= 0; }
  friend bool operator==(const Segment&, const Segment&) = default;
};

/// The parameters theta of a model, P numbers in views of the caller's own tensors. Every array of
/// P numbers (directions, gradients, columns of dense rows) follows the order of `add`, each tensor
/// row-major. A handle: copies speak of the same parameters. The tensors must outlive every step
/// taken on them.
class NATGRAD_EXPORT Parameters {
 public:
  explicit Parameters(Context context);

  /// Adds a tensor and returns its name for other calls. `tensor`: a weight (d_out, d_in) or a
  /// vector (n), float or double, of the type of the tensors before and on the context's device.
  /// `name`: how messages and checkpoints call it. Throws `ArgumentError` when the tensor is empty
  /// or overlaps one added before, `TypeError` when it is not float or double or differs from the
  /// first one's type, `DeviceError` when it is on another device than the context.
  Segment add(const View& tensor, std::string name = {});

  const Context& context() const;
  ElementType type() const;   ///< the type of every tensor; float32 while there is none
  std::int64_t size() const;  ///< P, the number of all parameters
  int segments() const;       ///< the number of tensors

  // These three throw `ArgumentError` where there is no such segment.
  const View& tensor(Segment segment) const;
  const std::string& name(Segment segment) const;
  std::int64_t offset(Segment segment) const;  ///< where the tensor's first number is among the P

  /// The view of one tensor's numbers within an array of P numbers (a gradient, a direction), in
  /// the shape of the tensor. `array`: P contiguous numbers of any type. Throws `ShapeError` when
  /// it does not hold P numbers, `ArgumentError` where there is no such segment.
  View part(Segment segment, const View& array) const;
  ConstView part(Segment segment, const ConstView& array) const;

  /// Copies the parameters into an array of P contiguous numbers of their type. Does not wait.
  /// Throws `ShapeError`, `TypeError` or `DeviceError` for an array that does not fit, and
  /// `ArgumentError` for one that overlaps a tensor.
  void gather(const View& array) const;
  /// Copies P contiguous numbers of their type into the parameters. Does not wait. Throws
  /// `ShapeError`, `TypeError` or `DeviceError` for an array that does not fit, and `ArgumentError`
  /// for one that overlaps a tensor.
  void scatter(const ConstView& array) const;

  friend bool operator==(const Parameters&, const Parameters&) = default;

 private:
  struct State;
  const State& checked(Segment segment) const;
  void require_flat(const char* name, const ConstView& array) const;
  std::shared_ptr<State> state_;
};

}  // namespace natgrad
