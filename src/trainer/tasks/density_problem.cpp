#include "trainer/tasks/density_problem.hpp"

#include "natgrad/error.hpp"
#include "trainer/data/csv.hpp"
#include "trainer/data/moments.hpp"
#include "trainer/data/random.hpp"
#include "trainer/data/shuffle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>

namespace natgrad::trainer {

namespace {

/// Pieces of the quadrature on [-1, 1] of an exponential family.
constexpr std::int64_t pieces = 50;

/// Parts of the random numbers of a seed: the division of the samples has part 0.
enum Part : std::uint32_t { truth_part = 1, start_part = 2 };

/// Number `index` of a part, uniform in (-1, 1).
double random_number(const Settings& settings, Part part, std::uint64_t index) {
  const std::uint64_t bits =
      random_bits(settings.get<std::uint64_t>("--seed"), RandomStream::split, part, index);
  return std::ldexp(static_cast<double>(bits >> 11), -52) - 1;
}

/// The Legendre polynomials P_1, ..., P_count: statistics that hardly depend on each other.
Support legendre(std::int64_t count) {
  return Support::on_interval(-1, 1, pieces, count, [](double x, std::span<double> t) {
    double before = 1;
    double now = x;
    for (std::size_t i = 0; i < t.size(); ++i) {
      t[i] = now;
      const auto n = static_cast<double>(i + 1);
      before = std::exchange(now, ((2 * n + 1) * x * now - n * before) / (n + 1));
    }
  });
}

DensityFamily family_of(const Settings& settings, std::int64_t dimensions) {
  switch (settings.get<DensityName>("--density")) {
    case DensityName::mixture:
      return DensityFamily::mixture;
    case DensityName::exponential:
      return DensityFamily::exponential;
    case DensityName::gaussian:
      break;
  }
  const auto parameters = settings.get_or("--parameterization", GaussianParameters::automatic);
  if (dimensions > 1 && parameters != GaussianParameters::automatic &&
      parameters != GaussianParameters::cholesky) {
    throw OptionError(fmt::format("--parameterization {}: is of one dimension, there are {}",
                                  settings.in_words("--parameterization"), dimensions));
  }
  switch (parameters) {
    case GaussianParameters::scale:
      return DensityFamily::gaussian_scale;
    case GaussianParameters::natural:
      return DensityFamily::gaussian_natural;
    case GaussianParameters::cholesky:
      return DensityFamily::gaussian_cholesky;
    case GaussianParameters::automatic:
    case GaussianParameters::log_scale:
      break;
  }
  return dimensions > 1 ? DensityFamily::gaussian_cholesky : DensityFamily::gaussian_log_scale;
}

/// A single Gaussian of one dimension in its parameters.
std::vector<double> gaussian_theta(DensityFamily family, double mean, double scale) {
  switch (family) {
    case DensityFamily::gaussian_scale:
      return {mean, scale};
    case DensityFamily::gaussian_natural:
      return {mean / (scale * scale), -1 / (2 * scale * scale)};
    default:
      return {mean, std::log(scale)};
  }
}

/// Random parameters: means of Gaussians within +-2, those of components three apart in every
/// dimension; scales from 0.5 to 2; eta within +-1.
std::vector<double> truth_of(const Settings& settings, const Density::Options& options,
                             std::size_t parameters) {
  std::uint64_t index = 0;
  const auto random = [&] { return random_number(settings, truth_part, index++); };
  const auto components = static_cast<std::size_t>(options.components);
  const auto dimensions = static_cast<std::size_t>(options.dimensions);
  std::vector<double> theta;
  const auto add = [&](std::size_t count, double size) {
    for (std::size_t i = 0; i < count; ++i) theta.push_back(size * random());
  };
  switch (options.family) {
    case DensityFamily::exponential:
      add(parameters, 1);
      return theta;
    case DensityFamily::mixture:
      add(components - 1, 0.7);
      for (std::size_t k = 0; k < components; ++k) {
        const double middle =
            3 * (static_cast<double>(2 * k) - static_cast<double>(components - 1)) / 2;
        for (std::size_t i = 0; i < dimensions; ++i) theta.push_back(middle + 0.5 * random());
      }
      add(components * dimensions, 0.3);
      return theta;
    case DensityFamily::gaussian_cholesky:
      add(dimensions, 2);
      add(dimensions, std::log(2.0));
      add(parameters - 2 * dimensions, 0.5);
      return theta;
    default: {
      const double mean = 2 * random();
      return gaussian_theta(options.family, mean, std::exp2(random()));
    }
  }
}

Moments moments_of_column(const std::vector<double>& rows, std::size_t columns,
                          std::size_t column) {
  return moments_of(static_cast<std::int64_t>(rows.size() / columns), [&](std::int64_t i) {
    return rows[static_cast<std::size_t>(i) * columns + column];
  });
}

/// Gaussians start at mean 0 and scale 1, eta at 0. The components of a mixture start at random
/// training samples, with the deviation of all of them.
std::vector<double> start_of(const Settings& settings, const DensityProblem& problem,
                             std::vector<double> standard) {
  if (problem.options.family != DensityFamily::mixture) return standard;
  const auto components = static_cast<std::size_t>(problem.options.components);
  const auto dimensions = static_cast<std::size_t>(problem.options.dimensions);
  const std::vector<std::int32_t> order =
      shuffled(settings.get<std::uint64_t>("--seed"), RandomStream::split, start_part,
               problem.train_count());
  const std::size_t means = components - 1;
  const std::size_t log_scales = means + components * dimensions;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const double deviation = moments_of_column(problem.train, dimensions, i).deviation;
    for (std::size_t k = 0; k < components; ++k) {
      const auto sample = static_cast<std::size_t>(order[k % order.size()]);
      standard[means + k * dimensions + i] = problem.train[sample * dimensions + i];
      standard[log_scales + k * dimensions + i] = std::log(deviation);
    }
  }
  return standard;
}

/// Rows (count, columns) as training and test samples, in a random order.
void divide(const Settings& settings, const std::vector<double>& rows, DensityProblem& problem) {
  const auto columns = static_cast<std::size_t>(problem.dimensions);
  const auto count = static_cast<std::int64_t>(rows.size() / columns);
  const std::vector<std::int32_t> order =
      shuffled(settings.get<std::uint64_t>("--seed"), RandomStream::split, 0, count);
  const std::int64_t train = count - count / 5;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto row = static_cast<std::size_t>(order[static_cast<std::size_t>(n)]);
    std::vector<double>& to = n < train ? problem.train : problem.test;
    to.insert(to.end(), rows.begin() + static_cast<std::ptrdiff_t>(row * columns),
              rows.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
  }
}

/// The samples in double, on any device and whatever the precision of the run: drawn on the CPU.
void draw(const Settings& settings, DensityProblem& problem) {
  Density::Options options = problem.options;
  options.type = ElementType::float64;
  const Context context = Context::cpu();
  Density density(context, options);
  problem.truth = truth_of(settings, options, density.read().size());
  density.write(problem.truth);
  const ConstView drawn = density.sample(settings.get<std::int64_t>("--samples"));
  std::vector<double> rows(static_cast<std::size_t>(drawn.size()));
  context.read(drawn, rows.data());
  divide(settings, rows, problem);
}

std::vector<std::int64_t> columns_of(const Settings& settings, const CsvTable& table) {
  if (settings.has("--columns")) return table.find(settings.get<std::string>("--columns"));
  std::vector<std::int64_t> all(static_cast<std::size_t>(table.columns()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

[[noreturn]] void throw_constant(const CsvTable& table, std::int64_t column) {
  throw FileError(fmt::format("{}: column \"{}\" is constant, so that its density has no scale",
                              table.file, table.names[static_cast<std::size_t>(column)]));
}

/// In units of the training samples' deviation, from their mean.
void standardize(const CsvTable& table, const std::vector<std::int64_t>& columns,
                 DensityProblem& problem) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Moments moments = moments_of_column(problem.train, columns.size(), i);
    const bool varies =
        moments.deviation > 1e-12 * std::abs(moments.mean) && std::isfinite(moments.deviation);
    if (!varies) throw_constant(table, columns[i]);
    for (std::vector<double>* rows : {&problem.train, &problem.test}) {
      for (std::size_t n = i; n < rows->size(); n += columns.size()) {
        (*rows)[n] = ((*rows)[n] - moments.mean) / moments.deviation;
      }
    }
  }
}

void read(const Settings& settings, const CsvTable& table, const std::vector<std::int64_t>& columns,
          DensityProblem& problem) {
  if (table.rows() < 5) {
    throw FileError(fmt::format("{}: has {} rows, at least 5 are needed to train and to test",
                                table.file, table.rows()));
  }
  std::vector<double> rows;
  for (std::int64_t n = 0; n < table.rows(); ++n) {
    for (const std::int64_t column : columns) rows.push_back(table.at(n, column));
  }
  if (problem.options.family != DensityFamily::exponential) {
    divide(settings, rows, problem);
    return standardize(table, columns, problem);
  }
  const auto [least, most] = std::minmax_element(rows.begin(), rows.end());
  const double low = *least;
  const double high = *most;
  if (!(high > low)) throw_constant(table, columns.front());
  if (!std::isfinite(high - low)) {
    throw FileError(fmt::format("{}: column \"{}\" goes from {} to {}, which is too far",
                                table.file, table.names[static_cast<std::size_t>(columns.front())],
                                low, high));
  }
  // No rounding leads out of the interval.
  for (double& x : rows) x = std::clamp((x - low) / (high - low) * 2 - 1, -1.0, 1.0);
  divide(settings, problem.options.support.observe(rows), problem);
}

}  // namespace

std::int64_t DensityProblem::train_count() const {
  return static_cast<std::int64_t>(train.size()) / dimensions;
}
std::int64_t DensityProblem::test_count() const {
  return static_cast<std::int64_t>(test.size()) / dimensions;
}

DensityProblem density_problem(const Settings& settings, const Context& context) {
  DensityProblem problem;
  const auto name = settings.get<DensityName>("--density");
  const bool of_file = settings.has("--data");
  CsvTable table;
  std::vector<std::int64_t> columns;
  std::int64_t dimensions = settings.get_or<std::int64_t>("--dimensions", 1);
  if (of_file) {
    table = read_csv(settings.get<std::string>("--data"));
    columns = columns_of(settings, table);
    dimensions = static_cast<std::int64_t>(columns.size());
    if (name == DensityName::exponential && dimensions != 1) {
      throw FileError(
          fmt::format("{}: --density exponential is of one column, there are {}: choose one with "
                      "--columns",
                      table.file, dimensions));
    }
  }
  Density::Options& options = problem.options;
  options.family = family_of(settings, dimensions);
  options.dimensions = dimensions;
  options.components = settings.get_or<std::int64_t>("--components", 1);
  options.type = settings.get<ElementType>("--precision");
  options.key = settings.get<std::uint64_t>("--seed");
  problem.dimensions = dimensions;
  if (name == DensityName::exponential) {
    problem.dimensions = settings.get<std::int64_t>("--statistics");
    options.support = legendre(problem.dimensions);
  }
  if (of_file) {
    read(settings, table, columns, problem);
  } else {
    draw(settings, problem);
  }
  problem.samples_name = of_file ? table.file : "a density of its family";
  if (of_file) problem.checksum = table.checksum();
  problem.start = start_of(settings, problem, Density(context, options).read());
  return problem;
}

}  // namespace natgrad::trainer
