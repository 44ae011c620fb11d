// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "cleaning_oracle.hpp"

namespace own_gradients {

/// enqueued_oracle on the current CUDA device.
/// @throws std::runtime_error with the call that failed
std::unique_ptr<cubome::oracle<float>> make_cuda_oracle(const cleaning_data<float>& data, std::int64_t num_problems);

}  // namespace own_gradients
