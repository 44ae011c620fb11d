// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>

#include "cubome/core/mathematics.hpp"

#if __has_include(<xsimd/xsimd.hpp>)
#include <xsimd/xsimd.hpp>
#else
#define CUBOME_HAS_NO_SIMD 1
#endif

/// SIMD packs as Reals, for host code: `simd` is one vector, `wide` two of anything side by side (their instructions
/// overlap, which hides latency). The instruction set is part of the type, through xsimd. Without xsimd, or on a target
/// that it does not know here, CUBOME_HAS_NO_SIMD is defined and scalars take their place.
CUBOME_BEGIN_NAMESPACE

/// The xsimd architecture of this target.
#if defined(CUBOME_HAS_NO_SIMD)
#elif defined(CUBOME_TARGET_IS_AVX512)
using simd_target = xsimd::avx512bw;
#elif defined(CUBOME_TARGET_IS_AVX2)
using simd_target = xsimd::fma3<xsimd::avx2>;
#elif defined(__SSE2__)
using simd_target = xsimd::sse2;
#elif defined(__aarch64__)
using simd_target = xsimd::neon64;
#else
#define CUBOME_HAS_NO_SIMD 1
#endif

#ifndef CUBOME_HAS_NO_SIMD

/// One bit per lane of a `simd`.
template <class Scalar>
struct simd_mask {
    using batch = xsimd::batch_bool<Scalar, simd_target>;

    simd_mask() = default;
    CUBOME_INLINE simd_mask(batch mask) : bits(mask) {}
    CUBOME_INLINE simd_mask(bool mask) : bits(mask) {}

    batch bits;
};

/// One vector of scalars.
template <class Scalar>
struct simd {
    using batch = xsimd::batch<Scalar, simd_target>;

    simd() = default;
    CUBOME_INLINE simd(batch x) : values(x) {}
    CUBOME_INLINE explicit simd(Scalar x) : values(x) {}

    static CUBOME_INLINE simd load(const Scalar* aligned) { return batch::load_aligned(aligned); }
    CUBOME_INLINE void store(Scalar* aligned) const { values.store_aligned(aligned); }

    batch values;
};

template <class Scalar>
struct real_traits<simd<Scalar>> {
    using scalar = Scalar;
    using mask = simd_mask<Scalar>;
    static constexpr index lanes = static_cast<index>(simd<Scalar>::batch::size);
};

/// Two masks side by side.
template <class Mask>
struct wide_mask {
    wide_mask() = default;
    CUBOME_INLINE wide_mask(Mask a, Mask b) : low(a), high(b) {}
    CUBOME_INLINE wide_mask(bool mask) : low(mask), high(mask) {}

    Mask low, high;
};

/// Two vectors, or two wide ones, side by side.
template <class Real>
struct wide {
    using scalar = scalar_of<Real>;

    wide() = default;
    CUBOME_INLINE wide(Real a, Real b) : low(a), high(b) {}
    CUBOME_INLINE explicit wide(scalar x) : low(x), high(x) {}

    static CUBOME_INLINE wide load(const scalar* aligned) {
        return {Real::load(aligned), Real::load(aligned + real_traits<Real>::lanes)};
    }
    CUBOME_INLINE void store(scalar* aligned) const {
        low.store(aligned);
        high.store(aligned + real_traits<Real>::lanes);
    }

    Real low, high;
};

template <class Real>
struct real_traits<wide<Real>> {
    using scalar = scalar_of<Real>;
    using mask = wide_mask<mask_of<Real>>;
    static constexpr index lanes = 2 * real_traits<Real>::lanes;
};

template <class Mask>
inline constexpr index mask_lanes = 0;
template <class Scalar>
inline constexpr index mask_lanes<simd_mask<Scalar>> = real_traits<simd<Scalar>>::lanes;
template <class Mask>
inline constexpr index mask_lanes<wide_mask<Mask>> = 2 * mask_lanes<Mask>;

