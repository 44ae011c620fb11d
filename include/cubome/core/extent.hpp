// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "cubome/core/config.hpp"

CUBOME_BEGIN_NAMESPACE

/// Marks an extent that is known only at run time.
inline constexpr index dynamic = -1;

/// A number of elements: a constant where the type says so, then loops over it unroll and its arrays live in registers.
template <index N>
struct extent {
    static_assert(N >= 0);
    static constexpr bool is_constant = true;
    static constexpr index constant = N;

    constexpr extent() = default;
    CUBOME_HD constexpr explicit extent(std::int64_t) {}
    CUBOME_HD constexpr operator index() const { return N; }
};

template <>
struct extent<dynamic> {
    static constexpr bool is_constant = false;
    static constexpr index constant = dynamic;

    constexpr extent() = default;
    CUBOME_HD constexpr explicit extent(std::int64_t n) : value(static_cast<index>(n)) {}
    CUBOME_HD constexpr operator index() const { return value; }

    index value = 0;
};

/// Extents of this many elements or fewer are unrolled completely where they are constants.
inline constexpr index unroll_limit = 8;

template <class E>
inline constexpr bool is_unrolled = E::is_constant&& E::constant <= unroll_limit;

/// Whether a problem of these extents is so small that the instructions of a loop around its arithmetic count; so is
/// one without extents, whose sizes are fixed.
template <class... E>
inline constexpr bool is_tiny = (... && E::is_constant) && (1 * ... * std::int64_t(E::constant)) <= 16;

/// f(0), f(1), …, f(n − 1), without a loop where n is a small constant.
template <class E, class F>
CUBOME_INLINE void for_each_index(E n, F&& f) {
    if constexpr (is_unrolled<E>) {
        [&]<index... I>(std::integer_sequence<index, I...>) {
            (f(I), ...);
        }
        (std::make_integer_sequence<index, E::constant>{});
    } else {
        for (index i = 0; i < n; ++i) f(i);
    }
}

/// f(0), f(1), …, f(N − 1), always without a loop: what they index can live in registers.
template <index N, class F>
CUBOME_INLINE void unroll(F&& f) {
    [&]<index... I>(std::integer_sequence<index, I...>) {
        (f(I), ...);
    }
    (std::make_integer_sequence<index, N>{});
}

CUBOME_END_NAMESPACE
