// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubome/batch_view.hpp"
#include "cubome/core/types.hpp"

namespace cubome {

/// The variables of a batch and the memory of the algorithm: read at the start of a solve, written at its end.
///
/// `outer` and `inner` are required. The rest is optional unless a solve is to be continued: with `iteration` given,
/// a problem whose entry is k > 0 starts where the solve that returned this state stopped, bit for bit, and whatever
/// the settings make the algorithm remember must be given too. An entry of 0 starts afresh, and then nothing but v and
/// θ is read. A solve in two parts of K₁ and K₂ outer steps returns the bits of one solve of K₁ + K₂.
template <class Real>
struct state {
    batch_view<Real> outer;               ///< v [num_problems, outer_dim]
    batch_view<Real> inner;               ///< θ [num_problems, inner_dim]
    batch_view<std::int64_t> iteration;   ///< k [num_problems]: outer iterations made so far
    batch_view<Real> multiplier;          ///< λ of the last update [num_problems]; free_set with a box remembers it
    batch_view<Real> first_stationarity;  ///< s at k = 0 [num_problems]; kept with a relative tolerance
    /// What step_rule::automatic remembers: L̂_g, L̂_f, Σ‖d_v‖² and 1 if both were measured in iteration k, else 0
    /// [num_problems, step_memory_size].
    batch_view<Real> step_memory;
    batch_view<Real>
        inner_probe;  ///< likewise: where the curvature of g was largest, length 1 [num_problems, inner_dim]
    batch_view<Real> outer_probe;       ///< likewise of f [num_problems, inner_dim]
    batch_view<Real> outer_velocity;    ///< momentum buffer of v [num_problems, outer_dim]
    batch_view<Real> inner_velocity;    ///< momentum buffer of θ [num_problems, inner_dim]
    batch_view<Real> descent_velocity;  ///< buffer of the inner descent, where it persists [num_problems, inner_dim]
    batch_view<Real> best_outer;        ///< v of the smallest 𝒦 so far [num_problems, outer_dim]; asks for `best`
    batch_view<Real> best_inner;        ///< θ of the smallest 𝒦 so far [num_problems, inner_dim]; asks for `best`
    batch_view<Real> best_kkt;          ///< 𝒦 = s + max(q̂, 0) there [num_problems]; asks for `best`
    batch_view<std::int64_t> best_iteration;  ///< the iteration it was found at [num_problems]; asks for `best`
};

/// What a solve says about each problem: one array per field, every one of them optional.
///
/// All fields describe the iterate that is returned. They are filled with NaN, `not_run`, `none` and −1 before the
/// first problem starts, so that an unset field cannot pass for a result.
template <class Real>
struct report {
    batch_view<cubome::outcome> outcome;    ///< [num_problems]
    batch_view<cubome::quantity> quantity;  ///< what was not finite, where outcome is non_finite [num_problems]
    batch_view<std::int64_t> iterations;    ///< k at the returned iterate [num_problems]
    batch_view<Real> outer_value;           ///< f(v, θ) [num_problems]
    batch_view<Real> gap;                   ///< q̂(v, θ) by T descent steps [num_problems]; NaN with no_curvature
    batch_view<Real> stationarity;          ///< s [num_problems]
    batch_view<Real> multiplier;            ///< the λ that the next update would use [num_problems]
    batch_view<Real> refined_outer_value;   ///< f after R more descent steps [num_problems]; NaN if cancelled
    batch_view<Real> refined_gap;           ///< q̂ by those R steps [num_problems]; NaN if cancelled
    /// L̂_g and L̂_f [num_problems]: the largest curvature of g and of f in θ, by power iteration. With step_rule::fixed
    /// where the solve started, measured because it is asked for; with step_rule::automatic the last that it used. A
    /// descent_step_size above 2/L̂_g diverges.
    batch_view<Real> inner_curvature;
    batch_view<Real> outer_curvature;
    /// The family's metric of the returned iterate on data of its own, see families.hpp [num_problems].
    batch_view<Real> held_out;

    /// The trace, rows k = 0, r, 2r … ≤ K of this call: [num_problems, outer_steps / trace_interval + 1].
    batch_view<Real> trace_outer_value;
    batch_view<Real> trace_gap;
    batch_view<Real> trace_stationarity;
    batch_view<Real> trace_multiplier;
    batch_view<Real> trace_held_out;
};

}  // namespace cubome
