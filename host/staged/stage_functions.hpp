// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/stage_arguments.hpp"
#include "cubome/core/types.hpp"

/// The stages for the CPU, one function per precision and instruction set, each defined in an object of its own that is
/// compiled for that instruction set: nothing but plain data crosses this line.
namespace cubome::detail {

#define CUBOME_STAGES(isa)                               \
    const staged_functions<float>* stages_float_##isa(); \
    const staged_functions<double>* stages_double_##isa();
CUBOME_STAGES(baseline)
CUBOME_STAGES(avx2)
CUBOME_STAGES(avx512)
#undef CUBOME_STAGES

/// Those of the instruction set that was asked for, else of the widest that both the CPU and the build have.
/// @throws as choose_instructions
template <class Real>
const staged_functions<Real>* choose_stage_functions(instruction_set wanted, instruction_set* chosen);

}  // namespace cubome::detail

// What an object is compiled for: CMake defines CUBOME_CPU_REAL (float, double) and CUBOME_CPU_ISA (baseline, …).
#define CUBOME_STAGES_NAME_(real, isa) stages_##real##_##isa
#define CUBOME_STAGES_NAME(real, isa) CUBOME_STAGES_NAME_(real, isa)
