// SPDX-License-Identifier: Apache-2.0
#include "cubome/problems/linear_model.hpp"

#include "cubome/cuda/runner.cuh"
#include "kernels/families.hpp"

CUBOME_DEFINE_CUDA_FAMILY(linear_model)
