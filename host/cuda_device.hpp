// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "cubome/error.hpp"
#include "host/cuda_calls.hpp"

/// What a plan asks of its device before it launches anything.
namespace cubome::detail {

/// The device that a plan is for.
/// @param function that was called
/// @param wanted   −1: the calling thread's current one
/// @throws invalid_argument for one that there is not; backend_unavailable where there is none; cuda_error
inline int find_device(cuda_runtime& runtime, const char* function, int wanted) {
    // Without a driver the call leaves its output unwritten.
    int num_devices = 0;
    runtime.call(&cuda_calls::device_count, "counting devices", &num_devices);
    if (num_devices == 0) throw backend_unavailable("cuda: there is no device");
    if (wanted >= num_devices)
        throw invalid_argument(function, "execution.device", "is " + std::to_string(wanted),
                               "less than the number of devices, " + std::to_string(num_devices));
    int device = wanted;
    if (wanted < 0) runtime.call(&cuda_calls::current_device, "asking for the current device", &device);
    return device;
}

inline int count_multiprocessors(cuda_runtime& runtime, int device) {
    int result = 0;
    runtime.call(&cuda_calls::device_attribute, "asking for the size of the device", &result, multiprocessor_count,
                 device);
    return result;
}

/// The blocks of a kernel that the current device holds at a time, at least 1. The kernel is loaded by this, and not
/// when it is launched.
inline std::int64_t count_blocks(cuda_runtime& runtime, const void* kernel, int threads_per_block,
                                 std::size_t shared_bytes, int num_multiprocessors) {
    int blocks = 0;
    runtime.call(&cuda_calls::blocks_per_multiprocessor, "loading the kernels", &blocks, kernel, threads_per_block,
                 shared_bytes);
    return std::max<std::int64_t>(1, std::int64_t(blocks) * num_multiprocessors);
}

}  // namespace cubome::detail
