// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "host/staged/softmax/softmax_parts.hpp"

namespace cubome::detail {

/// The engine behind softmax_oracle on the CPU.
/// @throws std::bad_alloc
std::unique_ptr<oracle<float>> make_softmax_cpu(const softmax_parts& parts, instruction_set instructions);

/// Whether this build has its kernels.
bool is_softmax_compiled(instruction_set instructions);

}  // namespace cubome::detail
