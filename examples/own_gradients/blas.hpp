// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cblas.h>

#include <cstdint>

namespace own_gradients {

/// A matrix of row-major numbers, or its transpose where a product takes it as that.
template <class Real>
struct matrix {
    Real* data;
    std::int64_t rows, columns;
    bool is_transposed = false;

    matrix transposed() const { return {data, columns, rows, !is_transposed}; }
    int leading() const { return static_cast<int>(is_transposed ? rows : columns); }
    CBLAS_TRANSPOSE order() const { return is_transposed ? CblasTrans : CblasNoTrans; }
};

/// c ← a b + keep · c
inline void multiply(matrix<const float> a, matrix<const float> b, float keep, matrix<float> c) {
    cblas_sgemm(CblasRowMajor, a.order(), b.order(), static_cast<int>(c.rows), static_cast<int>(c.columns),
                static_cast<int>(a.columns), 1, a.data, a.leading(), b.data, b.leading(), keep, c.data, c.leading());
}
inline void multiply(matrix<const double> a, matrix<const double> b, double keep, matrix<double> c) {
    cblas_dgemm(CblasRowMajor, a.order(), b.order(), static_cast<int>(c.rows), static_cast<int>(c.columns),
                static_cast<int>(a.columns), 1, a.data, a.leading(), b.data, b.leading(), keep, c.data, c.leading());
}

}  // namespace own_gradients