// Each operation once for a vector and once for two of anything.
#define CUBOME_PACK_OPERATOR(op)                                             \
    template <class Scalar>                                                  \
    CUBOME_INLINE simd<Scalar> operator op(simd<Scalar> a, simd<Scalar> b) { \
        return a.values op b.values;                                         \
    }                                                                        \
    template <class Real>                                                    \
    CUBOME_INLINE wide<Real> operator op(wide<Real> a, wide<Real> b) {       \
        return {a.low op b.low, a.high op b.high};                           \
    }
CUBOME_PACK_OPERATOR(+)
CUBOME_PACK_OPERATOR(-)
CUBOME_PACK_OPERATOR(*)
CUBOME_PACK_OPERATOR(/)
#undef CUBOME_PACK_OPERATOR

#define CUBOME_PACK_COMPARISON(op)                                                   \
    template <class Scalar>                                                          \
    CUBOME_INLINE simd_mask<Scalar> operator op(simd<Scalar> a, simd<Scalar> b) {    \
        return a.values op b.values;                                                 \
    }                                                                                \
    template <class Real>                                                            \
    CUBOME_INLINE wide_mask<mask_of<Real>> operator op(wide<Real> a, wide<Real> b) { \
        return {a.low op b.low, a.high op b.high};                                   \
    }
CUBOME_PACK_COMPARISON(<)
CUBOME_PACK_COMPARISON(<=)
CUBOME_PACK_COMPARISON(>)
CUBOME_PACK_COMPARISON(>=)
CUBOME_PACK_COMPARISON(==)
#undef CUBOME_PACK_COMPARISON

#define CUBOME_PACK_MASK_OPERATOR(op)                                                       \
    template <class Scalar>                                                                 \
    CUBOME_INLINE simd_mask<Scalar> operator op(simd_mask<Scalar> a, simd_mask<Scalar> b) { \
        return a.bits op b.bits;                                                            \
    }                                                                                       \
    template <class Mask>                                                                   \
    CUBOME_INLINE wide_mask<Mask> operator op(wide_mask<Mask> a, wide_mask<Mask> b) {       \
        return {a.low op b.low, a.high op b.high};                                          \
    }
CUBOME_PACK_MASK_OPERATOR(&)
CUBOME_PACK_MASK_OPERATOR(|)
#undef CUBOME_PACK_MASK_OPERATOR

template <class Scalar>
CUBOME_INLINE simd_mask<Scalar> operator!(simd_mask<Scalar> a) {
    return !a.bits;
}
template <class Mask>
CUBOME_INLINE wide_mask<Mask> operator!(wide_mask<Mask> a) {
    return {!a.low, !a.high};
}

template <class Scalar>
CUBOME_INLINE simd<Scalar> operator-(simd<Scalar> a) {
    // By the sign bit: xsimd 8.1 subtracts from 0 on AVX-512, which loses the sign of a zero.
    return a.values ^ typename simd<Scalar>::batch(Scalar(-0.0));
}
template <class Real>
CUBOME_INLINE wide<Real> operator-(wide<Real> a) {
    return {-a.low, -a.high};
}

#ifdef CUBOME_TARGET_IS_AVX512
// xsimd 8.1 has no fused form for AVX-512: it would multiply and add.
CUBOME_INLINE simd<float> fma(simd<float> a, simd<float> b, simd<float> c) {
    return simd<float>::batch(_mm512_fmadd_ps(a.values, b.values, c.values));
}
CUBOME_INLINE simd<double> fma(simd<double> a, simd<double> b, simd<double> c) {
    return simd<double>::batch(_mm512_fmadd_pd(a.values, b.values, c.values));
}
#else
template <class Scalar>
CUBOME_INLINE simd<Scalar> fma(simd<Scalar> a, simd<Scalar> b, simd<Scalar> c) {
    return xsimd::fma(a.values, b.values, c.values);
}
#endif
template <class Real>
CUBOME_INLINE wide<Real> fma(wide<Real> a, wide<Real> b, wide<Real> c) {
    return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)};
}

