// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cubome/core/stages.hpp"
#include "cubome/staged.hpp"
#include "host/workspace.hpp"

/// A staged solve: its memory, and the order of its stages, wherever they run.
namespace cubome::detail {

/// Runs the stages of a batch.
template <class Real>
class stage_runner {
public:
    virtual ~stage_runner() = default;

    /// Runs a stage over all of its items, or enqueues that.
    virtual void run(stage which, const staged_arguments<Real>& a) = 0;

    /// Whether some problem has a flag; where nobody can look, whether one may have it, by what is known of all of
    /// them.
    ///
    /// @param step iterations of this call that have been ended
    virtual bool may_have(stage_flag flag, const staged_arguments<Real>& a, std::int64_t step) const = 0;
};

/// Whose vectors the stages work on, but for those of the state.
enum class vector_owner : std::uint8_t {
    workspace,
    caller,  ///< gradients and θ⁽ᵗ⁾, and what an oracle tells: given with each call
};

/// What a solve works in.
/// @param batch what the user has given: what is missing of it is taken from the workspace
template <class Real>
staged_arguments<Real> cut_pieces(piece_cutter& pieces, const batch_arguments<Real>& batch, std::int64_t n,
                                  std::int64_t n_v, std::int64_t n_theta, std::size_t record_bytes,
                                  vector_owner owner = vector_owner::workspace) {
    const batch_options& o = batch.options;
    const bool is_automatic = o.steps == step_rule::automatic;
    staged_arguments<Real> a;
    a.batch = batch;
    a.num_problems = n;
    a.outer_dim = n_v;
    a.inner_dim = n_theta;
    a.records = pieces.take<std::byte>(n, static_cast<std::int64_t>(record_bytes));
    a.flags = pieces.take<std::uint8_t>(n);
    if (owner == vector_owner::workspace) {
        for (Real** x : {&a.descent, &a.gradient, &a.inner_value_gradient, &a.inner_gap_gradient})
            *x = pieces.take<Real>(n, n_theta);
        for (Real** x : {&a.outer_value_gradient, &a.outer_gap_gradient}) *x = pieces.take<Real>(n, n_v);
        for (Real** x : {&a.outer_value, &a.gap, &a.magnitude, &a.held_out}) *x = pieces.take<Real>(n);
    }
    const auto given_or_own = [&](bool is_needed, Real* given, std::int64_t dim) -> Real* {
        if (!is_needed) return nullptr;
        return given != nullptr ? given : pieces.take<Real>(n, dim);
    };
    a.outer_velocity = given_or_own(o.has_outer_momentum, batch.outer_velocity, n_v);
    a.inner_velocity = given_or_own(o.has_outer_momentum, batch.inner_velocity, n_theta);
    a.descent_velocity = given_or_own(o.has_inner_momentum, nullptr, n_theta);
    a.kept_descent_velocity =
        given_or_own(o.has_inner_momentum && !o.inner_momentum_reset, batch.descent_velocity, n_theta);
    const bool measures = is_automatic || o.wants_curvature;
    a.inner_probe = given_or_own(measures, is_automatic ? batch.inner_probe : nullptr, n_theta);
    a.outer_probe = given_or_own(measures, is_automatic ? batch.outer_probe : nullptr, n_theta);
    const std::int64_t inner_chunks = stage_chunks(n_theta), chunks = stage_chunks(n_v) + inner_chunks;
    a.partial = pieces.take<Real>(n, 3 * chunks);
    a.largest = pieces.take<Real>(n, chunks);
    a.descent_largest = pieces.take<Real>(n, inner_chunks);
    a.promise = pieces.take<Real>(n, 2 * inner_chunks);
    return a;
}

inline std::int64_t count_active(const std::uint8_t* flags, std::int64_t num_problems) {
    return std::count_if(flags, flags + num_problems, [](std::uint8_t x) { return (x & stage_is_active) != 0; });
}

/// Whether a tolerance is set.
template <class Real>
bool has_tolerance(const batch_arguments<Real>& batch) {
    const auto is_set = [](const batch_number<Real>& x) { return x.data != nullptr || x.value > 0; };
    return is_set(batch.parameters.tol_stationarity) || is_set(batch.parameters.tol_gap) ||
           batch.options.has_relative_tolerance;
}

/// The stages of one solve, in their order; what comes between them is the caller's.
template <class Real>
class stage_sequence {
public:
    stage_sequence(stage_runner<Real>& runner, const staged_arguments<Real>& arguments)
        : runner_(runner), a_(arguments) {
        const batch_options& o = a_.batch.options;
        // Whether somebody looks at the stationarity of every evaluation.
        a_.now.is_watched = has_tolerance(a_.batch) || o.wants_best || o.trace_interval > 0 || o.has_box;
    }

    staged_arguments<Real>& arguments() { return a_; }
    const staged_arguments<Real>& arguments() const { return a_; }
    const batch_options& options() const { return a_.batch.options; }
    std::int64_t step() const { return step_; }  ///< iterations that have been ended
    bool may_have(stage_flag flag) const { return runner_.may_have(flag, a_, step_); }
    void run(stage which) { runner_.run(which, a_); }

    void begin() {
        run(stage::begin);
        run(stage::open);
    }

    /// Begins an iteration: gradients at (v_k, θ_k) come next, then `choose`.
    void plan(bool is_cancelled) {
        a_.now.is_cancelled = is_cancelled;
        run(stage::plan);
    }

    /// θ⁽ᵗ⁺¹⁾
    void descend(std::int64_t t) { run(t == 0 ? stage::first_descend : stage::descend); }

    /// λ, and who goes on, once ∇f, ∇q̂, f and q̂ are there.
    void balance() {
        run(stage::balance);
        run(stage::weigh);
        if (may_have(stage_wants_residual)) run(stage::residual);
        run(stage::decide);
    }

    /// Moves v and θ, and ends the iteration.
    void update() {
        if (may_have(stage_is_better)) run(stage::keep_best);
        if (may_have(stage_is_in_doubt)) run(stage::check);
        run(stage::settle);
        if (may_have(stage_wants_residual)) {
            run(stage::residual);
            run(stage::complete);
        }
        run(stage::update);
        ++step_;
    }

    /// An iteration has been made again as it was recorded.
    void count_repeated() { ++step_; }

private:
    stage_runner<Real>& runner_;
    staged_arguments<Real> a_;
    std::int64_t step_ = 0;
};

}  // namespace cubome::detail
