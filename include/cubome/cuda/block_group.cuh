// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/cuda/device_group.cuh"

CUBOME_BEGIN_NAMESPACE

/// The `Width` threads of a block, 64 to 1024.
template <class Real, index Width>
class block_group : public device_group<block_group<Real, Width>, Real, Width> {
    static_assert(Width >= 64 && Width <= 1024 && (Width & (Width - 1)) == 0, "two warps or more, a power of two");
    using base = device_group<block_group, Real, Width>;
    static constexpr index num_warps = Width / 32;
    static constexpr int max_sums = 6;

public:
    /// Numbers that the warps exchange: two buffers, so that one sum can begin while another is still being read.
    static constexpr index num_exchanged = 2 * num_warps * max_sums;

    /// @param exchange num_exchanged elements of shared memory
    CUBOME_INLINE explicit block_group(Real* exchange) : base(simt::thread_rank()), exchange_(exchange) {}

    /// Within the warps, then over what each warp found.
    template <int K, class Combine>
    CUBOME_INLINE sums<Real, K> across(sums<Real, K> x, Combine&& combine) const {
        static_assert(K <= max_sums);
        constexpr simt::lane_mask whole_warp = ~0u;
        x = base::across_warp(whole_warp, 32, x, combine);

        Real* const buffer = exchange_ + buffer_ * (num_warps * max_sums);
        buffer_ ^= 1;
        if (base::rank() % 32 == 0)
            for (int k = 0; k < K; ++k) buffer[k * num_warps + base::rank() / 32] = x[k];
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

    CUBOME_INLINE bool all(bool predicate) const { return simt::all_of_block(predicate); }
    CUBOME_INLINE void wait() const { simt::sync_block(); }

private:
    Real* exchange_;
    mutable index buffer_ = 0;
};

CUBOME_END_NAMESPACE
