// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/// What the solver's text needs to know about the compiler. Everything in core/ and problems/ lives in an inline
/// namespace named after the target: an object that a user compiled for AVX-512 then cannot replace, at link time, the
/// same function of the library compiled for every x86-64.

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "cuBOME's results rest on IEEE arithmetic: compile without -ffast-math and -ffinite-math-only"
#endif

#ifdef __CUDACC__
#define CUBOME_HD __host__ __device__
#else
#define CUBOME_HD
#endif

// The text is many small functions that pass lambdas: it is fast where all of them are inlined, registers included.
// Where nothing is optimised, as in a debugger, it stays the functions it is written as.
#if defined(__CUDACC__) || defined(__OPTIMIZE__)
#define CUBOME_FLATTEN __attribute__((flatten))
#define CUBOME_INLINE CUBOME_HD inline __attribute__((always_inline))
#else
#define CUBOME_FLATTEN
#define CUBOME_INLINE CUBOME_HD inline
#endif

// Loops that nvcc is to unroll where the number of trips turns out to be a constant, since what they index are
// registers, and loops that it is not to.
#ifdef __CUDACC__
#define CUBOME_UNROLL _Pragma("unroll")
#define CUBOME_NO_UNROLL _Pragma("unroll 1")
#else
#define CUBOME_UNROLL
#define CUBOME_NO_UNROLL
#endif

// One body, with everything it calls inlined into it.
#if defined(__CUDACC__)
#define CUBOME_OUT_OF_LINE CUBOME_HD __noinline__
#else
#define CUBOME_OUT_OF_LINE __attribute__((noinline)) CUBOME_FLATTEN
#endif

#if defined(__CUDACC__)
#define CUBOME_TARGET_NAME target_cuda
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__FMA__)
#define CUBOME_TARGET_NAME target_avx512
#define CUBOME_TARGET_IS_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define CUBOME_TARGET_NAME target_avx2
#define CUBOME_TARGET_IS_AVX2 1
#elif defined(__FMA__)
#define CUBOME_TARGET_NAME target_fma
#else
#define CUBOME_TARGET_NAME target_baseline
#endif

// The library's own objects keep apart from a user's of the same target, who may have compiled without optimisation.
#ifdef CUBOME_BUILDING_LIBRARY
#define CUBOME_TARGET_JOIN_(name) library_##name
#define CUBOME_TARGET_JOIN(name) CUBOME_TARGET_JOIN_(name)
#define CUBOME_TARGET CUBOME_TARGET_JOIN(CUBOME_TARGET_NAME)
#else
#define CUBOME_TARGET CUBOME_TARGET_NAME
#endif

#define CUBOME_BEGIN_NAMESPACE \
    namespace cubome {         \
    inline namespace CUBOME_TARGET {
#define CUBOME_END_NAMESPACE \
    }                        \
    }

CUBOME_BEGIN_NAMESPACE

/// Counts elements inside one problem. Offsets into a batch are std::int64_t.
using index = std::int32_t;

CUBOME_END_NAMESPACE
