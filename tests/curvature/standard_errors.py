"""Makes standard_errors_figures.hpp: fits by statsmodels and their standard errors.

    pip install statsmodels
    python tests/curvature/standard_errors.py > tests/curvature/standard_errors_figures.hpp
    clang-format -i tests/curvature/standard_errors_figures.hpp

`longley` is a data set of statsmodels, in the public domain: J. W. Longley (1967), the regression
whose standard errors NIST certifies. Its columns have a whole number near their mean taken out,
which leaves the errors of the slopes as they are. The other two are drawn here, by a generator that
is written out, and rounded to two digits.
"""
import math

import numpy
import statsmodels
import statsmodels.api as sm


def uniform(seed):
    """Numbers in (0, 1) (Lehmer 1951, with the multiplier of Park and Miller 1988)."""
    state = seed
    while True:
        state = state * 48271 % 2147483647
        yield state / 2147483647


def drawn(samples, seed):
    """A constant and two columns of very different units."""
    u = uniform(seed)
    columns = [[1.0, round(2 * next(u) - 1, 2), round(1000 * next(u))] for _ in range(samples)]
    return numpy.array(columns), u


def logistic():
    X, u = drawn(40, 11)
    z = X @ [-1.0, 1.5, 0.002]
    y = numpy.array([float(next(u) < 1 / (1 + math.exp(-v))) for v in z])
    fit = sm.Logit(y, X).fit(method="newton", tol=1e-14, maxiter=100, disp=0)
    return X, y, fit


def poisson():
    X, u = drawn(40, 12)
    y = []
    for mean in numpy.exp(X @ [0.5, -1.0, 0.001]):
        count, product = 0, next(u)
        while product > math.exp(-mean):
            count, product = count + 1, product * next(u)
        y.append(float(count))
    fit = sm.Poisson(numpy.array(y), X).fit(method="newton", tol=1e-14, maxiter=100, disp=0)
    return X, numpy.array(y), fit


def linear():
    data = sm.datasets.longley.load_pandas()
    X = data.exog.to_numpy(dtype=float)
    X = X - numpy.round(X.mean(axis=0))
    X = numpy.round(numpy.column_stack([numpy.ones(len(X)), X]), 1)
    y = data.endog.to_numpy(dtype=float)
    return X, y, sm.OLS(y, X).fit()


def numbers(values):
    return "{" + ", ".join(repr(float(v)) for v in values) + "}"


def main():
    print("#pragma once\n")
    print("#include <vector>\n")
    print(f"// Made by standard_errors.py with statsmodels {statsmodels.__version__}.\n")
    print("namespace natgrad::tests {\n")
    print("struct Fit {")
    print("  std::vector<std::vector<double>> x;  // a row a sample")
    print("  std::vector<double> y;")
    print("  std::vector<double> estimates;")
    print("  std::vector<double> standard_errors;")
    print("};\n")
    for name, make in (("logistic_fit", logistic), ("poisson_fit", poisson), ("longley_fit", linear)):
        X, y, fit = make()
        print(f"inline const Fit {name} = {{")
        print("{" + ", ".join(numbers(row) for row in X) + "},")
        print(numbers(y) + ",")
        print(numbers(fit.params) + ",")
        print(numbers(fit.bse) + "};\n")
    print("}  // namespace natgrad::tests")


main()
