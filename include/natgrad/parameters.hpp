#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/export.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace natgrad {

/// One tensor of a `Parameters`, as `Parameters::add` returned it. A default one stands for none.
struct Segment {
  int index = -1;
  explicit operator bool() const { return index >= 0; }
  friend bool operator==(const Segment&, const Segment&) = default;
};

/// The parameters theta of a model, as views of the caller's tensors. Everything of P numbers
/// (directions, gradients, columns of dense rows) follows the order of `add`, each tensor
/// row-major. A copyable handle; copies speak of the same parameters. The tensors must outlive
/// every step taken on them.
class NATGRAD_EXPORT Parameters {
 public:
  /// Throws `MemoryError`.
  explicit Parameters(Context context);

  /// Adds a weight (d_out, d_in) or a vector (n), of any leading dimension; `name` is what errors
  /// and checks call it ("segment 3" where none is given). Throws `ArgumentError` when it is empty
  /// or overlaps a tensor added before, `TypeError` when it is not float or double or differs from
  /// the first one's type, `DeviceError` when it lies elsewhere than the context, `MemoryError`.
  /// Nothing is added then.
  Segment add(const View& tensor, std::string name = {});

  /// Puts another tensor of the same shape, of any leading dimension, in the place of a segment's:
  /// where the caller's code has made new ones, as on loading a model. From the next call on every
  /// optimizer reads and moves that one; momentum, which is the optimizer's, stays. Copies no
  /// numbers, and does not wait: the old tensor must stay until the work queued on it has run, and
  /// a CUDA graph that was captured before goes on moving it. Not for the parameters of this
  /// library's models, which read their own tensors. Throws `ArgumentError` where there is no such
  /// segment or the tensor overlaps another segment's, `ShapeError`, `TypeError` or `DeviceError`
  /// where it does not fit; nothing has changed then.
  void rebind(Segment segment, const View& tensor);
  /// Counts them, so that whoever keeps a tensor's view knows when to ask for it anew.
  std::int64_t rebinds() const;

  const Context& context() const;
  ElementType type() const;   ///< of every tensor; float32 while there is none
  std::int64_t size() const;  ///< P, the number of all parameters
  int segments() const;       ///< how many tensors
  // Of one segment; these throw `ArgumentError` where there is no such segment.
  const View& tensor(Segment segment) const;
  const std::string& name(Segment segment) const;
  std::int64_t offset(Segment segment) const;  ///< of the tensor's first number among the P

  /// The view of one tensor's numbers within a contiguous array of P numbers, in the tensor's
  /// shape. Throws `ShapeError` when `array` does not hold P numbers.
  View part(Segment segment, const View& array) const;
  ConstView part(Segment segment, const ConstView& array) const;

  /// Copies the parameters to (`gather`) or from (`scatter`) a contiguous array of P numbers of
  /// their type. Does not wait. Throws `ArgumentError` where the array overlaps a tensor,
  /// `ShapeError`, `TypeError` or `DeviceError` where it does not fit.
  void gather(const View& array) const;
  void scatter(const ConstView& array) const;

  friend bool operator==(const Parameters&, const Parameters&) = default;

 private:
  struct State;
  const State& checked(Segment segment) const;
  void check_tensor(const std::string& name, const View& tensor, Segment replaced = {}) const;
  void require_flat(const char* name, const ConstView& array) const;
  std::shared_ptr<State> state_;
};

}  // namespace natgrad
