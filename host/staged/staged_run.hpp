// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cubome/core/stages.hpp"
#include "cubome/staged.hpp"
#include "host/staged/thread_team.hpp"
#include "host/workspace.hpp"

/// One staged solve: its memory, and the order of its stages.
namespace cubome::detail {

/// Elements that are worth waking a thread for.
inline constexpr std::int64_t elements_per_piece = 16 * std::int64_t{stage_chunk};
inline constexpr std::int64_t problems_per_piece = 64;

/// What a solve works in.
/// @param batch what the user has given: what is missing of it is taken from the workspace
template <class Real>
staged_arguments<Real> cut_pieces(piece_cutter& pieces, const batch_arguments<Real>& batch, std::int64_t n,
                                  std::int64_t n_v, std::int64_t n_theta, std::size_t record_bytes) {
    const batch_options& o = batch.options;
    const bool is_automatic = o.steps == step_rule::automatic;
    staged_arguments<Real> a;
    a.batch = batch;
    a.num_problems = n;
    a.outer_dim = n_v;
    a.inner_dim = n_theta;
    a.records = pieces.take<std::byte>(n, static_cast<std::int64_t>(record_bytes));
    a.flags = pieces.take<std::uint8_t>(n);
    for (Real** x : {&a.descent, &a.gradient, &a.inner_value_gradient, &a.inner_gap_gradient})
        *x = pieces.take<Real>(n, n_theta);
    for (Real** x : {&a.outer_value_gradient, &a.outer_gap_gradient}) *x = pieces.take<Real>(n, n_v);
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
    for (Real** x : {&a.outer_value, &a.gap, &a.magnitude, &a.held_out}) *x = pieces.take<Real>(n);
    const std::int64_t inner_chunks = stage_chunks(n_theta), chunks = stage_chunks(n_v) + inner_chunks;
    a.partial = pieces.take<Real>(n, 3 * chunks);
    a.largest = pieces.take<Real>(n, chunks);
    a.descent_largest = pieces.take<Real>(n, inner_chunks);
    a.promise = pieces.take<Real>(n, 2 * inner_chunks);
    return a;
}

/// Whether somebody looks at the stationarity of every evaluation.
template <class Real>
bool is_watched(const batch_arguments<Real>& batch) {
    const batch_options& o = batch.options;
    const auto is_set = [](const batch_number<Real>& x) { return x.data != nullptr || x.value > 0; };
    return is_set(batch.parameters.tol_stationarity) || is_set(batch.parameters.tol_gap) || o.has_relative_tolerance ||
           o.wants_best || o.trace_interval > 0 || o.has_box;
}

/// One solve: the order of its stages.
template <class Real>
class staged_run {
public:
    staged_run(oracle<Real>& of, const staged_functions<Real>& functions, thread_team& team,
               const staged_arguments<Real>& arguments)
        : oracle_(of), functions_(functions), team_(team), a_(arguments) {
        clock_.is_watched = is_watched(a_.batch);
        a_.clock = &clock_;
        call_.num_problems = a_.num_problems;
        call_.num_threads = team.num_threads();
    }

    void solve(const std::atomic<bool>* cancel, std::atomic<std::int64_t>* progress) {
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
        run(stage::begin);
        run(stage::open);
        try {
            iterate(cancel, progress);
            if (a_.batch.options.wants_refined && any(stage_is_refinable)) refine();
            if (a_.batch.options.wants_held_out) {
                held_out();
                clock_.has_held_out = true;
            }
        } catch (...) {
            clock_.is_cut_short = true;
            run(stage::abandon);
            run(stage::report);
            throw;
        }
        run(stage::report);
    }

private:
    const batch_options& options() const { return a_.batch.options; }
    Real* theta() const { return a_.batch.inner; }

    void run(stage which) {
        const bool is_short = items_of(which) == stage_items::problems;
        const std::int64_t grain =
            is_short ? problems_per_piece : std::max<std::int64_t>(1, elements_per_piece / elements_per_item());
        team_.for_each(num_items(which, a_), grain,
                       [&](std::int64_t first, std::int64_t last) { functions_.run(which, a_, first, last); });
    }
    std::int64_t elements_per_item() const {
        return std::min<std::int64_t>(stage_chunk, std::max(a_.outer_dim, a_.inner_dim));
    }

