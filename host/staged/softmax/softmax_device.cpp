// SPDX-License-Identifier: Apache-2.0
#include "host/staged/softmax/softmax_device.hpp"

#include "cubome/error.hpp"

namespace cubome::detail {
namespace {

const softmax_device_kernels* replaced_kernels = nullptr;
const blas_library* replaced_blas = nullptr;
softmax_limits limits;

template <class T>
const T* first_of(const T* replaced, const T* linked) {
    return replaced != nullptr ? replaced : linked;
}

}  // namespace

softmax_device require_softmax_device() {
    cuda_runtime* const runtime = current_cuda_runtime();
    const softmax_device_kernels* const kernels = first_of(replaced_kernels, softmax_cuda_kernels());
    if (runtime == nullptr || kernels == nullptr)
        throw not_compiled("softmax_oracle: the backend 'cuda' is not part of this build, which has 'cpu'");
    const blas_library* const blas = first_of(replaced_blas, linked_blas_library());
    if (blas == nullptr) throw not_compiled("softmax_oracle: for the backend 'cuda' this build has no cuBLAS");
    return {*runtime, *kernels, *blas, limits};
}

void replace_softmax_device(const softmax_device_kernels* kernels, const blas_library* blas,
                            const softmax_limits& with) {
    replaced_kernels = kernels;
    replaced_blas = blas;
    limits = with;
}

}  // namespace cubome::detail
