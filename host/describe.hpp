// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cubome/batch_view.hpp"
#include "cubome/problem_runner.hpp"

/// How messages spell shapes.
namespace cubome::detail {

inline constexpr int num_box_arrays = 4;

inline std::string extents(int rank, const std::int64_t* sizes) {
    std::string text = "[";
    for (int i = 0; i < rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
    return text + "]";
}

/// One problem's part: "[4, 2]"
inline std::string extents(const array_info& array) {
    return extents(array.rank, array.extents);
}

template <class T>
std::string extents(const batch_view<T>& view) {
    return extents(view.rank, view.extents);
}

}  // namespace cubome::detail