    bool any(stage_flag flag) const {
        return std::any_of(a_.flags, a_.flags + a_.num_problems, [&](std::uint8_t x) { return (x & flag) != 0; });
    }

    void inner_gradient(const Real* at, Real* to, std::int64_t descent_step) {
        oracle_call call = call_;
        call.descent_step = descent_step;
        oracle_.inner_gradient(call, a_.batch.outer, at, to);
    }
    void outer_gradient(const Real* at, Real* value, Real* of_outer, Real* of_inner) {
        oracle_.outer_gradient(call_, a_.batch.outer, at, value, of_outer, of_inner);
    }
    void gap_gradient(const Real* descent) {
        oracle_.gap_gradient(call_, a_.batch.outer, theta(), descent, a_.gap, a_.magnitude, a_.outer_gap_gradient);
    }
    void held_out() { oracle_.held_out(call_, a_.batch.outer, theta(), a_.held_out); }

    void iterate(const std::atomic<bool>* cancel, std::atomic<std::int64_t>* progress) {
        std::int64_t num_active = a_.num_problems;
        for (;; ++clock_.step) {
            clock_.is_cancelled = cancel != nullptr && cancel->load(std::memory_order_relaxed);
            run(stage::plan);
            evaluate();
            finish_iteration();
            const std::int64_t still =
                std::count_if(a_.flags, a_.flags + a_.num_problems, [](auto x) { return (x & stage_is_active) != 0; });
            if (progress != nullptr) progress->fetch_add(num_active - still, std::memory_order_relaxed);
            num_active = still;
            if (still == 0) return;
        }
    }

    void evaluate() {
        oracle_.prepare(call_, a_.batch.outer);
        outer_gradient(theta(), a_.outer_value, a_.outer_value_gradient, a_.inner_value_gradient);
        inner_gradient(theta(), a_.inner_gap_gradient, 0);
        if (any(stage_is_due)) measure();
        run(stage::choose);
        run(stage::first_descend);
        for (std::int64_t t = 1; t < options().inner_steps; ++t) {
            inner_gradient(a_.descent, a_.gradient, t);
            run(stage::descend);
        }
        gap_gradient(a_.descent);
        run(stage::balance);
        run(stage::weigh);
        if (any(stage_wants_residual)) run(stage::residual);
        run(stage::decide);
    }

    void measure() {
        run(stage::probe_start);
        clock_.round = any(stage_begins) ? first_rounds : 1;
        run(stage::probe_length);
        for (; clock_.round > 0; --clock_.round) {
            run(stage::probe_inner_move);
            inner_gradient(a_.descent, a_.gradient, -1);
            run(stage::probe_inner_sums);
            run(stage::probe_inner_settle);
            run(stage::probe_inner_turn);
            run(stage::probe_outer_move);
            // q̂ and ∇_v q̂ are still to come: their places are free.
            outer_gradient(a_.descent, a_.gap, a_.outer_gap_gradient, a_.gradient);
            run(stage::probe_outer_sums);
            run(stage::probe_outer_settle);
            run(stage::probe_outer_turn);
        }
    }

    void finish_iteration() {
        if (any(stage_is_better)) run(stage::keep_best);
        if (options().traces_held_out && clock_.step % options().trace_interval == 0) {
            held_out();
            run(stage::trace_held_out);
        }
        if (any(stage_is_in_doubt)) run(stage::check);
        run(stage::settle);
        if (any(stage_wants_residual)) {
            run(stage::residual);
            run(stage::complete);
        }
        run(stage::update);
    }

    void refine() {
        run(stage::refine);
        oracle_.prepare(call_, a_.batch.outer);
        const Real* refined = theta();
        for (std::int64_t t = 0; t < options().refine_steps; ++t) {
            inner_gradient(refined, a_.gradient, t);
            run(t == 0 ? stage::refine_descend : stage::descend);
            refined = a_.descent;
        }
        outer_gradient(refined, a_.outer_value, a_.outer_value_gradient, a_.inner_value_gradient);
        gap_gradient(refined);
        clock_.is_refined = true;
    }

    oracle<Real>& oracle_;
    const staged_functions<Real>& functions_;
    thread_team& team_;
    staged_arguments<Real> a_;
    staged_clock clock_;
    oracle_call call_;
};

}  // namespace cubome::detail
