// SPDX-License-Identifier: Apache-2.0
#include "cubome/staged.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "cubome/core/stages.hpp"
#include "cubome/error.hpp"
#include "cubome/problem.hpp"
#include "host/batch_arrays.hpp"
#include "host/execution.hpp"
#include "host/staged/stage_functions.hpp"
#include "host/staged/thread_team.hpp"
#include "host/validate.hpp"
#include "host/workspace.hpp"

namespace cubome {

template <class Real>
void oracle<Real>::prepare(const oracle_call&, const Real*) {}

template <class Real>
void oracle<Real>::held_out(const oracle_call&, const Real*, const Real*, Real*) {}

namespace {

/// Elements that are worth waking a thread for.
constexpr std::int64_t elements_per_piece = 16 * std::int64_t{stage_chunk};
constexpr std::int64_t problems_per_piece = 64;

// An oracle as a family of problems, with nothing but its dimensions: what the contract of a solve is checked against.
constexpr const char* dim_names[] = {"outer_dim", "inner_dim", "has_held_out"};

const char* check_dims(const std::int64_t* dims, int* wrong) noexcept {
    for (*wrong = 0; *wrong < 2; ++*wrong)
        if (dims[*wrong] < 1) return "at least 1";
    return nullptr;
}

problem_layout layout_of_dims(const std::int64_t* dims) noexcept {
    problem_layout result;
    result.outer_dim = dims[0];
    result.inner_dim = dims[1];
    result.has_held_out = dims[2] != 0;
    return result;
}

template <class Real>
problem_runner<Real> describe_oracle(bool has_curvature) {
    problem_runner<Real> result;
    result.name = "oracle";
    result.num_dims = 3;
    result.dim_names = dim_names;
    result.has_curvature = has_curvature;
    result.check = &check_dims;
    result.layout = &layout_of_dims;
    return result;
}

template <class Real>
const staged_functions<Real>* compiled_for([[maybe_unused]] instruction_set which) {
    constexpr bool is_float = sizeof(Real) == sizeof(float);
    const auto choose = [](auto of_float, auto of_double) {
        if constexpr (is_float)
            return of_float();
        else
            return of_double();
    };
    switch (which) {
        case instruction_set::baseline:
            return choose(&detail::stages_float_baseline, &detail::stages_double_baseline);
#ifdef CUBOME_HAS_CPU_AVX2
        case instruction_set::avx2:
            return choose(&detail::stages_float_avx2, &detail::stages_double_avx2);
#endif
#ifdef CUBOME_HAS_CPU_AVX512
        case instruction_set::avx512:
            return choose(&detail::stages_float_avx512, &detail::stages_double_avx512);
#endif
        default:
            return nullptr;
    }
}

/// One solve: the order of its stages.
template <class Real>
class staged_run {
public:
    staged_run(oracle<Real>& of, const staged_functions<Real>& functions, detail::thread_team& team,
               const staged_arguments<Real>& arguments, const staged_clock& clock)
        : oracle_(of), functions_(functions), team_(team), a_(arguments), clock_(clock) {
        a_.clock = &clock_;
        call_.num_problems = a_.num_problems;
        call_.num_threads = team.num_threads();
    }

    void solve(const std::atomic<bool>* cancel, std::atomic<std::int64_t>* progress) {
        run(stage::begin);
        run(stage::open);
        try {
            iterate(cancel, progress);
            if (a_.batch.options.wants_refined && any(stage_is_refinable)) refine();
            if (a_.batch.options.wants_held_out) held_out();
        } catch (...) {
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
    detail::thread_team& team_;
    staged_arguments<Real> a_;
    staged_clock clock_;
    oracle_call call_;
};

/// Cuts arrays out of a workspace, or counts what they take.
class piece_cutter {
public:
    static constexpr std::size_t too_much =
        std::numeric_limits<std::ptrdiff_t>::max() / detail::alignment * detail::alignment;

    explicit piece_cutter(void* workspace) : workspace_(static_cast<char*>(workspace)) {}

    template <class T>
    T* take(std::int64_t rows, std::int64_t columns = 1) {
        const auto most = static_cast<std::int64_t>(too_much / sizeof(T));
        char* const piece = workspace_ == nullptr ? nullptr : workspace_ + used_;
        const bool fits = columns == 0 || rows <= most / columns;
        const std::size_t bytes = fits ? static_cast<std::size_t>(rows * columns) * sizeof(T) : too_much;
        used_ = std::min(too_much, used_ + (bytes + detail::alignment - 1) / detail::alignment * detail::alignment);
        return reinterpret_cast<T*>(piece);
    }
    std::size_t used() const { return used_; }

private:
    char* workspace_;
    std::size_t used_ = 0;
};

}  // namespace

template <class Real>
struct staged_solver<Real>::plan {
    plan(cubome::oracle<Real>& o, const cubome::settings<Real>& s, const cubome::box<Real>& b,
         const cubome::execution& e)
        : of(o),
          runner(describe_oracle<Real>(o.has_curvature())),
          problem(runner, {o.outer_dim(), o.inner_dim(), o.has_held_out()}),
          settings(s),
          cancel(e.cancel),
          progress(e.progress),
          team((detail::check_execution(e), detail::choose_threads(e.num_threads))) {
        const auto bind = [&](const char* name, const batch_view<const Real>& bound) {
            if (bound.given()) problem.bind(name, bound);
        };
        bind("outer_lower", b.outer_lower);
        bind("outer_upper", b.outer_upper);
        bind("inner_lower", b.inner_lower);
        bind("inner_upper", b.inner_upper);
        detail::validate(problem, settings);
        if (detail::choose_backend(e.where) == backend::cuda)
            throw not_compiled("solve: the staged engine of this build has no backend 'cuda'");
        info.where = backend::cpu;
        info.mapping = "staged";
        info.num_threads = team.num_threads();
        info.instructions = detail::choose_instructions(
            "staged", e.instructions, [](instruction_set which) { return compiled_for<Real>(which) != nullptr; });
        functions = compiled_for<Real>(info.instructions);
    }

