// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tuple>

#include "cubome/core/group.hpp"

CUBOME_BEGIN_NAMESPACE

/// What a problem's template is instantiated with: the group that runs it, which owns the storage, and its dimensions,
/// each an extent<N>.
template <class Group, class... Extents>
struct problem_data {
    using group = Group;
    using real = typename Group::real;

    static constexpr int num_dims = sizeof...(Extents);

    template <int K>
    using dim = std::tuple_element_t<K, std::tuple<Extents...>>;

    template <class E>
    using own = typename Group::template own<E>;
    template <class E>
    using published = typename Group::template published<E>;
    template <class R, class C>
    using own_rows = typename Group::template own_rows<R, C>;
    template <class R, class C>
    using stored_rows = typename Group::template stored_rows<R, C>;
    template <class R, class C>
    using matrix = typename Group::template matrix<R, C>;
};

/// Whether these extents are, or are the constants for, the first dimensions given.
template <class... Extents>
bool are_extents_of(const std::int64_t* dims) {
    int k = -1;
    return (... && (++k, !Extents::is_constant || dims[k] == Extents::constant));
}

/// An array that the user may leave out.
template <class Storage>
struct optional : Storage {
    using Storage::Storage;
    bool is_given = false;     ///< the same for the whole batch
    bool is_required = false;  ///< set by a problem whose dimensions make the array necessary
};

/// Dimensions are at least 1 and few enough to be counted by `index` with a block of lanes to spare.
inline constexpr std::int64_t largest_dim = (std::int64_t(1) << 31) - 1024;

/// A family's `check` where every dimension just has to be positive.
inline const char* check_positive(const std::int64_t* dims, int num_dims, int* wrong) noexcept {
    for (*wrong = 0; *wrong < num_dims; ++*wrong)
        if (dims[*wrong] < 1 || dims[*wrong] > largest_dim) return "a number in [1, 2147482624]";
    return nullptr;
}

/// q̂ and the size of what was subtracted to get it, which says how much of q̂ is rounding.
template <class Real>
struct value_gap_result {
    Real gap;        ///< q̂ = g(v, θ) − g(v, θ⁽ᵀ⁾), summed from per-term differences
    Real magnitude;  ///< m, the sum of the absolute values that were subtracted
};

CUBOME_END_NAMESPACE
