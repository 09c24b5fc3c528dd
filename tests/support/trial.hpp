#pragma once

#include "backend/backend.hpp"
#include "support/fenced.hpp"
#include "support/reference_backend.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace natgrad::tests {

/// A backend under test and the memory that its views lie in.
struct TestDevice {
  std::unique_ptr<Backend> backend;
  Allocator memory;
};

/// Uniform in [-1, 1); SplitMix64 (Steele, Lea, Flood 2014), the same on every machine.
std::vector<double> random_elements(std::int64_t count, std::uint64_t seed);

/// Aligned memory of the host.
Allocator host_memory();

/// One operand of a trial, on all its sides; a default one is an operand that is not given.
struct Operand {
  int index = -1;
};

enum class Use : std::uint8_t {
  input,   // random, or as set; must not change
  both,    // random, or as set; compared afterwards
  output,  // poisoned; compared afterwards, and must have been written
};

/// RowBatch over operands.
struct TrialBlock {
  LayerUse shape;  // without its views
  Operand input;
  Operand output_score;
};
struct TrialRows {
  std::vector<TrialBlock> blocks;
  Operand scale;
  ElementType type = ElementType::float32;  // of the factors
  MathMode mode = MathMode::strict;
  bool weighted = true;
};

class Trial;

/// One of the three places where a call is made: the backend under test, the reference
/// implementation, or the reference on absolute values, whose results are the magnitudes that
/// rounding errors are measured by. Turns operands into that side's views, inside the call.
class Side {
 public:
  enum Place { tested, reference, magnitude };

  View operator()(Operand operand) const;
  double operator()(double constant) const;
  RowBatch operator()(const TrialRows& rows) const;
  /// Exactly the scratch that these rows ask for.
  Scratch scratch(const TrialRows& rows, ElementType type) const;
  /// Exactly the scratch that the factorization of a matrix asks for.
  Scratch factor_scratch(Triangle triangle, Operand matrix) const;
  /// Exactly the scratch that the eigenvalues of a matrix ask for.
  Scratch eigenvalue_scratch(Operand matrix) const;
  Place place() const { return place_; }

 private:
  friend class Trial;
  Side(Trial& trial, Place place) : trial_(trial), place_(place) {}
  Scratch fenced_scratch(std::int64_t bytes) const;

  Trial& trial_;
  Place place_;
};

/// Runs one operation on a backend and on the reference implementation with the same operands and
/// compares. Every run checks the fences of all operands, that inputs kept their bits, and that a
/// second call on the same operands gives the same bits. Failures are reported to GoogleTest.
class Trial {
 public:
  /// With padding, matrices have so many elements more between rows; with odd padding no operand is
  /// aligned to more than one element.
  explicit Trial(TestDevice& device, std::int64_t padding = 0);
  ~Trial();

  Operand vector(std::int64_t size, ElementType type, Use use);
  Operand vector(ElementType type, Use use, std::vector<double> elements);
  Operand matrix(std::int64_t rows, std::int64_t columns, ElementType type, Use use,
                 Part part = Part::all);
  /// A one-element float64.
  Operand scalar(double value);
  Operand scalar_output() { return vector(1, ElementType::float64, Use::output); }
  void set(Operand operand, std::vector<double> elements);
  /// The elements before the call.
  const std::vector<double>& given(Operand operand) const;

  /// `call(backend, side)` makes one call of an operation.
  template <class Call>
  void run(const Call& call) {
    prepare();
    for (int time = 0; time < 2; ++time) {
      reset(Side::tested);
      call(*device_.backend, Side(*this, Side::tested));
      device_.backend->synchronize();
      check(time);
    }
    for (Side::Place place : {Side::reference, Side::magnitude}) {
      reset(place);
      call(naive_, Side(*this, place));
      collect(place);
    }
  }

  // What the last run left, row by row.
  const std::vector<double>& actual(Operand operand) const;
  const std::vector<double>& expected(Operand operand) const;

  /// Equal to the reference's, but for the bits of NaN.
  void expect_equal(Operand operand) const;
  /// Within the error of sums of `length` products.
  void expect_sums(Operand operand, std::int64_t length) const;
  void expect_sums(Operand operand, std::int64_t length, ElementType arithmetic) const;
  /// Within the error of sums of `length` products of so many float factors in TF32.
  void expect_tf32_sums(Operand operand, std::int64_t length, int factors) const;
  /// Within so many roundings of the reference, relative to the magnitude.
  void expect_rounded(Operand operand, double roundings) const;
  /// Within one bound for all elements.
  void expect_within(Operand operand, double bound) const;

 private:
  friend class Side;
  struct Sides;

  Operand add(const FencedShape& shape, Use use);
  const Sides& sides(Operand operand) const { return *operands_.at(operand.index); }
  Backend& backend(Side::Place place);
  const Allocator& memory(Side::Place place) const;
  void prepare();
  void reset(Side::Place place);
  void check(int time);
  void collect(Side::Place place);
  template <class Bound>
  void compare(Operand operand, const Bound& bound_of) const;

  TestDevice& device_;
  std::int64_t padding_;
  ReferenceBackend naive_;
  Allocator host_ = host_memory();
  std::vector<std::unique_ptr<Sides>> operands_;
  // What a call has asked for, alive until the next one.
  std::deque<FencedArray> scratches_;
  std::deque<std::vector<LayerUse>> blocks_;
};

}  // namespace natgrad::tests
