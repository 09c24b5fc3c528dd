#pragma once

#include "backend/backend.hpp"
#include "curvature/curvature.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"
#include "scores/score_set.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace natgrad::detail {

/// The tensors that an optimizer moves, and their places among the P numbers of S, d, g and
/// momentum, in which frozen tensors have none.
class ActiveParameters {
 public:
  struct Tensor {
    Segment segment;
    std::int64_t offset = 0;  // among the active numbers
    double rate = 1;          // factor of the step
  };

  /// Throws `ArgumentError` for a factor of a segment that does not exist, or when all are frozen.
  ActiveParameters(const Parameters& parameters, const NaturalGradient::Options& options);

  /// Takes in where the parameters' tensors lie now.
  void follow_tensors();
  /// Whether other options leave the same tensors frozen.
  bool freezes_like(const ActiveParameters& other) const { return offsets_ == other.offsets_; }
  /// Takes over the factors of other options that freeze the same tensors. Throws nothing.
  void take_factors(const ActiveParameters& other) noexcept;

  const std::vector<Tensor>& tensors() const { return tensors_; }
  std::int64_t size() const { return size_; }      // P
  bool frozen() const { return size_ != total_; }  // some are
  bool scaled() const { return scaled_; }          // some factor is not 1
  std::int64_t total() const { return total_; }    // with frozen ones

  /// One tensor's numbers within an array of P.
  View part(const Tensor& tensor, const View& array) const;

  /// Each tensor with its part of `step`. Valid until the next call.
  std::span<const UpdatedTensor> updates(const View& step);

  /// The uses of the rows' layers without frozen parameters: those of `rows` themselves where
  /// nothing is frozen, else written to `active_uses`. Valid until the rows' next `begin`, and
  /// while `active_uses` is unchanged.
  std::span<const LayerUse> uses(const ScoreSet& rows, std::vector<LayerUse>& active_uses) const;

  /// Every tensor with its place.
  std::span<const ParameterTensor> places() const { return places_; }

  /// to = a from + b to; `from` are the numbers of all tensors, frozen ones too.
  void axpby(Backend& backend, double a, const ConstView& from, double b, const View& to) const;
  /// `direction` itself, or `scaled` = direction with the tensors' rate factors.
  View scale(Backend& backend, const View& direction, const View& scaled) const;
  /// kept = theta, and back where `flag` > 0. `kept` (P).
  void keep(Backend& backend, const View& kept) const;
  void restore(Backend& backend, const View& flag, const View& kept) const;
  /// result = x^T y (P, contiguous) with the tensors' factors of the penalty; `element` is one
  /// float64 of scratch.
  void penalty_dot(Backend& backend, const View& x, const View& y, const View& element,
                   const View& result) const;
  /// movement = step - decay theta, each tensor with its share of the decay: what a rate of 1 moves
  /// the parameters by. Both (P).
  void add_decay(Backend& backend, double decay, const ConstView& step, const View& movement) const;
  /// The segments of the tensors, in their order.
  std::vector<Segment> segments() const;
  /// Numbers that are kept from step to step, from the places that another set of active tensors
  /// gave them to those of this one; 0 for a tensor that was frozen there.
  void carry_over(Backend& backend, const ActiveParameters& before, const View& from,
                  const View& to) const;
  /// The active numbers into an array of all, with 0 for what is frozen.
  void scatter(Backend& backend, const View& from, const View& to) const;

 private:
  std::int64_t moved(std::int64_t offset) const;
  void add_dense(const LayerUse& block, std::vector<LayerUse>& active_uses) const;

  Parameters parameters_;
  std::vector<Tensor> tensors_;
  std::vector<UpdatedTensor> updates_;   // one a tensor
  std::vector<ParameterTensor> places_;  // one a tensor
  std::vector<std::int64_t> offsets_;    // of every segment, -1 where frozen
  std::int64_t size_ = 0;
  std::int64_t total_ = 0;
  std::int64_t rebinds_ = 0;  // of the parameters, as far as they were followed
  bool scaled_ = false;
};

}  // namespace natgrad::detail