template <class Scalar>
CUBOME_INLINE simd<Scalar> select(simd_mask<Scalar> mask, simd<Scalar> a, simd<Scalar> b) {
    return xsimd::select(mask.bits, a.values, b.values);
}
template <class Mask, class Real>
CUBOME_INLINE wide<Real> select(wide_mask<Mask> mask, wide<Real> a, wide<Real> b) {
    return {select(mask.low, a.low, b.low), select(mask.high, a.high, b.high)};
}

template <class Scalar>
CUBOME_INLINE bool any(simd_mask<Scalar> mask) {
    return xsimd::any(mask.bits);
}
template <class Mask>
CUBOME_INLINE bool any(wide_mask<Mask> mask) {
    return any(mask.low | mask.high);
}
template <class Scalar>
CUBOME_INLINE simd_mask<Scalar> after_any(simd_mask<Scalar> mask) {
    return mask;
}
template <class Mask>
CUBOME_INLINE wide_mask<Mask> after_any(wide_mask<Mask> mask) {
    return mask;
}
template <class Scalar>
CUBOME_INLINE bool all(simd_mask<Scalar> mask) {
    return xsimd::all(mask.bits);
}
template <class Mask>
CUBOME_INLINE bool all(wide_mask<Mask> mask) {
    return all(mask.low & mask.high);
}

#ifdef CUBOME_TARGET_IS_AVX512
// One instruction that knows the classes: quiet and signalling NaN, +Inf, −Inf.
inline constexpr int not_finite = 0x01 | 0x80 | 0x08 | 0x10;
CUBOME_INLINE simd_mask<float> isfinite(simd<float> x) {
    return !simd_mask<float>::batch(_mm512_fpclass_ps_mask(x.values, not_finite));
}
CUBOME_INLINE simd_mask<double> isfinite(simd<double> x) {
    return !simd_mask<double>::batch(_mm512_fpclass_pd_mask(x.values, not_finite));
}
// x 2ⁿ is one too.
CUBOME_INLINE simd<float> scale_by_power(simd<float> x, simd<float> n) {
    return simd<float>::batch(_mm512_scalef_ps(x.values, n.values));
}
CUBOME_INLINE simd<double> scale_by_power(simd<double> x, simd<double> n) {
    return simd<double>::batch(_mm512_scalef_pd(x.values, n.values));
}
template <class Real>
CUBOME_INLINE wide<Real> scale_by_power(wide<Real> x, wide<Real> n) {
    return {scale_by_power(x.low, n.low), scale_by_power(x.high, n.high)};
}
#else
template <class Scalar>
CUBOME_INLINE simd_mask<Scalar> isfinite(simd<Scalar> x) {
    return xsimd::abs(x.values) <= typename simd<Scalar>::batch(std::numeric_limits<Scalar>::max());
}
#endif
template <class Scalar>
CUBOME_INLINE simd_mask<Scalar> isnan(simd<Scalar> x) {
    return !(x.values == x.values);  // in xsimd 8.1 NaN != NaN is false
}

#define CUBOME_PACK_FUNCTION(name, expression)        \
    template <class Scalar>                           \
    CUBOME_INLINE simd<Scalar> name(simd<Scalar> x) { \
        return expression;                            \
    }                                                 \
    template <class Real>                             \
    CUBOME_INLINE wide<Real> name(wide<Real> x) {     \
        return {name(x.low), name(x.high)};           \
    }
CUBOME_PACK_FUNCTION(abs, xsimd::abs(x.values))
CUBOME_PACK_FUNCTION(sqrt, xsimd::sqrt(x.values))
CUBOME_PACK_FUNCTION(sin, xsimd::sin(x.values))
CUBOME_PACK_FUNCTION(cos, xsimd::cos(x.values))
#undef CUBOME_PACK_FUNCTION

// On x86 the larger or smaller of two, the second where either is NaN.
template <class Scalar>
CUBOME_INLINE simd<Scalar> fast_max(simd<Scalar> a, simd<Scalar> b) {
    return xsimd::max(a.values, b.values);
}
template <class Scalar>
CUBOME_INLINE simd<Scalar> fast_min(simd<Scalar> a, simd<Scalar> b) {
    return xsimd::min(a.values, b.values);
}
template <class Real>
CUBOME_INLINE wide<Real> fast_max(wide<Real> a, wide<Real> b) {
    return {fast_max(a.low, b.low), fast_max(a.high, b.high)};
}
template <class Real>
CUBOME_INLINE wide<Real> fast_min(wide<Real> a, wide<Real> b) {
    return {fast_min(a.low, b.low), fast_min(a.high, b.high)};
}

