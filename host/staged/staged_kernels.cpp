// SPDX-License-Identifier: Apache-2.0
#include "host/staged/staged_kernels.hpp"

#include <atomic>
#include <type_traits>

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

template const staged_kernels<float>* current_staged_kernels();
template const staged_kernels<double>* current_staged_kernels();
template void replace_staged_kernels(const staged_kernels<float>*);
template void replace_staged_kernels(const staged_kernels<double>*);

}  // namespace cubome::detail
