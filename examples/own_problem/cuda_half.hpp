// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/problem_runner.hpp"

namespace own_problem {

/// What cuda_half.cu compiles. A host compiler can read this header.
const cubome::cuda_functions<float>* cuda_half();

}  // namespace own_problem