template <class Real>
CUBOME_INLINE wide_mask<mask_of<Real>> isfinite(wide<Real> x) {
    return {isfinite(x.low), isfinite(x.high)};
}
template <class Real>
CUBOME_INLINE wide_mask<mask_of<Real>> isnan(wide<Real> x) {
    return {isnan(x.low), isnan(x.high)};
}

template <class Scalar>
CUBOME_INLINE simd<Scalar> power_of_two(simd<Scalar> shifted) {
    using bits = bits_of<Scalar>;
    using words = xsimd::batch<typename bits::word, simd_target>;
    const words pattern = std::bit_cast<words>(shifted.values) + words(bits::exponent_bias);
    return std::bit_cast<typename simd<Scalar>::batch>(pattern << bits::mantissa_bits);
}
template <class Real>
CUBOME_INLINE wide<Real> power_of_two(wide<Real> shifted) {
    return {power_of_two(shifted.low), power_of_two(shifted.high)};
}

template <class Scalar>
CUBOME_INLINE void split_exponent(simd<Scalar> x, simd<Scalar>& mantissa, simd<Scalar>& exponent) {
    using bits = bits_of<Scalar>;
    using word = typename bits::word;
    using words = xsimd::batch<word, simd_target>;
    using batch = typename simd<Scalar>::batch;
    constexpr word mantissa_mask = (word(1) << bits::mantissa_bits) - 1;
    constexpr word carrier = (bits::exponent_bias + bits::mantissa_bits) << bits::mantissa_bits;
    constexpr word one = bits::exponent_bias << bits::mantissa_bits;
    const words pattern = std::bit_cast<words>(x.values);
    mantissa = simd<Scalar>(std::bit_cast<batch>((pattern & words(mantissa_mask)) | words(one)));
    exponent = simd<Scalar>(std::bit_cast<batch>((pattern >> bits::mantissa_bits) | words(carrier)) -
                            batch(Scalar((word(1) << bits::mantissa_bits) + bits::exponent_bias)));
}
template <class Real>
CUBOME_INLINE void split_exponent(wide<Real> x, wide<Real>& mantissa, wide<Real>& exponent) {
    split_exponent(x.low, mantissa.low, exponent.low);
    split_exponent(x.high, mantissa.high, exponent.high);
}

/// The elements of a pack, or the bits of a mask, in memory: for what happens once per problem, not once per iteration.
template <class Scalar>
CUBOME_INLINE void store_lanes(simd<Scalar> x, Scalar* aligned) {
    x.store(aligned);
}
template <class Real>
CUBOME_INLINE void store_lanes(wide<Real> x, scalar_of<Real>* aligned) {
    x.store(aligned);
}
template <class Scalar>
CUBOME_INLINE void store_lanes(simd_mask<Scalar> mask, bool* aligned) {
    mask.bits.store_aligned(aligned);
}
template <class Mask>
CUBOME_INLINE void store_lanes(wide_mask<Mask> mask, bool* aligned) {
    store_lanes(mask.low, aligned);
    store_lanes(mask.high, aligned + mask_lanes<Mask>);
}

/// A pack of exactly Lanes scalars: as many vectors as the target needs for them.
template <class Scalar, index Lanes, class Real = simd<Scalar>, bool Fits = (real_traits<Real>::lanes >= Lanes)>
struct pack_of_lanes {
    using type = Real;
};
template <class Scalar, index Lanes, class Real>
struct pack_of_lanes<Scalar, Lanes, Real, false> {
    using type = typename pack_of_lanes<Scalar, Lanes, wide<Real>>::type;
};

#endif  // CUBOME_HAS_NO_SIMD

CUBOME_END_NAMESPACE
