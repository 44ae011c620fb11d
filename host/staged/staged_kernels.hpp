// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/stage_arguments.hpp"
#include "host/cuda_calls.hpp"

/// The stages as kernels of a device, for whoever makes a plan.
namespace cubome::detail {

/// Those of this build, null without nvcc; or what a test has put in their place.
template <class Real>
const staged_kernels<Real>* current_staged_kernels();
template <class Real>
void replace_staged_kernels(const staged_kernels<Real>* kernels);  ///< null: those of the build again

/// The runtime and the kernels of a plan for CUDA.
template <class Real>
struct staged_device {
    cuda_runtime& runtime;
    const staged_kernels<Real>& kernels;
};
/// @throws not_compiled in a build without nvcc
template <class Real>
staged_device<Real> require_staged_device();

}  // namespace cubome::detail
