// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/group.hpp"
#include "cubome/cuda/intrinsics.cuh"
#include "cubome/cuda/lane_storage.cuh"

CUBOME_BEGIN_NAMESPACE

/// What tiles and blocks have in common, of which the calling thread is lane `rank`. Loops over constants are unrolled:
/// their elements are registers. `Group`, the tile or the block, brings what differs:
///
///     across(x, combine)    the tree over lanes of each number, in every lane
///     all(predicate)        whether it holds in every lane
///     wait()                the barrier, also the one without a name around what fills and empties the arrays
template <class Group, class Real, index Width>
class device_group : public lane_storage<Real, Width> {
public:
    using real = Real;
    static constexpr index width = Width;

    /// Whether a problem of these extents is compiled into its caller: registers have no address.
    template <class... E>
    static constexpr bool inlines = true;

    template <class E, class F>
    CUBOME_INLINE void for_each(E n, F&& f) const {
        if constexpr (E::is_constant) {
            unroll<slots_of<E, Width>>([&](index slot) {
                const lane_element i{slot * Width + rank_, slot};
                if (slot < E::constant / Width || i.element < E::constant) f(i);
            });
        } else {
            for (index i = rank_; i < n; i += Width) f(lane_element{i, 0});
        }
    }

    template <barrier B, class E, class F>
    CUBOME_INLINE void phase(E n, F&& f) const {
        for_each(n, f);
        sync<B>();
    }

    template <int K, class E, class F>
    CUBOME_INLINE sums<Real, K> sum(E n, F&& f) const {
        return sum<K>(n, f, extent<0>{}, f);
    }

    template <int K, class E, class F, class E2, class F2>
    CUBOME_INLINE sums<Real, K> sum(E n, F&& f, E2 n2, F2&& f2) const {
        auto total = sums<Real, K>::zero();
        for_each(n, [&](lane_element i) { total = f(i, total); });
        for_each(n2, [&](lane_element i) { total = f2(i, total); });
        return group().across(total, [](Real a, Real b) { return a + b; });
    }

    /// The rows of this lane, two at a time where there are two: what both read is loaded once.
    template <class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        if constexpr (E::is_constant) {
            constexpr index whole = E::constant / Width;
            unroll<whole / 2>([&](index pair) { rows<2>(2 * pair, m, term, use); });
            if constexpr (whole % 2 != 0) rows<1>(whole - 1, m, term, use);
            if constexpr (E::constant % Width != 0)
                if (whole * Width + rank_ < E::constant) rows<1>(whole, m, term, use);
        } else {
            for (index i = rank_; i < n; i += Width) {
                sum_rows<Real, 1>(
                    i, m,
                    [&](index row, index j, Real sum) {
                        return term(lane_element{row, 0}, j, sum);
                    },
                    [&](index row, Real sum) {
                        use(lane_element{row, 0}, sum);
                    });
            }
        }
    }

    template <class E, class F>
    CUBOME_INLINE Real maximum(E n, F&& f) const {
        sums<Real, 1> result{{-infinity<Real>}};
        for_each(n, [&](lane_element i) { result[0] = larger(result[0], Real(f(i))); });
        return group().across(result, [](Real a, Real b) { return larger(a, b); })[0];
    }

    template <class E, class F>
    CUBOME_INLINE bool all_of(E n, F&& f) const {
        bool result = true;
        for_each(n, [&](lane_element i) { result = result && f(i); });
        return group().all(result);
    }

    CUBOME_INLINE bool is(index i, index which) const { return i == which; }
    CUBOME_INLINE bool is_below(index i, index n) const { return i < n; }
    CUBOME_INLINE Real number(index i) const { return static_cast<Real>(i); }

    template <barrier B>
    CUBOME_INLINE void sync() const {
        group().wait();
    }

    CUBOME_INLINE index rank() const { return rank_; }
    CUBOME_INLINE index size() const { return Width; }

protected:
    CUBOME_INLINE explicit device_group(index rank) : rank_(rank) {}

    /// One step after another of the tree over the lanes of a warp that the mask names, `lanes` of them.
    template <int K, class Combine>
    static CUBOME_INLINE sums<Real, K> across_warp(simt::lane_mask mask, index lanes, sums<Real, K> x,
                                                   Combine&& combine) {
        for (index offset = 1; offset < lanes; offset *= 2) {
            const sums<Real, K> others = simt::shuffle_xor(mask, x, offset);
            for (int k = 0; k < K; ++k) x[k] = combine(x[k], others[k]);
        }
        return x;
    }

private:
    CUBOME_INLINE const Group& group() const { return static_cast<const Group&>(*this); }

    template <index Rows, class M, class Term, class Use>
    CUBOME_INLINE void rows(index slot, M m, Term&& term, Use&& use) const {
        sum_rows<Real, Rows>(
            slot, m,
            [&](index s, index j, Real sum) {
                return term(lane_element{s * Width + rank_, s}, j, sum);
            },
            [&](index s, Real sum) {
                use(lane_element{s * Width + rank_, s}, sum);
            });
    }

    index rank_;
};

CUBOME_END_NAMESPACE
