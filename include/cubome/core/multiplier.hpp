// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/arithmetic.hpp"
#include "cubome/core/types.hpp"

CUBOME_BEGIN_NAMESPACE

/// Balances the two gradients: the multiplier λ of one outer iteration.
///
///     gradient_norm:  λ = max(0, η − ⟨∇f, ∇q̂⟩ / (‖∇q̂‖² + ε))
///     value_gap:      λ = max(0, (η q̂ − ⟨∇f, ∇q̂⟩) / (‖∇q̂‖² + ε))     arXiv 2209.08709, the dynamic barrier step
///
/// @param kind         which barrier φ; gap is read by value_gap only
/// @param eta          η > 0; in units of f/g in the first form, of f/length² in the second
/// @param gap          q̂
/// @param alignment    ⟨∇f, ∇q̂⟩ over the free coordinates of v and θ together
/// @param squared_norm ‖∇q̂‖² ≥ 0 over the same coordinates
/// @param epsilon      ε > 0; keeps λ finite at ∇q̂ = 0, where any λ gives the same direction
/// @return λ ≥ 0, or NaN if any argument it reads is NaN: the caller reports the problem as non_finite.
/// Cost: one division. Every lane of a group calls it with equal bits and gets equal bits.
template <class Real>
CUBOME_INLINE Real multiplier(barrier_form kind, Real eta, Real gap, Real alignment, Real squared_norm, Real epsilon) {
    const Real zero(scalar_of<Real>(0));
    const Real norm = squared_norm + epsilon;
    if (kind == barrier_form::gradient_norm) return max(eta - alignment / norm, zero);
    return max(fma(eta, gap, -alignment) / norm, zero);
}

/// The multiplier that makes ‖∇f + λ∇q̂‖ smallest: λ* = max(0, −⟨∇f, ∇q̂⟩ / ‖∇q̂‖²), 0 where ∇q̂ = 0.
template <class Real>
CUBOME_INLINE Real best_multiplier(Real alignment, Real squared_norm) {
    const Real zero(scalar_of<Real>(0));
    return select(squared_norm == zero, zero, max(-alignment / squared_norm, zero));
}

CUBOME_END_NAMESPACE
