#pragma once

#include "natgrad/array.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "trainer/control/pole.hpp"

#include <cstdint>
#include <vector>

namespace natgrad::trainer {

/// Writes numbers to an array of float or double on its device. Waits.
void write_numbers(const Context& context, const std::vector<double>& numbers, const View& array);

/// A net with two outputs as a policy: softmax of them, push to the left or to the right. States
/// are in host memory, where the environments are.
class Policy {
 public:
  /// `largest`: the most states of a call. Keeps a reference to `net`.
  Policy(FullyConnected& net, std::int64_t largest);

  /// Takes the states through the net, which holds them as its batch until the next call. Waits for
  /// the states to be on the device.
  void forward(const std::vector<PoleState>& states);
  /// Takes the states of the last `forward` through the net as it now is. Does not wait.
  void forward_again();
  /// The probability of a push to the right in each state; NaN of a net that is not finite. Waits:
  /// on a GPU for the device, once for all states.
  std::vector<double> right(const std::vector<PoleState>& states);

  /// Bytes on the device, without the net.
  static std::int64_t bytes(ElementType type, std::int64_t largest);

 private:
  FullyConnected& net_;
  Array inputs_;       // (largest, 4)
  ConstView given_{};  // the part of it that was filled last
};

}  // namespace natgrad::trainer
