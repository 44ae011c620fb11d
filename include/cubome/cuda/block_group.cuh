// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/cuda/tile_group.cuh"

CUBOME_BEGIN_NAMESPACE

/// The `Width` threads of a block, 64 to 1024.
template <class Real, index Width>
class block_group : public lane_storage<Real, Width> {
    static_assert(Width >= 64 && Width <= 1024 && (Width & (Width - 1)) == 0, "two warps or more, a power of two");
    static constexpr index num_warps = Width / 32;
    static constexpr int max_sums = 6;

public:
    using real = Real;
    static constexpr index width = Width;

    template <class... E>
    static constexpr bool inlines = true;

    /// Numbers that the warps exchange: two buffers, so that one sum can begin while another is still being read.
    static constexpr index num_exchanged = 2 * num_warps * max_sums;

    /// @param exchange num_exchanged elements of shared memory
    CUBOME_INLINE explicit block_group(Real* exchange) : rank_(simt::thread_rank()), exchange_(exchange) {}

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
        static_assert(K <= max_sums);
        auto total = sums<Real, K>::zero();
        for_each(n, [&](lane_element i) { total = f(i, total); });
        for_each(n2, [&](lane_element i) { total = f2(i, total); });
        return across_block(total, [](Real a, Real b) { return a + b; });
    }

    template <class E, class M, class Term, class Use>
    CUBOME_INLINE void sum_each(E n, M m, Term&& term, Use&& use) const {
        lane_loops<Width>(rank_).template sum_each<Real>(n, m, term, use);
    }

    template <class E, class F>
    CUBOME_INLINE Real maximum(E n, F&& f) const {
        sums<Real, 1> result{{-infinity<Real>}};
        for_each(n, [&](lane_element i) { result[0] = max(result[0], Real(f(i))); });
        return across_block(result, [](Real a, Real b) { return max(a, b); })[0];
    }

    template <class E, class F>
    CUBOME_INLINE bool all_of(E n, F&& f) const {
        bool result = true;
        for_each(n, [&](lane_element i) { result = result && f(i); });
        return simt::all_of_block(result);
    }

    CUBOME_INLINE bool is(index i, index which) const { return i == which; }
    CUBOME_INLINE bool is_below(index i, index n) const { return i < n; }
    CUBOME_INLINE Real number(index i) const { return static_cast<Real>(i); }

    template <barrier B>
    CUBOME_INLINE void sync() const {
        wait();
    }
    CUBOME_INLINE void wait() const { simt::sync_block(); }

    CUBOME_INLINE index rank() const { return rank_; }
    CUBOME_INLINE index size() const { return Width; }

private:
    /// The tree over lanes: within the warps, then over what each warp found.
    template <int K, class Combine>
    CUBOME_INLINE sums<Real, K> across_block(sums<Real, K> x, Combine&& combine) const {
        constexpr simt::lane_mask whole_warp = ~0u;
        for (index offset = 1; offset < 32; offset *= 2) {
            const sums<Real, K> others = simt::shuffle_xor(whole_warp, x, offset);
            for (int k = 0; k < K; ++k) x[k] = combine(x[k], others[k]);
        }

        Real* const buffer = exchange_ + buffer_ * (num_warps * max_sums);
        buffer_ ^= 1;
        if (rank_ % 32 == 0)
            for (int k = 0; k < K; ++k) buffer[k * num_warps + rank_ / 32] = x[k];
        // Who writes a buffer again has passed the barrier of the sum between, which all readers of this one reached.
        simt::sync_block();
        for (int k = 0; k < K; ++k) {
            Real of_warp[num_warps];
            unroll<num_warps>([&](index w) { of_warp[w] = buffer[k * num_warps + w]; });
            for (index offset = 1; offset < num_warps; offset *= 2)
                for (index w = 0; w < num_warps; w += 2 * offset) of_warp[w] = combine(of_warp[w], of_warp[w + offset]);
            x[k] = of_warp[0];
        }
        return x;
    }

    index rank_;
    Real* exchange_;
    mutable index buffer_ = 0;
};

CUBOME_END_NAMESPACE
