// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cblas.h>

#include "matrix.hpp"

namespace own_gradients {

template <class Real>
CBLAS_TRANSPOSE order_of(const matrix<Real>& m) {
    return m.is_transposed ? CblasTrans : CblasNoTrans;
}

/// c ← a b + keep · c
inline void multiply(matrix<const float> a, matrix<const float> b, float keep, matrix<float> c) {
    cblas_sgemm(CblasRowMajor, order_of(a), order_of(b), static_cast<int>(c.rows), static_cast<int>(c.columns),
                static_cast<int>(a.columns), 1, a.data, a.leading(), b.data, b.leading(), keep, c.data, c.leading());
}
inline void multiply(matrix<const double> a, matrix<const double> b, double keep, matrix<double> c) {
    cblas_dgemm(CblasRowMajor, order_of(a), order_of(b), static_cast<int>(c.rows), static_cast<int>(c.columns),
                static_cast<int>(a.columns), 1, a.data, a.leading(), b.data, b.leading(), keep, c.data, c.leading());
}

}  // namespace own_gradients
