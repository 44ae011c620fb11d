// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cubome/softmax_oracle.hpp"

/// The engines behind softmax_oracle.
namespace cubome::detail {

/// What a softmax_oracle is made of, checked.
struct softmax_parts {
    softmax_samples train, validation, held_out;
    softmax_options options;
};

/// @throws std::bad_alloc
std::unique_ptr<oracle<float>> make_softmax_cpu(const softmax_parts& parts, instruction_set instructions);

/// Whether this build has its kernels.
bool is_softmax_compiled(instruction_set instructions);

}  // namespace cubome::detail
