// SPDX-License-Identifier: Apache-2.0
#include "host/staged/staged_kernels.hpp"

#include <atomic>
#include <type_traits>

#include "cubome/error.hpp"
#include "kernels/staged_launch.hpp"

namespace cubome::detail {
namespace {

template <class Real>
std::atomic<const staged_kernels<Real>*> replacement{nullptr};

}  // namespace

template <class Real>
const staged_kernels<Real>* current_staged_kernels() {
    if (const staged_kernels<Real>* const replaced = replacement<Real>) return replaced;
    if constexpr (std::is_same_v<Real, float>)
        return staged_kernels_float();
    else
        return staged_kernels_double();
}

template <class Real>
void replace_staged_kernels(const staged_kernels<Real>* kernels) {
    replacement<Real> = kernels;
}

template <class Real>
staged_device<Real> require_staged_device() {
    cuda_runtime* const runtime = current_cuda_runtime();
    const staged_kernels<Real>* const kernels = current_staged_kernels<Real>();
    if (runtime == nullptr || kernels == nullptr)
        throw not_compiled("solve: the backend 'cuda' is not part of this build, which has 'cpu'");
    return {*runtime, *kernels};
}

template staged_device<float> require_staged_device();
template staged_device<double> require_staged_device();
template const staged_kernels<float>* current_staged_kernels();
template const staged_kernels<double>* current_staged_kernels();
template void replace_staged_kernels(const staged_kernels<float>*);
template void replace_staged_kernels(const staged_kernels<double>*);

}  // namespace cubome::detail
