// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/blas_calls.hpp"

#include <string>

#include "cubome/error.hpp"

namespace cubome::detail {

cuda_failure classify_blas(int status) noexcept {
    switch (status) {
        case 1:  // NOT_INITIALIZED: there is no driver, or no device
        case 8:  // ARCH_MISMATCH
            return cuda_failure::unavailable;
        case 3:  // ALLOC_FAILED
            return cuda_failure::out_of_memory;
        default:
            return cuda_failure::contract;
    }
}

void blas_library::fail(cuda_runtime& runtime, int status, const char* call, const char* place) const {
    runtime.refuse_if_losing(place);
    const cuda_error error(status, calls_.status_name(status), call, place, classify_blas(status));
    if (error.failure() == cuda_failure::unavailable) throw backend_unavailable(error.what());
    throw error;
}

}  // namespace cubome::detail
