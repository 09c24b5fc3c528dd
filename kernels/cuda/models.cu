#include "kernels/cuda/drawing.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/models.hpp"
#include "kernels/cuda/reduce.hpp"
#include "kernels/cuda/row_lanes.hpp"
#include "kernels/formulas/activation_functors.hpp"
#include "kernels/formulas/likelihoods/lanes.hpp"
#include "kernels/formulas/likelihoods/table.hpp"

namespace natgrad::kernels {

using formulas::Target;
using formulas::with_likelihood;

namespace {

/// z = z + bias, a = activation(z).
template <class F, class T>
struct BiasActivation {
  static constexpr int widest = pack_width<T>;
  template <int width>
  struct Own {
    Pack<T, width> z;
    Pack<T, width> bias;
  };
  Matrix<const T> bias;  // (1, columns)
  Matrix<T> z;
  Matrix<T> a;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(z, elements) && begins_with_packs<widest>(a, elements) &&
           begins_with_packs<widest>(bias, {1, elements.columns});
  }
  template <int width>
  NATGRAD_DEVICE Own<width> read(std::int64_t i, std::int64_t j) const {
    return {read_pack<width>(z, i, j), read_pack<width>(bias, 0, j)};
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Own<width>& own) const {
    Pack<T, width> sum;
    Pack<T, width> value;
    for (int e = 0; e < width; ++e) {
      sum.elements[e] = own.z.elements[e] + own.bias.elements[e];
      value.elements[e] = F::value(sum.elements[e]);
    }
    write_pack(z, i, j, sum);
    write_pack(a, i, j, value);  // last, for a may be z
  }
};

}  // namespace

void bias_activation(Stream stream, Activation activation, const ConstView& bias, const View& z,
                     const View& a) {
  with_float_type(z.type(), [&]<class T>(T) {
    const Matrix<const T> row{matrix<T>(bias).data, 1, z.columns(), z.columns()};
    formulas::with_activation(activation, [&]<class F>(F) {
      map(stream, {z.rows(), z.columns()}, BiasActivation<F, T>{row, matrix<T>(z), matrix<T>(a)});
    });
  });
}

namespace {

/// delta = delta activation'(z), where a = activation(z).
template <class F, class T>
struct ActivationBackward {
  static constexpr int widest = pack_width<T>;
  template <int width>
  struct Own {
    Pack<T, width> z;
    Pack<T, width> a;
    Pack<T, width> delta;
  };
  Matrix<const T> z;
  Matrix<const T> a;
  Matrix<T> delta;

  bool packs(const Elements& elements) const {
    return begins_with_packs<widest>(z, elements) && begins_with_packs<widest>(a, elements) &&
           begins_with_packs<widest>(delta, elements);
  }
  template <int width>
  NATGRAD_DEVICE Own<width> read(std::int64_t i, std::int64_t j) const {
    return {read_pack<width>(z, i, j), read_pack<width>(a, i, j), read_pack<width>(delta, i, j)};
  }
  template <int width>
  NATGRAD_DEVICE void write(std::int64_t i, std::int64_t j, const Own<width>& own) const {
    Pack<T, width> delta_z;
    for (int e = 0; e < width; ++e) {
      delta_z.elements[e] =
          own.delta.elements[e] * F::derivative(own.z.elements[e], own.a.elements[e]);
    }
    write_pack(delta, i, j, delta_z);
  }
};

}  // namespace

void activation_backward(Stream stream, Activation activation, const ConstView& z,
                         const ConstView& a, const View& delta) {
  with_float_type(delta.type(), [&]<class T>(T) {
    formulas::with_activation(activation, [&]<class F>(F) {
      map(stream, elements_of({delta, z, a}),
          ActivationBackward<F, T>{matrix<T>(z), matrix<T>(a), matrix<T>(delta)});
    });
  });
}

// Likelihoods. What is done with one row is a struct with row(lanes, n), run by threads that share
// the row.

namespace {

/// Row n of scores is that of targets n at outputs n / R, where R rows of targets share one.
template <class L, class T>
struct LikelihoodScore {
  L likelihood;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  Matrix<T> score;

  template <class Lanes>
  NATGRAD_DEVICE void operator()(const Lanes& lanes, std::int64_t n) const {
    const std::int64_t shared = z.rows == 0 ? 1 : score.rows / z.rows;
    likelihood.score(lanes, &z(n / shared, 0), z.columns, &targets(n, 0), &score(n, 0));
  }
};

}  // namespace

void likelihood_score(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                      const ConstView& targets, const View& score) {
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch_over_rows(stream, score.rows(), z.columns(),
                     LikelihoodScore<L, T>{likelihood, matrix<T>(z), matrix<Target<L, T>>(targets),
                                           matrix<T>(score)});
  });
}

namespace {

/// Rows n draws to (n + 1) draws of targets are drawn at outputs n.
template <class L, class T>
struct LikelihoodSample {
  L likelihood;
  Matrix<const T> z;
  std::uint64_t key;
  std::int64_t draws;
  const double* counter;
  Matrix<Target<L, T>> targets;

