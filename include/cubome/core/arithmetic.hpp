// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>

#include "cubome/core/config.hpp"

/// Arithmetic that the text may use on every Real, for the scalars. `core/pack.hpp` gives the same functions for SIMD
/// packs, where a comparison is a mask with one bit per problem. None of them hides a NaN.
CUBOME_BEGIN_NAMESPACE

/// What a Real is made of: its scalar, its mask and how many problems or elements it carries.
template <class Real>
struct real_traits {
    using scalar = Real;
    using mask = bool;
    static constexpr index lanes = 1;
};

template <class Real>
using scalar_of = typename real_traits<Real>::scalar;
template <class Real>
using mask_of = typename real_traits<Real>::mask;

/// a b + c, rounded once where the target has the instruction, twice elsewhere (never by a software routine).
CUBOME_INLINE float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
CUBOME_INLINE double fma(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
    return __fma_rn(a, b, c);
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

CUBOME_INLINE float select(bool mask, float a, float b) {
    return mask ? a : b;
}
CUBOME_INLINE double select(bool mask, double a, double b) {
    return mask ? a : b;
}
CUBOME_INLINE bool any(bool mask) {
    return mask;
}
CUBOME_INLINE bool all(bool mask) {
    return mask;
}

/// A mask of which `any` is known to hold, where the text has branched on that: a scalar's is true, and selects by it
/// are gone.
CUBOME_INLINE bool after_any(bool) {
    return true;
}

CUBOME_INLINE float abs(float x) {
    return __builtin_fabsf(x);
}
CUBOME_INLINE double abs(double x) {
    return __builtin_fabs(x);
}
CUBOME_INLINE float sqrt(float x) {
    return ::sqrtf(x);
}
CUBOME_INLINE double sqrt(double x) {
    return ::sqrt(x);
}

// As constants: device code may not call std::numeric_limits.
inline constexpr float largest_float = std::numeric_limits<float>::max();
inline constexpr double largest_double = std::numeric_limits<double>::max();
template <class Scalar>
inline constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();
template <class Scalar>
inline constexpr Scalar quiet_nan = std::numeric_limits<Scalar>::quiet_NaN();
template <class Scalar>
inline constexpr Scalar machine_epsilon = std::numeric_limits<Scalar>::epsilon();

CUBOME_INLINE bool isfinite(float x) {
    return abs(x) <= largest_float;
}
CUBOME_INLINE bool isfinite(double x) {
    return abs(x) <= largest_double;
}
CUBOME_INLINE bool isnan(float x) {
    return !(x == x);
}
CUBOME_INLINE bool isnan(double x) {
    return !(x == x);
}

/// a > b ? a : b and a < b ? a : b: one instruction, but b where either is NaN. For values that are no result.
CUBOME_INLINE float fast_max(float a, float b) {
    return a > b ? a : b;
}
CUBOME_INLINE double fast_max(double a, double b) {
    return a > b ? a : b;
}
CUBOME_INLINE float fast_min(float a, float b) {
    return a < b ? a : b;
}
CUBOME_INLINE double fast_min(double a, double b) {
    return a < b ? a : b;
}

/// The larger one; NaN if either is NaN (std::fmax would drop it).
template <class Real>
CUBOME_INLINE Real max(Real a, Real b) {
    return select(isnan(a), a, fast_max(a, b));
}
/// The smaller one; NaN if either is NaN.
template <class Real>
CUBOME_INLINE Real min(Real a, Real b) {
    return select(isnan(a), a, fast_min(a, b));
}

/// The larger one, NaN if either is; of two zeros any. What a maximum over many is made of.
template <class Real>
CUBOME_INLINE Real larger(Real a, Real b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (sizeof(Real) == sizeof(float)) {
        float result;
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
        return result;
    }
#endif
    return max(a, b);
}

/// 1 / x, rounded correctly, of x from 2^-100 to 2^100 or NaN.
template <class Real>
CUBOME_INLINE Real reciprocal(Real x) {
#ifdef __CUDA_ARCH__
    // What nvcc makes of a division by such a float, without the test for others and the way round for them.
    if constexpr (sizeof(Real) == sizeof(float)) {
        float guess;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(guess) : "f"(x));
        return fma(guess, fma(-x, guess, 1.0f), guess);
    }
#endif
    return Real(scalar_of<Real>(1)) / x;
}

/// The element of a scalar, or its mask, in memory: what packs do with all their lanes.
CUBOME_INLINE void store_lanes(float x, float* to) {
    *to = x;
}
CUBOME_INLINE void store_lanes(double x, double* to) {
    *to = x;
}
CUBOME_INLINE void store_lanes(bool mask, bool* to) {
    *to = mask;
}

CUBOME_END_NAMESPACE
