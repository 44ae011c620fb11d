// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.cuh"

const cubome::detail::softmax_device_kernels* cubome::detail::softmax_cuda_kernels() {
    return cubome::softmax_device::kernels();
}
