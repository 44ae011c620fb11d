// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/group.hpp"
#include "cubome/cuda/intrinsics.cuh"
#include "cubome/cuda/lane_storage.cuh"

CUBOME_BEGIN_NAMESPACE

/// Loops of a device group of `Width` lanes, of which the calling thread is lane `rank`. Those over constants are
/// unrolled: their elements are registers.
template <index Width>
class lane_loops {
public:
    CUBOME_INLINE explicit lane_loops(index rank) : rank_(rank) {}

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

    /// The rows of this lane, two at a time where there are two: what both read is loaded once.
    template <class Real, class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        if constexpr (E::is_constant) {
            constexpr index whole = E::constant / Width;
            unroll<whole / 2>([&](index pair) { rows<Real, 2>(2 * pair, m, term, use); });
            if constexpr (whole % 2 != 0) rows<Real, 1>(whole - 1, m, term, use);
            if constexpr (E::constant % Width != 0)
                if (whole * Width + rank_ < E::constant) rows<Real, 1>(whole, m, term, use);
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

private:
    template <class Real, index Rows, class M, class Term, class Use>
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

/// `Width` neighbouring lanes of a warp, 2 to 32. Tiles of one warp go their own ways: every exchange names its lanes.
template <class Real, index Width>
class tile_group : public lane_storage<Real, Width> {
    static_assert(Width >= 2 && Width <= 32 && (Width & (Width - 1)) == 0, "a tile is a power of two within a warp");

public:
    using real = Real;
    static constexpr index width = Width;

    /// Whether a problem of these extents is compiled into its caller: registers have no address.
    template <class... E>
    static constexpr bool inlines = true;

    /// The tile that the calling thread belongs to. Threads per block must be a multiple of the warp's 32.
    CUBOME_INLINE tile_group()
        : rank_(simt::thread_rank() % Width), mask_(lanes() << (simt::thread_rank() % 32 - rank_)) {}

    template <class E, class F>
    CUBOME_INLINE void for_each(E n, F&& f) const {
        lane_loops<Width>(rank_).for_each(n, f);
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
        for (index offset = 1; offset < Width; offset *= 2) {
            const sums<Real, K> others = simt::shuffle_xor(mask_, total, offset);
            for (int k = 0; k < K; ++k) total[k] = total[k] + others[k];
        }
        return total;
    }

    template <class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        lane_loops<Width>(rank_).template sum_each<Real>(n, m, term, use);
    }

    template <class E, class F>
    CUBOME_INLINE Real maximum(E n, F&& f) const {
        Real result = -infinity<Real>;
        for_each(n, [&](lane_element i) { result = max(result, Real(f(i))); });
        for (index offset = 1; offset < Width; offset *= 2)
            result = max(result, simt::shuffle_xor(mask_, sums<Real, 1>{{result}}, offset)[0]);
        return result;
    }

    template <class E, class F>
    CUBOME_INLINE bool all_of(E n, F&& f) const {
        bool result = true;
        for_each(n, [&](lane_element i) { result = result && f(i); });
        return simt::all_of_warp(mask_, result);
    }

    CUBOME_INLINE bool is(index i, index which) const { return i == which; }
    CUBOME_INLINE bool is_below(index i, index n) const { return i < n; }
    CUBOME_INLINE Real number(index i) const { return static_cast<Real>(i); }

    template <barrier B>
    CUBOME_INLINE void sync() const {
        wait();
    }
    /// The barrier that has no name in the text: around what fills and empties the arrays.
    CUBOME_INLINE void wait() const { simt::sync_warp(mask_); }

    CUBOME_INLINE index rank() const { return rank_; }
    CUBOME_INLINE index size() const { return Width; }

private:
    static constexpr CUBOME_HD simt::lane_mask lanes() { return Width == 32 ? ~0u : (1u << Width) - 1u; }

    index rank_;
    simt::lane_mask mask_;
};

CUBOME_END_NAMESPACE
