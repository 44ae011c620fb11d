// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/stage_arguments.hpp"

/// The stages of the staged engine as kernels, each precision in an object of its own.
namespace cubome::detail {

const staged_kernels<float>* staged_kernels_float();  ///< null in a build without nvcc
const staged_kernels<double>* staged_kernels_double();

}  // namespace cubome::detail

// What an object is compiled for: CMake defines CUBOME_CUDA_REAL (float, double).
#define CUBOME_STAGED_KERNELS_NAME_(real) staged_kernels_##real
#define CUBOME_STAGED_KERNELS_NAME(real) CUBOME_STAGED_KERNELS_NAME_(real)
