// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubome/problem_runner.hpp"

/// The seam between the staged engine and the stages that it runs, whatever they are compiled for: plain data.
namespace cubome {

/// The stages, in the order in which an iteration runs them.
enum class stage : std::uint8_t {
    begin,  ///< how large v and θ are; what is remembered of them, or zeros
    open,   ///< the record
    plan,   ///< whether a curvature is to be measured
    probe_start,
    probe_length,
    probe_inner_move,  ///< θ_k moved along the probe of g
    probe_outer_move,  ///< or of f
    probe_inner_sums,  ///< how the gradient has changed on the way
    probe_outer_sums,
    probe_inner_settle,  ///< L̂_g
    probe_outer_settle,  ///< L̂_f
    probe_inner_turn,    ///< the direction of that change is the next probe
    probe_outer_turn,
    choose,         ///< α and η
    first_descend,  ///< θ⁽¹⁾
    descend,        ///< θ⁽ᵗ⁺¹⁾
    balance,        ///< the six sums of each chunk
    weigh,          ///< λ
    residual,       ///< the stationarity's sum of each chunk
    decide,         ///< who has converged, who failed, who goes on with which steps
    keep_best,
    trace_held_out,
    check,           ///< whether the update would be finite, where that is in doubt
    settle,          ///< who moves
    update,          ///< v and θ
    complete,        ///< the stationarity that nobody asked for before
    refine,          ///< α of the refinement
    refine_descend,  ///< its first step
    abandon,         ///< ends what an oracle that failed leaves unfinished
    report,
};

/// What a stage works on, one item after another.
enum class stage_items : std::uint8_t {
    problems,      ///< problems
    inner_chunks,  ///< chunks of θ, problem by problem
    all_chunks,    ///< chunks of v, then of θ, problem by problem
};

/// What the stages of one launch see differently from those of another. Where each problem stands is in its record, so
/// that launches can be repeated as they are.
struct stage_conditions {
    std::int64_t round = 0;  ///< of a measurement: the last one is 1
    bool is_cancelled = false;
    bool is_watched = false;    ///< every evaluation wants its stationarity
    bool is_refined = false;    ///< the oracle's numbers are those of the refinement
    bool has_held_out = false;  ///< and the held-out metric that of the end
    bool is_cut_short = false;  ///< by an oracle that failed
};

/// What a problem needs to be run for it, bits of a byte.
enum stage_flag : std::uint8_t {
    stage_is_active = 1,
    stage_is_due = 2,  ///< a measurement
    stage_begins = 4,  ///< one from nothing
    stage_wants_residual = 8,
    stage_is_better = 16,    ///< keep_best
    stage_is_in_doubt = 32,  ///< check
    stage_is_refinable = 64,
};

/// Everything that stages read and write.
template <class Scalar>
struct staged_arguments {
    batch_arguments<Scalar> batch;
    std::int64_t num_problems = 0, outer_dim = 0, inner_dim = 0;
    stage_conditions now;
    void* records = nullptr;        ///< [num_problems] of what the stages alone know
    std::uint8_t* flags = nullptr;  ///< [num_problems] of stage_flag, up to date after each stage of problems

    // Vectors; those that a solve does not need are null.
    Scalar* descent = nullptr;               ///< θ⁽ᵗ⁾
    Scalar* gradient = nullptr;              ///< ∇_θ g at θ⁽ᵗ⁾, t ≥ 1
    Scalar* outer_value_gradient = nullptr;  ///< ∇_v f
    Scalar* inner_value_gradient = nullptr;  ///< ∇_θ f
    Scalar* outer_gap_gradient = nullptr;    ///< ∇_v q̂
    Scalar* inner_gap_gradient = nullptr;    ///< ∇_θ q̂ = ∇_θ g at θ_k
    Scalar* outer_velocity = nullptr;
    Scalar* inner_velocity = nullptr;
    Scalar* descent_velocity = nullptr;
    Scalar* kept_descent_velocity = nullptr;
    Scalar* inner_probe = nullptr;
    Scalar* outer_probe = nullptr;

    // Numbers of each problem, from the oracle.
    Scalar* outer_value = nullptr;
    Scalar* gap = nullptr;
    Scalar* magnitude = nullptr;
    Scalar* held_out = nullptr;

    // Numbers of each chunk, those of one kind side by side.
    Scalar* partial = nullptr;          ///< [num_problems, 3, chunks]
    Scalar* largest = nullptr;          ///< [num_problems, chunks] |v|, |θ| and their velocities
    Scalar* descent_largest = nullptr;  ///< [num_problems, inner chunks] |θ⁽ᵗ⁾|
    Scalar* promise = nullptr;          ///< [num_problems, 2, inner chunks] of the first step
};

inline constexpr int num_stages = static_cast<int>(stage::report) + 1;

/// The stages of one precision, compiled for one instruction set.
template <class Real>
struct staged_functions {
    std::size_t record_bytes;  ///< of a problem

    /// Runs a stage's items [first, last) on the calling thread.
    void (*run)(stage which, const staged_arguments<Real>& arguments, std::int64_t first, std::int64_t last) noexcept;
};

/// The same as kernels of a device: each takes one staged_arguments, its grid is one-dimensional, of any size.
template <class Real>
struct staged_kernels {
    std::size_t record_bytes;
    int threads_per_block;
    std::size_t shared_bytes;  ///< dynamic, of a block
    const void* (*kernel)(stage which) noexcept;
};

}  // namespace cubome
