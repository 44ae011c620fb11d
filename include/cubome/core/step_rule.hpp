// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/value_gap.hpp"

/// step_rule::automatic: steps that nobody has to choose, from the largest curvature L̂_g of g and L̂_f of f in θ.
///
///     α = 1/L̂_g,   ξ_θ = 1/(L̂_f + λ L̂_g),   ξ_v = (1 − μ) √n_v / √(Σ_{j≤k} ‖d_v‖²),   μ the outer momentum
///     η L̂_f/L̂_g in the place of η; η L̂_f with the value-gap barrier
///
/// The first step moves the coordinates of v by 1 − μ in the mean square, all steps of one direction together by 1.
///
/// Curvature is measured by power iteration on differences of gradients: many rounds before the first iteration, one
/// every so many iterations, along a direction, the probe, that is kept from one round to the next. An inner descent
/// that decreases g by less than such an α promises is rejected: the problem makes no update in this iteration, and L̂_g
/// is doubled.
CUBOME_BEGIN_NAMESPACE

/// Iterations from one measurement to the next.
inline constexpr std::int64_t measuring_interval = 32;

/// Rounds of power iteration before the first iteration.
inline constexpr int first_rounds = 12;

/// What a curvature may lose from one measurement to the next: a probe that has left the steepest direction, and one
/// rejection too many, are forgotten only so fast.
inline constexpr float curvature_decay = 0.7f;

/// What the curvature may take of ‖θ_k − θ⁽¹⁾‖²/α: one of at most 1/α takes half.
inline constexpr float curvature_share = 0.51f;

/// The rule's numbers for one problem, besides the probes.
template <class Real>
struct step_memory {
    Real inner_curvature;       ///< L̂_g
    Real outer_curvature;       ///< L̂_f
    Real travelled;             ///< Σ ‖d_v‖² over the updates made
    mask_of<Real> is_measured;  ///< the measurement that is due at this iteration has been made
};

/// Element i of the first probe: the fractional part of i times the golden ratio, in [−½, ½], and 1 where that is 0.
template <class Real>
CUBOME_INLINE Real first_probe(Real i) {
    using scalar = scalar_of<Real>;
    const Real x = i * Real(scalar(0.6180339887498949));
    // Adding so large a number rounds to a whole one.
    const Real shift(scalar(1.5) / machine_epsilon<scalar>);
    const Real fraction = x - ((x + shift) - shift);
    return select(fraction == Real(scalar(0)), Real(scalar(1)), fraction);
}

/// What the way along a probe grows by from round to round as long as no gradient has changed on it.
inline constexpr float probe_growth = 30;

/// How far along a probe of length 1 the gradient is taken. Short enough for the curvature of here, long enough for the
/// difference to be more than rounding: ε_mach^⅓ times the length that the problem shows, which is that of θ and of the
/// way to where the gradient would vanish.
///
/// @param length    ‖θ‖
/// @param gradient  the norm of the gradient
/// @param curvature what is known of it; 0, nothing
/// @param unknown   the length where nothing is known, as if ‖θ‖ were that much larger
template <class Real>
CUBOME_INLINE Real probe_distance(Real length, Real gradient, Real curvature, Real unknown) {
    using scalar = scalar_of<Real>;
    const Real zero(scalar(0)), one(scalar(1));
    const Real known = length + gradient / curvature;
    const Real most = (length + one) * Real(scalar(1e12));
    const Real scale = select(curvature > zero, min(known, most), length + unknown);
    constexpr auto root = scalar(sizeof(scalar) > 4 ? 6.0554544523933395e-06 : 4.9215666011518501e-03);
    return Real(root) * select(scale > zero, scale, one);
}

/// 1/x, and 0 where x is 0.
template <class Real>
CUBOME_INLINE Real inverse_or_zero(Real x) {
    const Real zero(scalar_of<Real>(0));
    return select(x == zero, zero, Real(scalar_of<Real>(1)) / x);
}

/// Where a probe takes a coordinate of the box: the other way where the bound is in it.
///
/// @param moved, reflected the coordinate after the way along the probe, and after the opposite one
template <class Real>
CUBOME_INLINE Real moved_inside(Real moved, Real reflected, Real lower, Real upper) {
    const mask_of<Real> is_inside = (moved >= lower) & (moved <= upper);
    return project(select(is_inside, moved, reflected), lower, upper);
}

/// What a round of power iteration has found.
template <class Real>
struct probe_finding {
    Real curvature;  ///< 0: none
    Real scale;      ///< makes the next probe of the change of the gradient
    mask_of<Real> is_found;
};

/// @param change, way squared norms: of the change of the gradient, of the way on which it happened
/// @param base        that of the gradient: in the last round, a change that may be its rounding is none
template <class Real>
CUBOME_INLINE probe_finding<Real> probe_result(Real change, Real way, Real base, bool is_last) {
    using scalar = scalar_of<Real>;
    constexpr scalar rounding = scalar(4) * machine_epsilon<scalar>;
    const Real least = is_last ? Real(rounding * rounding) * base : Real(scalar(0));
    const Real curvature = sqrt(change / way);
    const mask_of<Real> is_found = (change > least) & isfinite(curvature);
    return {select(is_found, curvature, Real(scalar(0))), inverse_or_zero(sqrt(change)), is_found};
}

/// L̂ after a measurement: what it found, or what was known, less a little.
template <class Real>
CUBOME_INLINE Real merged_curvature(mask_of<Real> is_from_nothing, Real found, Real known) {
    return select(is_from_nothing, found, max(found, Real(scalar_of<Real>(curvature_decay)) * known));
}

/// What a first step w = θ_k − θ⁽¹⁾ decreases g by at least where L ≤ 1/α: ⟨∇_θ q̂, w⟩ − ‖w‖²/(2α), less a little.
template <class Real>
CUBOME_INLINE Real first_decrease(Real descent_step_size, Real alignment, Real square) {
    return fma(-Real(scalar_of<Real>(curvature_share)) * inverse_or_zero(descent_step_size), square, alignment);
}

/// ‖d_v‖² = ‖∇_v f + λ∇_v q̂‖², of sums.
template <class Real>
CUBOME_INLINE Real outer_direction_norm(const gradient_sums<Real>& s, Real lambda) {
    const Real twice = s.outer_alignment + s.outer_alignment;
    return max(fma(lambda, fma(lambda, s.outer_gap_norm, twice), s.outer_value_norm), Real(scalar_of<Real>(0)));
}

CUBOME_END_NAMESPACE