  template <class Lanes>
  NATGRAD_DEVICE void operator()(const Lanes& lanes, std::int64_t n) const {
    const auto drawing = static_cast<std::uint64_t>(*counter);
    const std::int64_t first = n * draws * L::targets(z.columns);
    likelihood.sample(lanes, &z(n, 0), z.columns, {key, drawing, first}, draws,
                      &targets(n * draws, 0));
  }
};

}  // namespace

void likelihood_sample(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                       std::uint64_t key, std::int64_t draws, const View& counter,
                       const View& targets) {
  double* const drawing = counter.as<double>();
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch_over_rows(stream, z.rows(), z.columns(),
                     LikelihoodSample<L, T>{likelihood, matrix<T>(z), key, draws, drawing,
                                            matrix<Target<L, T>>(targets)});
  });
  launch(stream, {}, {}, CountDrawing{drawing});
}

namespace {

template <class L, class T>
struct LogLikelihood {
  L likelihood;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  double* log_p;

  template <class Lanes>
  NATGRAD_DEVICE void operator()(const Lanes& lanes, std::int64_t n) const {
    const double value = likelihood.log_p(lanes, &z(n, 0), z.columns, &targets(n, 0));
    if (lanes.index() == 0) log_p[n] = value;
  }
};

}  // namespace

void log_likelihood(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                    const ConstView& targets, const View& log_p) {
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch_over_rows(stream, z.rows(), z.columns(),
                     LogLikelihood<L, T>{likelihood, matrix<T>(z), matrix<Target<L, T>>(targets),
                                         log_p.as<double>()});
  });
}

namespace {

/// The sums over the rows of each block; SumBlocks adds those of all blocks.
template <class L, class T>
struct Evaluation {
  static constexpr bool synchronizes = true;
  static constexpr unsigned most_threads = RowLanes::block;
  L likelihood;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  double* partials;

  NATGRAD_DEVICE void operator()(const Thread& thread) const {
    const RowLanes lanes{thread};
    double log_p = 0;
    double figure = 0;
    for (std::int64_t n = thread.row(); n < z.rows; n += thread.rows()) {
      log_p += likelihood.log_p(lanes, &z(n, 0), z.columns, &targets(n, 0));
      figure += likelihood.figure(lanes, &z(n, 0), z.columns, &targets(n, 0));
    }
    store_sum(thread, log_p, partials);
    store_sum(thread, figure, partials + sum_blocks);
  }

 private:
  /// One lane of each row has its part of the sum.
  NATGRAD_DEVICE static void store_sum(const Thread& thread, double own, double* sums) {
    Thread in_line = thread;
    in_line.index = {thread.index.y * thread.threads.x + thread.index.x, 0};
    const double value = thread.index.x == 0 ? own : 0;
    const double sum = combine_threads<RowLanes::block>(in_line, value, Plus{});
    if (in_line.index.x == 0) sums[thread.block.y] = sum;
  }
};

}  // namespace

void likelihood_evaluate(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                         const ConstView& targets, const View& result, double* partials) {
  const Extent threads = RowLanes::threads(z.columns());
  const unsigned blocks = blocks_for(z.rows(), threads.y, sum_blocks);
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch(stream, {1, blocks}, threads,
           Evaluation<L, T>{likelihood, matrix<T>(z), matrix<Target<L, T>>(targets), partials});
  });
  launch(stream, {2}, {block_threads}, SumBlocks{partials, blocks, result.as<double>()});
}

namespace {

/// Rows n C to (n + 1) C are the root of the Fisher matrix of outputs n.
template <class L, class T>
struct LikelihoodExact {
  L likelihood;
  Matrix<const T> z;
  Matrix<const Target<L, T>> targets;
  Matrix<T> roots;
  double* r;

  template <class Lanes>
  NATGRAD_DEVICE void operator()(const Lanes& lanes, std::int64_t n) const {
    const std::int64_t first = n * z.columns;
    likelihood.exact(lanes, &z(n, 0), z.columns, &targets(n, 0), &roots(first, 0),
                     roots.leading_dimension, r + first);
  }
};

}  // namespace

void likelihood_exact(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                      const ConstView& targets, const View& rows, const View& r) {
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch_over_rows(stream, z.rows(), z.columns(),
                     LikelihoodExact<L, T>{likelihood, matrix<T>(z), matrix<Target<L, T>>(targets),
                                           matrix<T>(rows), r.as<double>()});
  });
}

namespace {

template <class L, class T>
struct LikelihoodKl {
  L likelihood;
  Matrix<const T> z;
  Matrix<const T> now;
  double* kl;

  template <class Lanes>
  NATGRAD_DEVICE void operator()(const Lanes& lanes, std::int64_t n) const {
    const double value = likelihood.kl(lanes, &z(n, 0), &now(n, 0), z.columns);
    if (lanes.index() == 0) kl[n] = value;
  }
};

}  // namespace

void likelihood_kl(Stream stream, const OutputDistribution& distribution, const ConstView& z,
                   const ConstView& now, const View& kl) {
  with_likelihood(distribution, z.type(), [&]<class L, class T>(const L& likelihood, T) {
    launch_over_rows(stream, z.rows(), z.columns(),
                     LikelihoodKl<L, T>{likelihood, matrix<T>(z), matrix<T>(now), kl.as<double>()});
  });
}

}  // namespace natgrad::kernels
