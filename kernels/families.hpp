// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/cuda/launch.hpp"

/// The shipped families' CUDA halves, one function per family and precision, each defined in the .cu of its family.
namespace cubome::detail {

#define CUBOME_CUDA_FAMILY(family)                      \
    const cuda_functions<float>* family##_float_cuda(); \
    const cuda_functions<double>* family##_double_cuda();
CUBOME_CUDA_FAMILY(coreset)
CUBOME_CUDA_FAMILY(minimax)
CUBOME_CUDA_FAMILY(degenerate)
CUBOME_CUDA_FAMILY(quadratic)
CUBOME_CUDA_FAMILY(linear_model)
#undef CUBOME_CUDA_FAMILY

}  // namespace cubome::detail

// What an object is compiled for: CMake defines CUBOME_CUDA_REAL (float, double).
#define CUBOME_CUDA_NAME_(family, real) family##_##real##_cuda
#define CUBOME_CUDA_NAME(family, real) CUBOME_CUDA_NAME_(family, real)
#define CUBOME_DEFINE_CUDA_FAMILY(family, ...)                                                                     \
    const cubome::cuda_functions<CUBOME_CUDA_REAL>* cubome::detail::CUBOME_CUDA_NAME(family, CUBOME_CUDA_REAL)() { \
        return &cubome::cuda_family<CUBOME_CUDA_REAL,                                                              \
                                    cubome::problems::family##_family __VA_OPT__(, ) __VA_ARGS__>::functions;      \
    }
