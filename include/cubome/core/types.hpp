// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// Words that the solver's text and the public interface share. Plain C++17, nothing instantiated.
namespace cubome {

/// Which dynamic barrier φ balances the two levels (arXiv 2209.08709).
enum class barrier_form : std::uint8_t {
    gradient_norm,  ///< φ = η ‖∇q̂‖²; η > 0 has the unit of f/g, which the automatic step rule measures
    value_gap,      ///< φ = η q̂; η > 0 has the unit of f/length², likewise
};

/// Where the step sizes come from.
enum class step_rule : std::uint8_t {
    automatic,  ///< each problem's own, from the curvature of f and g in θ; there must be some
    fixed,      ///< from the settings, with their schedules
};

/// How the multiplier treats a coordinate that sits on a bound of the box.
enum class box_rule : std::uint8_t {
    free_set,  ///< a coordinate on a bound that the last direction pushes outward is left out of the sums
    clip,      ///< project, and sum over every coordinate, as the paper's authors' code does
};

/// How the solve of one problem ended.
enum class outcome : std::uint8_t {
    not_run,     ///< not begun: the caller had asked to stop
    converged,   ///< every tolerance that was set is met
    step_limit,  ///< all outer iterations were made, or the gap tolerance was met by q̂ but not by the refined gap
    non_finite,  ///< a quantity became NaN or infinite; `quantity` names it
    descent_diverged,  ///< at the returned iterate the inner descent increases g: q̂ < 0 beyond rounding
    cancelled,         ///< the caller asked to stop
    /// step_rule::automatic found f or g without curvature in θ, or none that the precision can tell, which leaves it
    /// no step to take.
    no_curvature,
};

/// The first quantity of an iteration that was not finite.
enum class quantity : std::uint8_t {
    none,
    start,        ///< v or θ as given
    descent,      ///< θ⁽ᵗ⁾, the inner descent
    outer_value,  ///< f
    gap,          ///< q̂ or its magnitude
    sums,         ///< ‖∇f‖², ⟨∇f, ∇q̂⟩, ‖∇q̂‖² or the stationarity made of them
    update,       ///< the v or θ that the outer update would have written, or its direction
};

/// The instantiations of the solver's text.
enum class solve_text : std::uint8_t {
    plain,            ///< step_rule::fixed, and nothing that is not always needed
    plain_automatic,  ///< the same with step_rule::automatic and its momentum
    full,             ///< both rules; momentum, box, best, trace and whatever else a solve can be asked for
};

/// The outer momentum of step_rule::automatic, unless the settings have one.
inline constexpr double automatic_outer_momentum = 0.9;

/// Numbers that step_rule::automatic keeps of each problem besides its two probes, see `state`.
inline constexpr int step_memory_size = 4;

/// The instruction sets that the CPU backend can be compiled for.
enum class instruction_set : std::uint8_t {
    automatic,  ///< the widest one that this CPU has and the problem was compiled for
    baseline,   ///< what every CPU of the build's architecture has (x86-64: SSE2)
    avx2,       ///< x86-64-v3: AVX2 with FMA
    avx512,     ///< x86-64-v4: AVX-512 F, BW, CD, DQ, VL
};

}  // namespace cubome
