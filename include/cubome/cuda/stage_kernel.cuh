// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cubome/core/stages.hpp"
#include "cubome/cuda/block_group.cuh"

/// The stages of the staged engine on a device: a block for each chunk, and for each problem.
CUBOME_BEGIN_NAMESPACE

/// The body of a stage's kernel: items along the grid.
template <stage Which, class Real, index Threads>
CUBOME_INLINE void run_stage(const staged_arguments<Real>& a) {
    using group = block_group<Real, Threads>;
    const group g(reinterpret_cast<Real*>(simt::shared_memory()));
    const stages<group> all(g, a);
    const std::int64_t count = num_items(Which, a);
    for (std::int64_t item = simt::block_rank(); item < count; item += simt::num_blocks())
        all.template run<Which>(item);
}

/// Dynamic shared memory of a block.
template <class Real, index Threads>
inline constexpr std::size_t stage_shared_bytes = block_group<Real, Threads>::num_exchanged * sizeof(Real);

#ifdef __CUDACC__
template <stage Which, class Real, index Threads>
__global__ void __launch_bounds__(Threads) stage_kernel(const __grid_constant__ staged_arguments<Real> arguments) {
    run_stage<Which, Real, Threads>(arguments);
}
#else
/// What a thread of a modelled device does.
template <stage Which, class Real, index Threads>
void stage_kernel(const staged_arguments<Real>& arguments) {
    run_stage<Which, Real, Threads>(arguments);
}
#endif

/// The kernels of all stages.
template <class Real, index Threads = 128>
struct stage_kernels {
    static const void* kernel(stage which) noexcept { return find(which, std::make_index_sequence<num_stages>{}); }

    static constexpr staged_kernels<Real> table{sizeof(staged_record<Real>), int(Threads),
                                                stage_shared_bytes<Real, Threads>, &kernel};

private:
    template <std::size_t... Which>
    static const void* find(stage which, std::index_sequence<Which...>) {
        const void* const all[] = {
            reinterpret_cast<const void*>(&stage_kernel<static_cast<stage>(Which), Real, Threads>)...};
        return all[static_cast<int>(which)];
    }
};

CUBOME_END_NAMESPACE
