// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "cubome/settings.hpp"

/// What an `execution` comes to on this machine and in this environment.
namespace cubome::detail {

/// @throws invalid_argument for numbers out of range
void check_execution(const execution& e);

/// What was asked for, else what the environment names; automatic where neither does.
/// @throws invalid_argument
backend choose_backend(backend wanted);

/// What was asked for, else the widest that both the CPU and the build have.
///
/// @param name        of what is to run, for messages
/// @param is_compiled for an instruction set; `automatic`, as its owner has compiled it, is taken before all others
/// @throws invalid_argument, not_compiled, backend_unavailable
instruction_set choose_instructions(const char* name, instruction_set wanted,
                                    const std::function<bool(instruction_set)>& is_compiled);

/// What was asked for; for 0, the number of cores.
int choose_threads(int wanted);

}  // namespace cubome::detail
