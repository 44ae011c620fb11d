// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cubome/staged.hpp"
#include "host/staged/stage_sequence.hpp"

namespace cubome::detail {

/// One staged solve: the stages, and between them the oracle.
template <class Real>
class staged_run {
public:
    staged_run(oracle<Real>& of, stage_runner<Real>& runner, const staged_arguments<Real>& arguments,
               const oracle_call& call)
        : oracle_(of), stages_(runner, arguments), call_(call) {
        call_.num_problems = arguments.num_problems;
    }

    const staged_arguments<Real>& arguments() const { return stages_.arguments(); }
    std::int64_t step() const { return stages_.step(); }

    void begin() { stages_.begin(); }

    void iterate(bool is_cancelled) {
        stages_.plan(is_cancelled);
        evaluate();
        if (traces_held_out()) {
            held_out();
            stages_.run(stage::trace_held_out);
        }
        stages_.update();
    }

    /// What tells iterations apart that are made of other calls: those of one kind can be recorded and repeated.
    struct kind {
        bool measures, traces_held_out;
    };
    kind next_kind() const { return {stages_.may_have(stage_is_due), traces_held_out()}; }
    void count_repeated() { stages_.count_repeated(); }

    /// What is wanted of the iterates that are returned.
    void end() {
        if (options().wants_refined && stages_.may_have(stage_is_refinable)) refine();
        if (options().wants_held_out) {
            held_out();
            now().has_held_out = true;
        }
        stages_.run(stage::report);
    }

    /// Ends what an oracle that failed leaves unfinished.
    void abandon() {
        now().is_cut_short = true;
        stages_.run(stage::abandon);
        stages_.run(stage::report);
    }

private:
    const batch_options& options() const { return stages_.options(); }
    stage_conditions& now() { return stages_.arguments().now; }
    Real* theta() const { return arguments().batch.inner; }

    bool traces_held_out() const { return options().traces_held_out && stages_.step() % options().trace_interval == 0; }

    void inner_gradient(const Real* at, Real* to, std::int64_t descent_step) {
        oracle_call call = call_;
        call.descent_step = descent_step;
        oracle_.inner_gradient(call, arguments().batch.outer, at, to);
    }
    void outer_gradient(const Real* at, Real* value, Real* of_outer, Real* of_inner) {
        oracle_.outer_gradient(call_, arguments().batch.outer, at, value, of_outer, of_inner);
    }
    void gap_gradient(const Real* descent) {
        const auto& a = arguments();
        oracle_.gap_gradient(call_, a.batch.outer, theta(), descent, a.gap, a.magnitude, a.outer_gap_gradient);
    }
    void held_out() { oracle_.held_out(call_, arguments().batch.outer, theta(), arguments().held_out); }

    void evaluate() {
        const auto& a = arguments();
        oracle_.prepare(call_, a.batch.outer);
        outer_gradient(theta(), a.outer_value, a.outer_value_gradient, a.inner_value_gradient);
        inner_gradient(theta(), a.inner_gap_gradient, 0);
        if (stages_.may_have(stage_is_due)) measure();
        stages_.run(stage::choose);
        stages_.descend(0);
        for (std::int64_t t = 1; t < options().inner_steps; ++t) {
            inner_gradient(a.descent, a.gradient, t);
            stages_.descend(t);
        }
        gap_gradient(a.descent);
        stages_.balance();
    }

    void measure() {
        const auto& a = arguments();
        stages_.run(stage::probe_start);
        std::int64_t& round = now().round;
        round = stages_.may_have(stage_begins) ? first_rounds : 1;
        stages_.run(stage::probe_length);
        for (; round > 0; --round) {
            stages_.run(stage::probe_inner_move);
            inner_gradient(a.descent, a.gradient, -1);
            stages_.run(stage::probe_inner_sums);
            stages_.run(stage::probe_inner_settle);
            stages_.run(stage::probe_inner_turn);
            stages_.run(stage::probe_outer_move);
            // q̂ and ∇_v q̂ are still to come: their places are free.
            outer_gradient(a.descent, a.gap, a.outer_gap_gradient, a.gradient);
            stages_.run(stage::probe_outer_sums);
            stages_.run(stage::probe_outer_settle);
            stages_.run(stage::probe_outer_turn);
        }
    }

    void refine() {
        const auto& a = arguments();
        stages_.run(stage::refine);
        oracle_.prepare(call_, a.batch.outer);
        const Real* refined = theta();
        for (std::int64_t t = 0; t < options().refine_steps; ++t) {
            inner_gradient(refined, a.gradient, t);
            stages_.run(t == 0 ? stage::refine_descend : stage::descend);
            refined = a.descent;
        }
        outer_gradient(refined, a.outer_value, a.outer_value_gradient, a.inner_value_gradient);
        gap_gradient(refined);
        now().is_refined = true;
    }

    oracle<Real>& oracle_;
    stage_sequence<Real> stages_;
    oracle_call call_;
};

}  // namespace cubome::detail
