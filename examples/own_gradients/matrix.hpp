// SPDX-License-Identifier: Apache-2.0
#pragma once

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
};

}  // namespace own_gradients
