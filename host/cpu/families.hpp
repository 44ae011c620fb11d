// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/problem_runner.hpp"

/// The shipped families' CPU halves, one function per family, precision and instruction set. Each is defined in an
/// object of its own, compiled for that instruction set: nothing but plain data crosses this line.
namespace cubome::detail {

#define CUBOME_CPU_FAMILY(family, isa)                  \
    const cpu_functions<float>* family##_float_##isa(); \
    const cpu_functions<double>* family##_double_##isa();
#define CUBOME_CPU_FAMILIES(isa)       \
    CUBOME_CPU_FAMILY(coreset, isa)    \
    CUBOME_CPU_FAMILY(minimax, isa)    \
    CUBOME_CPU_FAMILY(degenerate, isa) \
    CUBOME_CPU_FAMILY(quadratic, isa)  \
    CUBOME_CPU_FAMILY(linear_model, isa)
CUBOME_CPU_FAMILIES(baseline)
CUBOME_CPU_FAMILIES(avx2)
CUBOME_CPU_FAMILIES(avx512)
#undef CUBOME_CPU_FAMILIES
#undef CUBOME_CPU_FAMILY

}  // namespace cubome::detail

// What an object is compiled for: CMake defines CUBOME_CPU_REAL (float, double) and CUBOME_CPU_ISA (baseline, …).
#define CUBOME_CPU_NAME_(family, real, isa) family##_##real##_##isa
#define CUBOME_CPU_NAME(family, real, isa) CUBOME_CPU_NAME_(family, real, isa)
#define CUBOME_DEFINE_CPU_FAMILY(family, ...)                                                                \
    const cubome::cpu_functions<CUBOME_CPU_REAL>* cubome::detail::CUBOME_CPU_NAME(family, CUBOME_CPU_REAL,   \
                                                                                  CUBOME_CPU_ISA)() {        \
        return &cubome::cpu_family<CUBOME_CPU_REAL,                                                          \
                                   cubome::problems::family##_family __VA_OPT__(, ) __VA_ARGS__>::functions; \
    }
