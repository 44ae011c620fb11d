// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "cubome/core/arithmetic.hpp"

/// Elementary functions for every Real. On the host one branch-free text serves scalars and packs, so that a problem
/// gets the same bits in a lane of a pack as alone; on the device CUDA's own functions are used. NaN in, NaN out.
///
/// Errors over all finite arguments, measured against long double by the tests: exp 2 ulp, log 2 ulp, log1p 3 ulp,
/// sigmoid 3 ulp where the result is a normal number, softplus 3 ulp.
CUBOME_BEGIN_NAMESPACE

/// Bit patterns of IEEE numbers, for scalars; packs bring their own in core/pack.hpp.
struct float_bits {
    using word = std::uint32_t;
    static constexpr int mantissa_bits = 23;
    static constexpr word exponent_bias = 127;
    static constexpr float ln2_high = 0x1.62e400p-1f;  // ln 2 cut to 15 bits: an integer of 8 bits times it is exact
    static constexpr float ln2_low = 0x1.7f7d1cp-20f;
    static constexpr float exp_lowest = -104.0f;  // exp of it rounds to 0
    static constexpr float exp_highest = 89.0f;   // exp of it overflows
    static constexpr int exp_degree = 7;          // ½ ln 2 to the 8th over 8! is 5e-9
    static constexpr int log_terms = 4;           // 0.0295 to the 5th over 11 is 2e-9
};
struct double_bits {
    using word = std::uint64_t;
    static constexpr int mantissa_bits = 52;
    static constexpr word exponent_bias = 1023;
    static constexpr double ln2_high = 0x1.62e42fee00000p-1;  // ln 2 cut to 32 bits
    static constexpr double ln2_low = 0x1.a39ef35793c76p-33;
    static constexpr double exp_lowest = -746.0;
    static constexpr double exp_highest = 710.0;
    static constexpr int exp_degree = 13;  // ½ ln 2 to the 14th over 14! is 4e-18
    static constexpr int log_terms = 10;   // 0.0295 to the 11th over 23 is 6e-19
};
template <class Scalar>
struct bits_of_scalar;
template <>
struct bits_of_scalar<float> {
    using type = float_bits;
};
template <>
struct bits_of_scalar<double> {
    using type = double_bits;
};
template <class Real>
using bits_of = typename bits_of_scalar<scalar_of<Real>>::type;

template <class Word, class Scalar>
CUBOME_INLINE Word to_word(Scalar x) {
    Word word;
    std::memcpy(&word, &x, sizeof word);
    return word;
}
template <class Scalar, class Word>
CUBOME_INLINE Scalar from_word(Word word) {
    Scalar x;
    std::memcpy(&x, &word, sizeof x);
    return x;
}

/// Adding it to a number of moderate size rounds that to an integer n and leaves n in the low bits.
template <class Real>
CUBOME_INLINE Real rounding_shift() {
    using scalar = scalar_of<Real>;
    return Real(scalar(3) * scalar(std::uint64_t(1) << (bits_of<Real>::mantissa_bits - 1)));
}

/// 2ⁿ from n + rounding_shift; n within the normal exponents.
template <class Scalar>
CUBOME_INLINE Scalar power_of_two(Scalar shifted) {
    using bits = bits_of<Scalar>;
    using word = typename bits::word;
    return from_word<Scalar>((to_word<word>(shifted) + bits::exponent_bias) << bits::mantissa_bits);
}

/// x 2ⁿ, rounded once, for an integer n whose half is within the normal exponents.
template <class Real>
CUBOME_INLINE Real scale_by_power(Real x, Real n) {
    // In two factors: n itself may reach past the exponents of normal numbers.
    const Real shift = rounding_shift<Real>();
    const Real half = fma(n, Real(scalar_of<Real>(0.5)), shift) - shift;
    return x * power_of_two(half + shift) * power_of_two((n - half) + shift);
}

/// Splits a positive normal x = m 2ᵉ, 1 ≤ m < 2.
template <class Scalar>
CUBOME_INLINE void split_exponent(Scalar x, Scalar& mantissa, Scalar& exponent) {
    using bits = bits_of<Scalar>;
    using word = typename bits::word;
    constexpr word mantissa_mask = (word(1) << bits::mantissa_bits) - 1;
    // A number of size 2^mantissa_bits with the exponent field in its low bits, minus that size, is the field.
    constexpr word carrier = (bits::exponent_bias + bits::mantissa_bits) << bits::mantissa_bits;
    constexpr word one = bits::exponent_bias << bits::mantissa_bits;
    const word pattern = to_word<word>(x);
    mantissa = from_word<Scalar>((pattern & mantissa_mask) | one);
    exponent = from_word<Scalar>((pattern >> bits::mantissa_bits) | carrier) -
               Scalar((word(1) << bits::mantissa_bits) + bits::exponent_bias);
}

