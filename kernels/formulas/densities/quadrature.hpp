#pragma once

#include "kernels/formulas/formula.hpp"

#include <cstdint>

namespace natgrad::formulas {

/// The Gauss-Legendre rule of 12 points in each piece between neighbouring breaks: exact for
/// polynomials of degree 23 in each.
struct PanelRule {
  static constexpr std::int64_t points = 12;

  NATGRAD_FORMULA static std::int64_t nodes(std::int64_t breaks) { return points * (breaks - 1); }

  /// In increasing order, by insertion: breaks are a few hundred, and come in runs.
  NATGRAD_FORMULA static void sort(double* x, std::int64_t count) {
    for (std::int64_t i = 1; i < count; ++i) {
      const double value = x[i];
      std::int64_t j = i;
      for (; j > 0 && x[j - 1] > value; --j) x[j] = x[j - 1];
      x[j] = value;
    }
  }

  /// Replaces sorted breaks, the first numbers of x, by the nodes; from the last piece to the
  /// first, whose nodes lie over no break that is still to be read.
  NATGRAD_FORMULA static void place(double* x, std::int64_t breaks, double* weights) {
    constexpr double abscissas[] = {1.25233408511468915472e-1, 3.67831498998180193753e-1,
                                    5.87317954286617447297e-1, 7.69902674194304687037e-1,
                                    9.04117256370474856678e-1, 9.81560634246719250691e-1};
    constexpr double factors[] = {2.49147045813402785001e-1, 2.33492536538354808761e-1,
                                  2.03167426723065921749e-1, 1.60078328543346226335e-1,
                                  1.06939325995318430960e-1, 4.71753363865118271946e-2};
    for (std::int64_t piece = breaks - 1; piece-- > 0;) {
      const double middle = (x[piece] + x[piece + 1]) / 2;
      const double half = (x[piece + 1] - x[piece]) / 2;
      double* node = x + piece * points;
      double* weight = weights + piece * points;
      for (int i = 0; i < 6; ++i) {
        node[5 - i] = middle - half * abscissas[i];
        node[6 + i] = middle + half * abscissas[i];
        weight[5 - i] = half * factors[i];
        weight[6 + i] = half * factors[i];
      }
    }
  }
};

}  // namespace natgrad::formulas
