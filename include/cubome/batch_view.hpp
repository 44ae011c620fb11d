// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

namespace cubome {

/// A row-major array of a batch that somebody else owns: `[num_problems, rows, columns]`, or `[rows, columns]` shared
/// by all problems. Trivially copyable; a default-constructed view means "not given".
///
/// Made by `per_problem` and `shared`, which fix the rank: 0 (one number per problem), 1 or 2.
template <class T>
struct batch_view {
    T* data = nullptr;
    std::int64_t num_problems = 0;     ///< of an array per problem; 0 where it is shared
    std::int64_t extents[2] = {0, 0};  ///< of one problem's part, the first `rank` of them
    int rank = 0;
    bool is_shared = false;

    constexpr bool given() const noexcept { return data != nullptr || num_problems > 0 || is_shared; }

    /// Elements of one problem's part.
    constexpr std::int64_t size() const noexcept {
        return rank == 0 ? 1 : rank == 1 ? extents[0] : extents[0] * extents[1];
    }

    /// Elements from one problem's part to the next: 0 where all problems share one.
    constexpr std::int64_t stride() const noexcept { return is_shared ? 0 : size(); }

    /// A view of T converts to a view of const T.
    constexpr operator batch_view<const T>() const noexcept {
        return {data, num_problems, {extents[0], extents[1]}, rank, is_shared};
    }
};

static_assert(std::is_trivially_copyable<batch_view<float>>::value, "views are passed by value everywhere");

/// `[num_problems]`: one number per problem.
template <class T>
constexpr batch_view<T> per_problem(T* data, std::int64_t num_problems) noexcept {
    return {data, num_problems, {0, 0}, 0, false};
}

/// `[num_problems, dim]`, row-major: one vector per problem.
template <class T>
constexpr batch_view<T> per_problem(T* data, std::int64_t num_problems, std::int64_t dim) noexcept {
    return {data, num_problems, {dim, 0}, 1, false};
}

/// `[num_problems, rows, columns]`, row-major: one matrix per problem.
template <class T>
constexpr batch_view<T> per_problem(T* data, std::int64_t num_problems, std::int64_t rows,
                                    std::int64_t columns) noexcept {
    return {data, num_problems, {rows, columns}, 2, false};
}

/// `[dim]`: one vector that all problems share.
template <class T>
constexpr batch_view<T> shared(T* data, std::int64_t dim) noexcept {
    return {data, 0, {dim, 0}, 1, true};
}

/// `[rows, columns]`, row-major: one matrix that all problems share.
template <class T>
constexpr batch_view<T> shared(T* data, std::int64_t rows, std::int64_t columns) noexcept {
    return {data, 0, {rows, columns}, 2, true};
}

}  // namespace cubome
