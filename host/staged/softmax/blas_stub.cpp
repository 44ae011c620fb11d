// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/blas_calls.hpp"

/// In place of host/cuda_blas.cpp where there is no cuBLAS.
namespace cubome::detail {

const blas_library* linked_blas_library() {
    return nullptr;
}

}  // namespace cubome::detail
