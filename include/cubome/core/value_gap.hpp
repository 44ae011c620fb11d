// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/inner_descent.hpp"
#include "cubome/core/multiplier.hpp"
#include "cubome/core/problem_data.hpp"

CUBOME_BEGIN_NAMESPACE

/// Far from what float can hold.
template <class Real>
CUBOME_INLINE mask_of<Real> is_moderate(Real x) {
    return abs(x) <= Real(scalar_of<Real>(0x1p60f));
}

/// The sums of one evaluation, of which λ, the steps and the report are made: over v and θ together, and over parts.
template <class Real>
struct gradient_sums {
    Real alignment, gap_norm, value_norm;                    ///< ⟨∇f, ∇q̂⟩, ‖∇q̂‖², ‖∇f‖²
    Real outer_alignment, outer_gap_norm, outer_value_norm;  ///< the same over v
    Real inner_gap_norm;                                     ///< ‖∇_θ q̂‖²

    CUBOME_INLINE mask_of<Real> are_finite() const {
        return isfinite(alignment) & isfinite(gap_norm) & isfinite(value_norm);
    }

    /// Whether all three, and the stationarity that would be made of them, are sure to be finite, whatever the number
    /// of coordinates: with these bounds no coordinate of ∇f + λ*∇q̂ is above |∇f| + |⟨∇f, ∇q̂⟩| / ‖∇q̂‖ < 2^41, and a
    /// sum of squares in float stops growing at 2^25 times the largest.
    CUBOME_INLINE mask_of<Real> are_moderate() const {
        using scalar = scalar_of<Real>;
        return (abs(alignment) <= Real(scalar(0x1p10f))) & (gap_norm >= Real(scalar(0x1p-60f))) &
               is_moderate(gap_norm) & is_moderate(value_norm);
    }
};

/// What of q̂ may be rounding, in units of its magnitude m.
template <class Scalar>
inline constexpr Scalar gap_rounding = Scalar(16) * machine_epsilon<Scalar>;

/// Whether q̂ is negative beyond rounding, q̂ < −16 ε_mach m: the inner descent went up.
template <class Real>
CUBOME_INLINE mask_of<Real> is_ascent(const value_gap_result<Real>& q) {
    return q.gap < Real(-gap_rounding<scalar_of<Real>>) * q.magnitude;
}

/// Coordinates that take part in the sums. free_set: one on a bound that (∇f + λ_{k−1}∇q̂)_i pushes outward does not.
template <class Real>
CUBOME_INLINE mask_of<Real> is_free(Real x, Real lower, Real upper, Real value_gradient, Real gap_gradient,
                                    Real last_multiplier) {
    const Real zero(scalar_of<Real>(0));
    const Real direction = fma(last_multiplier, gap_gradient, value_gradient);
    return !(((x == lower) & (direction > zero)) | ((x == upper) & (direction < zero)));
}

/// ⟨∇f, ∇q̂⟩, ‖∇q̂‖² and ‖∇f‖² of one more coordinate, at acc[At], acc[At + 1] and acc[At + 2].
template <int At, class Real, int K>
CUBOME_INLINE sums<Real, K> add_coordinate(sums<Real, K> acc, Real value_gradient, Real gap_gradient) {
    acc[At] = fma(value_gradient, gap_gradient, acc[At]);
    acc[At + 1] = fma(gap_gradient, gap_gradient, acc[At + 1]);
    acc[At + 2] = fma(value_gradient, value_gradient, acc[At + 2]);
    return acc;
}

