// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/cuda/device_group.cuh"

CUBOME_BEGIN_NAMESPACE

/// `Width` neighbouring lanes of a warp, 2 to 32. Tiles of one warp go their own ways: every exchange names its lanes.
template <class Real, index Width>
class tile_group : public device_group<tile_group<Real, Width>, Real, Width> {
    static_assert(Width >= 2 && Width <= 32 && (Width & (Width - 1)) == 0, "a tile is a power of two within a warp");
    using base = device_group<tile_group, Real, Width>;

public:
    /// The tile that the calling thread belongs to. Threads per block must be a multiple of the warp's 32.
    CUBOME_INLINE tile_group()
        : base(simt::thread_rank() % Width), mask_(lanes() << (simt::thread_rank() % 32 - base::rank())) {}

    template <int K, class Combine>
    CUBOME_INLINE sums<Real, K> across(sums<Real, K> x, Combine&& combine) const {
        return base::across_warp(mask_, Width, x, combine);
    }
    CUBOME_INLINE bool all(bool predicate) const { return simt::all_of_warp(mask_, predicate); }
    CUBOME_INLINE void wait() const { simt::sync_warp(mask_); }

private:
    static constexpr CUBOME_HD simt::lane_mask lanes() { return Width == 32 ? ~0u : (1u << Width) - 1u; }

    simt::lane_mask mask_;
};

CUBOME_END_NAMESPACE