    /// What a solve works in.
    /// @param batch what the user has given: what is missing of it is taken from the workspace
    staged_arguments<Real> cut(piece_cutter& pieces, const batch_arguments<Real>& batch, std::int64_t n) const {
        const batch_options& o = batch.options;
        const std::int64_t n_v = problem.outer_dim(), n_theta = problem.inner_dim();
        const bool is_automatic = o.steps == step_rule::automatic;
        staged_arguments<Real> a;
        a.batch = batch;
        a.num_problems = n;
        a.outer_dim = n_v;
        a.inner_dim = n_theta;
        a.records = pieces.take<std::byte>(n, static_cast<std::int64_t>(functions->record_bytes));
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

    std::size_t workspace_bytes(std::int64_t n) const {
        auto batch = detail::make_arguments(problem, settings);
        batch.options.wants_curvature = true;
        piece_cutter counter(nullptr);
        cut(counter, batch, n);
        if (counter.used() >= piece_cutter::too_much)
            throw invalid_argument("solve", "num_problems", "is " + std::to_string(n),
                                   "fewer: these need more workspace than memory can hold");
        return counter.used();
    }

    run_info solve(const cubome::state<Real>& state, const cubome::report<Real>& report,
                   const detail::caller_workspace* own) {
        const auto batch = detail::validate_batch(problem, settings, state, report,
                                                  own != nullptr ? *own : detail::caller_workspace());
        const std::int64_t n = state.outer.num_problems;
        if (state.iteration.data != nullptr) detail::check_iterations(state, batch.options.outer_steps);
        const std::size_t needed = workspace_bytes(n);
        if (own != nullptr) detail::check_workspace(*own, needed);
        const detail::aligned_memory memory(own != nullptr ? 0 : needed);
        detail::clear_report(batch, problem.layout(), n);
        if (n == 0) return info;
        piece_cutter pieces(own != nullptr ? own->data : memory.data());
        staged_clock clock;
        clock.is_watched = is_watched(batch);
        staged_run<Real>(of, *functions, team, cut(pieces, batch, n), clock).solve(cancel, progress);
        return info;
    }

    /// Whether somebody looks at the stationarity of every evaluation.
    static bool is_watched(const batch_arguments<Real>& batch) {
        const batch_options& o = batch.options;
        const auto is_set = [](const batch_number<Real>& x) { return x.data != nullptr || x.value > 0; };
        return is_set(batch.parameters.tol_stationarity) || is_set(batch.parameters.tol_gap) ||
               o.has_relative_tolerance || o.wants_best || o.trace_interval > 0;
    }

    cubome::oracle<Real>& of;
    problem_runner<Real> runner;
    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    const std::atomic<bool>* cancel;
    std::atomic<std::int64_t>* progress;
    detail::thread_team team;
    const staged_functions<Real>* functions = nullptr;
    run_info info;
};

template <class Real>
staged_solver<Real>::staged_solver(cubome::oracle<Real>& oracle, const cubome::settings<Real>& settings,
                                   const cubome::box<Real>& box, const cubome::execution& execution)
    : plan_(std::make_unique<plan>(oracle, settings, box, execution)) {}

template <class Real>
staged_solver<Real>::staged_solver(staged_solver&&) noexcept = default;
template <class Real>
staged_solver<Real>& staged_solver<Real>::operator=(staged_solver&&) noexcept = default;
template <class Real>
staged_solver<Real>::~staged_solver() = default;

template <class Real>
std::size_t staged_solver<Real>::workspace_bytes(std::int64_t num_problems) const {
    if (num_problems < 0)
        throw invalid_argument("workspace_bytes", "num_problems", "is " + std::to_string(num_problems), "at least 0");
    return plan_->workspace_bytes(num_problems);
}

template <class Real>
run_info staged_solver<Real>::solve(const state<Real>& state, const report<Real>& report) {
    return plan_->solve(state, report, nullptr);
}

template <class Real>
run_info staged_solver<Real>::solve(const state<Real>& state, const report<Real>& report, void* workspace,
                                    std::size_t bytes) {
    const detail::caller_workspace own{workspace, bytes};
    return plan_->solve(state, report, &own);
}

template <class Real>
run_info staged_solver<Real>::info() const noexcept {
    return plan_->info;
}

template class oracle<float>;
template class oracle<double>;
template class staged_solver<float>;
template class staged_solver<double>;

}  // namespace cubome