/// The six sums; with a box and box_rule::free_set over the free coordinates alone.
template <bool Full, class G, class Memory, class Real = typename G::real>
CUBOME_INLINE gradient_sums<Real> sum_gradients(const G& g, const Memory& w, Real last_multiplier) {
    const auto s = g.template sum<6>(
        w.outer_dim,
        [&](auto i, sums<Real, 6> acc) {
            const auto next = add_coordinate<0>(acc, Real(w.outer_value_gradient[i]), Real(w.outer_gap_gradient[i]));
            if constexpr (Full) {
                if (w.pins) {
                    const auto free =
                        is_free(Real(w.outer[i]), Real(w.outer_lower[i]), Real(w.outer_upper[i]),
                                Real(w.outer_value_gradient[i]), Real(w.outer_gap_gradient[i]), last_multiplier);
                    for (int k = 0; k < 3; ++k) acc[k] = select(free, next[k], acc[k]);
                    return acc;
                }
            }
            return next;
        },
        w.inner_dim,
        [&](auto i, sums<Real, 6> acc) {
            const auto next = add_coordinate<3>(acc, Real(w.inner_value_gradient[i]), Real(w.inner_gap_gradient[i]));
            if constexpr (Full) {
                if (w.pins) {
                    const auto free =
                        is_free(Real(w.inner[i]), Real(w.inner_lower[i]), Real(w.inner_upper[i]),
                                Real(w.inner_value_gradient[i]), Real(w.inner_gap_gradient[i]), last_multiplier);
                    for (int k = 3; k < 6; ++k) acc[k] = select(free, next[k], acc[k]);
                    return acc;
                }
            }
            return next;
        });
    return {s[0] + s[3], s[1] + s[4], s[2] + s[5], s[0], s[1], s[2], s[4]};
}

/// How far the iterate is from stationary, with the best multiplier instead of λ.
///
///     s = ‖∇f + λ*∇q̂‖²                                   without a box
///     s = ‖x − P(x − ∇f − λ*∇q̂)‖²,  x = (v, θ)            with a box, over every coordinate
///
/// Summed from its terms: ‖∇f‖² + λ*⟨∇f, ∇q̂⟩ is the same number, but what is left of it near a solution is rounding.
template <bool Full, class G, class Memory, class Real = typename G::real>
CUBOME_INLINE Real stationarity(const G& g, const Memory& w, const gradient_sums<Real>& s) {
    const Real best = best_multiplier(s.alignment, s.gap_norm);
    if constexpr (Full) {
        if (w.has_box) {
            const auto add = [&](Real acc, Real x, Real lower, Real upper, Real value_gradient, Real gap_gradient) {
                const Real step = x - project(x - fma(best, gap_gradient, value_gradient), lower, upper);
                return fma(step, step, acc);
            };
            return g.template sum<1>(
                w.outer_dim,
                [&](auto i, sums<Real, 1> acc) {
                    acc[0] = add(acc[0], Real(w.outer[i]), Real(w.outer_lower[i]), Real(w.outer_upper[i]),
                                 Real(w.outer_value_gradient[i]), Real(w.outer_gap_gradient[i]));
                    return acc;
                },
                w.inner_dim,
                [&](auto i, sums<Real, 1> acc) {
                    acc[0] = add(acc[0], Real(w.inner[i]), Real(w.inner_lower[i]), Real(w.inner_upper[i]),
                                 Real(w.inner_value_gradient[i]), Real(w.inner_gap_gradient[i]));
                    return acc;
                })[0];
        }
    }
    const auto add = [&](Real acc, Real value_gradient, Real gap_gradient) {
        const Real direction = fma(best, gap_gradient, value_gradient);
        return fma(direction, direction, acc);
    };
    return g.template sum<1>(
        w.outer_dim,
        [&](auto i, sums<Real, 1> acc) {
            acc[0] = add(acc[0], Real(w.outer_value_gradient[i]), Real(w.outer_gap_gradient[i]));
            return acc;
        },
        w.inner_dim,
        [&](auto i, sums<Real, 1> acc) {
            acc[0] = add(acc[0], Real(w.inner_value_gradient[i]), Real(w.inner_gap_gradient[i]));
            return acc;
        })[0];
}

CUBOME_END_NAMESPACE
