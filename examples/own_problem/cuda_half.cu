// SPDX-License-Identifier: Apache-2.0

// The family's kernels, for every device that this file is compiled for.

#include "cubome/cuda/runner.cuh"
#include "cuda_half.hpp"
#include "own_problem.hpp"

namespace own_problem {

const cubome::cuda_functions<float>* cuda_half() {
    return &cubome::cuda_family<float, waves_family>::functions;
}

}  // namespace own_problem
