// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/group.hpp"

/// What the groups ask of the hardware: who a thread is, exchange within a warp, two barriers, shared memory. Under
/// nvcc these are CUDA's intrinsics. A host compiler that reads this file must bring a model of them, in a header that
/// CUBOME_SIMT_MODEL names.
#ifdef CUBOME_SIMT_MODEL
#include CUBOME_SIMT_MODEL
#else
#ifndef __CUDACC__
#error "the headers in cubome/cuda are for nvcc"
#endif

// The bodies are empty where nvcc compiles for the host, where nobody calls them.
#ifdef __CUDA_ARCH__
#define CUBOME_ON_DEVICE(...) __VA_ARGS__
#else
#define CUBOME_ON_DEVICE(...)
#endif

CUBOME_BEGIN_NAMESPACE
namespace simt {

/// One bit for each lane of a warp.
using lane_mask = unsigned;

CUBOME_INLINE index thread_rank() {
    CUBOME_ON_DEVICE(return static_cast<index>(threadIdx.x);)
    return 0;
}
CUBOME_INLINE std::int64_t block_rank() {
    CUBOME_ON_DEVICE(return blockIdx.x;)
    return 0;
}
CUBOME_INLINE std::int64_t num_blocks() {
    CUBOME_ON_DEVICE(return gridDim.x;)
    return 1;
}

/// The numbers of the lane whose own number differs by `offset`. All lanes of the mask must call it.
template <class Real, int K>
CUBOME_INLINE sums<Real, K> shuffle_xor([[maybe_unused]] lane_mask mask, sums<Real, K> x,
                                        [[maybe_unused]] index offset) {
    CUBOME_ON_DEVICE(for (int k = 0; k < K; ++k) x[k] = __shfl_xor_sync(mask, x[k], offset);)
    return x;
}
/// Whether the predicate holds in every lane of the mask.
CUBOME_INLINE bool all_of_warp([[maybe_unused]] lane_mask mask, bool predicate) {
    CUBOME_ON_DEVICE(return __all_sync(mask, predicate) != 0;)
    return predicate;
}
/// Waits for the lanes of the mask, and publishes to them what they wrote.
CUBOME_INLINE void sync_warp([[maybe_unused]] lane_mask mask) {
    CUBOME_ON_DEVICE(__syncwarp(mask);)
}
/// The same for the block.
CUBOME_INLINE void sync_block() {
    CUBOME_ON_DEVICE(__syncthreads();)
}
CUBOME_INLINE bool all_of_block(bool predicate) {
    CUBOME_ON_DEVICE(return __syncthreads_and(predicate) != 0;)
    return predicate;
}

/// The block's dynamic shared memory, aligned to 16 bytes.
CUBOME_INLINE char* shared_memory() {
#ifdef __CUDA_ARCH__
    extern __shared__ __align__(16) char cubome_shared_memory[];
    return cubome_shared_memory;
#else
    return nullptr;
#endif
}

}  // namespace simt
CUBOME_END_NAMESPACE

#undef CUBOME_ON_DEVICE
#endif
