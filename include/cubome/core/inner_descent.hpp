// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/core/group.hpp"

CUBOME_BEGIN_NAMESPACE

/// P onto [lower, upper]; NaN stays NaN.
template <class Real>
CUBOME_INLINE Real project(Real x, Real lower, Real upper) {
    return min(max(x, lower), upper);
}

/// Heavy ball as torch.optim.SGD defines it: the buffer becomes μ buffer + gradient and is the step's direction.
/// Without momentum the direction is the gradient itself, bit for bit.
template <class Real>
CUBOME_INLINE Real heavy_ball(Real momentum, Real buffer, Real gradient) {
    return select(momentum == Real(scalar_of<Real>(0)), gradient, fma(momentum, buffer, gradient));
}

/// θ⁽ᵗ⁺¹⁾ = P_Θ(θ⁽ᵗ⁾ − α ∇_θ g(v_k, θ⁽ᵗ⁾)), all components, and publishes it.
template <bool Full, class G, class Memory, class Gradient, class Real>
CUBOME_INLINE void descent_step(const G& g, Memory& w, const Gradient& gradient, Real step_size, Real momentum) {
    g.template sync<barrier::descent_read>();
    g.template phase<barrier::descent>(w.inner_dim, [&](auto i) {
        if constexpr (Full) {
            Real direction = gradient[i];
            if (w.has_inner_momentum) {
                direction = heavy_ball(momentum, Real(w.descent_velocity[i]), direction);
                w.descent_velocity[i] = direction;
            }
            const Real next = fma(-step_size, direction, Real(w.descent[i]));
            w.descent[i] = w.has_box ? project(next, Real(w.inner_lower[i]), Real(w.inner_upper[i])) : next;
        } else {
            w.descent[i] = fma(-step_size, Real(gradient[i]), Real(w.descent[i]));
        }
    });
}

/// θ⁽⁰⁾ = θ_k, published.
template <class G, class Memory>
CUBOME_INLINE void start_descent(const G& g, Memory& w) {
    g.template phase<barrier::iterate>(w.inner_dim, [&](auto i) { w.descent[i] = w.inner[i]; });
}

CUBOME_END_NAMESPACE