/// eˣ. Overflows to +Inf above 88.7 (709.8 in double), denormal below −87.3 (−708.4).
template <class Real>
CUBOME_INLINE Real exp(Real x) {
#ifdef __CUDA_ARCH__
    return ::exp(x);
#else
    using bits = bits_of<Real>;
    using scalar = scalar_of<Real>;
    const Real lowest(bits::exp_lowest);
    const Real shift = rounding_shift<Real>();

    // The clamp keeps n in range. NaN and +Inf come through r, which is made of x itself; too small an x at the end.
    const Real clamped = fast_min(fast_max(x, lowest), Real(bits::exp_highest));
    const Real n = fma(clamped, Real(scalar(1.44269504088896340736)), shift) - shift;
    const Real r = fma(-n, Real(bits::ln2_low), fma(-n, Real(bits::ln2_high), x));

    // eʳ = 1 + (r + r² (1/2! + r/3! + …)), Taylor's series: |r| ≤ ½ ln 2
    scalar factorial = 1;
    for (int k = 2; k <= bits::exp_degree; ++k) factorial *= scalar(k);
    Real tail(scalar(1) / factorial);
    for (int k = bits::exp_degree; k > 2; --k) {
        factorial /= scalar(k);
        tail = fma(tail, r, Real(scalar(1) / factorial));
    }
    const Real power = fma(r * r, tail, r) + Real(scalar(1));

    return select(x < lowest, Real(scalar(0)), scale_by_power(power, n));
#endif
}

/// The natural logarithm: −Inf at 0, NaN below.
template <class Real>
CUBOME_INLINE Real log(Real x) {
#ifdef __CUDA_ARCH__
    return ::log(x);
#else
    using bits = bits_of<Real>;
    using scalar = scalar_of<Real>;
    const Real zero(scalar(0));
    constexpr scalar scalar_infinity = std::numeric_limits<scalar>::infinity();
    constexpr scalar smallest_normal = std::numeric_limits<scalar>::min();
    const Real infinity(scalar_infinity);

    // Denormal numbers are scaled into the normal range first.
    const Real lift(scalar(std::uint64_t(1) << (bits::mantissa_bits + 1)));
    const auto is_tiny = x < Real(smallest_normal);
    const Real normal = select(is_tiny, x * lift, x);
    Real mantissa, exponent;
    split_exponent(normal, mantissa, exponent);
    exponent = exponent - select(is_tiny, Real(scalar(bits::mantissa_bits + 1)), zero);
    const auto is_large = mantissa > Real(scalar(1.41421356237309504880));
    mantissa = select(is_large, mantissa * Real(scalar(0.5)), mantissa);
    exponent = exponent + select(is_large, Real(scalar(1)), zero);

    // log(1 + f) = 2 artanh s = f − f²/2 + s (f²/2 + R), s = f / (2 + f), R = 2 s² (1/3 + s²/5 + s⁴/7 + …)
    const Real f = mantissa - Real(scalar(1));
    const Real s = f / (f + Real(scalar(2)));
    const Real square = s * s;
    Real series(scalar(2) / scalar(2 * bits::log_terms + 1));
    for (int k = bits::log_terms - 1; k > 0; --k) series = fma(series, square, Real(scalar(2) / scalar(2 * k + 1)));
    const Real half_square = Real(scalar(0.5)) * f * f;
    const Real low = fma(s, fma(series, square, half_square), exponent * Real(bits::ln2_low));
    const Real result = fma(exponent, Real(bits::ln2_high), f - (half_square - low));

    const Real special = select(x == zero, -infinity, select(x == infinity, infinity, x - x + infinity - infinity));
    return select((x > zero) & isfinite(x), result, special);
#endif
}

/// log(1 + x): −Inf at −1, NaN below.
template <class Real>
CUBOME_INLINE Real log1p(Real x) {
#ifdef __CUDA_ARCH__
    return ::log1p(x);
#else
    using scalar = scalar_of<Real>;
    const Real one(scalar(1));
    // log u for the rounded u = 1 + x, plus what the rounding lost: (x − (u − 1)) / u
    const Real u = one + x;
    const Real lost = (x - (u - one)) / u;
    return log(u) + select(isfinite(lost), lost, Real(scalar(0)));
#endif
}

/// 1 / (1 + e^(−x)).
template <class Real>
CUBOME_INLINE Real sigmoid(Real x) {
    const Real one(scalar_of<Real>(1));
    return one / (one + exp(-x));
}

/// log(1 + eˣ), without overflow.
template <class Real>
CUBOME_INLINE Real softplus(Real x) {
    return max(x, Real(scalar_of<Real>(0))) + log1p(exp(-abs(x)));
}

CUBOME_INLINE float sin(float x) {
    return ::sinf(x);
}
CUBOME_INLINE double sin(double x) {
    return ::sin(x);
}
CUBOME_INLINE float cos(float x) {
    return ::cosf(x);
}
CUBOME_INLINE double cos(double x) {
    return ::cos(x);
}

CUBOME_END_NAMESPACE
