// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/degenerate.hpp"

#include "cubome/cuda/runner.cuh"
#include "kernels/families.hpp"

CUBOME_DEFINE_CUDA_FAMILY(degenerate)
