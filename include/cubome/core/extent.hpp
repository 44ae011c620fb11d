// SPDX-License-Identifier: Apache-2.0
#pragma once

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

CUBOME_END_NAMESPACE
