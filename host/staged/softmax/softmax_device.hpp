// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "host/staged/softmax/blas_calls.hpp"
#include "kernels/softmax_launch.hpp"

/// What softmax_oracle runs on, on a device.
namespace cubome::detail {

/// How much memory is worked in, and how much is done at once, in floats.
struct softmax_limits {
    /// Of cuBLAS's workspace: what it recommends for the devices of compute capability 9.0, the most of all.
    std::size_t blas_bytes = std::size_t{32} << 20;
    /// Scores of some problems' samples: 512 MiB.
    std::int64_t of_scores = std::int64_t{1} << 27;
    /// A panel of bytes as floats: 16 MiB are still in a device's second-level cache when it is multiplied again.
    std::int64_t of_panel = std::int64_t{1} << 22;
    /// Samples of the host on their way: 64 MiB.
    std::int64_t of_staging = std::int64_t{1} << 24;
};

struct softmax_device {
    cuda_runtime& runtime;
    const softmax_device_kernels& kernels;
    const blas_library& blas;
    softmax_limits limits;
};

/// @throws not_compiled in a build without nvcc, or without cuBLAS
softmax_device require_softmax_device();

/// What oracles use that are made from now on, in place of what the build has; not while another thread makes one.
/// @param kernels, blas null: those of the build again
void replace_softmax_device(const softmax_device_kernels* kernels, const blas_library* blas,
                            const softmax_limits& limits = {});

}  // namespace cubome::detail
