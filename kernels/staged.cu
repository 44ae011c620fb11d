// SPDX-License-Identifier: Apache-2.0
#include "cubome/cuda/stage_kernel.cuh"

#include "kernels/staged_launch.hpp"

const cubome::staged_kernels<CUBOME_CUDA_REAL>* cubome::detail::CUBOME_STAGED_KERNELS_NAME(CUBOME_CUDA_REAL)() {
    return &cubome::stage_kernels<CUBOME_CUDA_REAL>::table;
}
