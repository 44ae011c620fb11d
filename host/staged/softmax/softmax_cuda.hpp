// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "host/staged/softmax/softmax_device.hpp"
#include "host/staged/softmax/softmax_parts.hpp"

namespace cubome::detail {

/// The engine behind softmax_oracle on a device. Labels are in host memory; there are no sparse samples.
/// @param device −1: the calling thread's current one
/// @throws invalid_argument, backend_unavailable, cuda_error, std::bad_alloc
std::unique_ptr<oracle<float>> make_softmax_cuda(const softmax_parts& parts, const softmax_device& on, int device);

}  // namespace cubome::detail
