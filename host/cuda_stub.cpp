// SPDX-License-Identifier: Apache-2.0
#include "host/cuda_calls.hpp"

/// In place of host/cuda_runtime.cpp where there is no nvcc.
namespace cubome::detail {

cuda_calls linked_cuda_calls() {
    return {};
}

cuda_runtime* linked_cuda_runtime() {
    return nullptr;
}

}  // namespace cubome::detail
