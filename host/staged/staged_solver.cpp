// SPDX-License-Identifier: Apache-2.0
#include "cubome/staged.hpp"

#include <string>

#include "cubome/error.hpp"
#include "cubome/problem.hpp"
#include "host/batch_arrays.hpp"
#include "host/execution.hpp"
#include "host/staged/cpu_stages.hpp"
#include "host/staged/stage_functions.hpp"
#include "host/staged/staged_cuda.hpp"
#include "host/staged/staged_kernels.hpp"
#include "host/staged/thread_team.hpp"
#include "host/validate.hpp"
#include "host/workspace.hpp"

namespace cubome {

template <class Real>
void oracle<Real>::reserve(std::int64_t) {}

template <class Real>
void oracle<Real>::prepare(const oracle_call&, const Real*) {}

template <class Real>
void oracle<Real>::held_out(const oracle_call&, const Real*, const Real*, Real*) {
    throw invalid_argument("solve", "oracle", "has held-out data, but no held_out()", "one of its own");
}

namespace {

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
          progress(e.progress) {
        detail::check_execution(e);
        const auto bind = [&](const char* name, const batch_view<const Real>& bound) {
            if (bound.given()) problem.bind(name, bound);
        };
        bind("outer_lower", b.outer_lower);
        bind("outer_upper", b.outer_upper);
        bind("inner_lower", b.inner_lower);
        bind("inner_upper", b.inner_upper);
        detail::validate(problem, settings);
        info.mapping = "staged";
        info.where = where_of(o, detail::choose_backend(e.where));
        if (info.where == backend::cuda)
            prepare_cuda(e);
        else
            prepare_cpu(e);
    }

    /// The solver works where its oracle does.
    static backend where_of(const cubome::oracle<Real>& o, backend wanted) {
        const backend where = o.where() == backend::cuda ? backend::cuda : backend::cpu;
        if (wanted != backend::automatic && wanted != where)
            throw invalid_argument("solve", "execution.where", "is '" + std::string(to_string(wanted)) + "'",
                                   "'" + std::string(to_string(where)) + "', where the oracle works");
        return where;
    }

    void prepare_cpu(const execution& e) {
        info.instructions = detail::choose_instructions(
            "staged", e.instructions, [](instruction_set which) { return compiled_for<Real>(which) != nullptr; });
        functions = compiled_for<Real>(info.instructions);
        team = std::make_unique<detail::thread_team>(detail::choose_threads(e.num_threads));
        info.num_threads = team->num_threads();
    }

    void prepare_cuda(const execution& e) {
        auto* const runtime = detail::current_cuda_runtime();
        const auto* const kernels = detail::current_staged_kernels<Real>();
        if (runtime == nullptr || kernels == nullptr)
            throw not_compiled("solve: the backend 'cuda' is not part of this build, which has 'cpu'");
        cuda = std::make_unique<detail::staged_cuda<Real>>(*runtime, *kernels, problem.layout(), e.device);
        info.device = cuda->device();
    }

    staged_arguments<Real> cut(detail::piece_cutter& pieces, const batch_arguments<Real>& batch, std::int64_t n) const {
        const std::size_t record_bytes = cuda != nullptr ? cuda->record_bytes() : functions->record_bytes;
        return detail::cut_pieces(pieces, batch, n, problem.outer_dim(), problem.inner_dim(), record_bytes);
    }

    std::size_t workspace_bytes(std::int64_t n) const {
        auto batch = detail::make_arguments(problem, settings);
        batch.options.wants_curvature = true;
        return bytes_of(batch, n);
    }

    std::size_t bytes_of(const batch_arguments<Real>& batch, std::int64_t n) const {
        detail::piece_cutter counter(nullptr);
        cut(counter, batch, n);
        if (counter.used() >= detail::piece_cutter::too_much)
            throw invalid_argument("solve", "num_problems", "is " + std::to_string(n),
                                   "fewer: these need more workspace than memory can hold");
        return counter.used();
    }

    batch_arguments<Real> validate(const cubome::state<Real>& state, const cubome::report<Real>& report,
                                   const detail::caller_workspace& own) const {
        const auto batch = detail::validate_batch(problem, settings, state, report, own);
        if (state.iteration.data != nullptr && (cuda == nullptr || cuda->can_host_read(state.iteration.data)))
            detail::check_iterations(state, batch.options.outer_steps);
        return batch;
    }

    run_info solve(const cubome::state<Real>& state, const cubome::report<Real>& report,
                   const detail::caller_workspace* own) {
        const auto batch = validate(state, report, own != nullptr ? *own : detail::caller_workspace());
        const std::int64_t n = state.outer.num_problems;
        const std::size_t needed = own != nullptr ? workspace_bytes(n) : bytes_of(batch, n);
        if (own != nullptr) detail::check_workspace(*own, needed);
        if (n == 0) return info;
        of.reserve(n);
        void* const lent = own != nullptr ? own->data : nullptr;
        if (cuda == nullptr) {
            const detail::aligned_memory memory(own != nullptr ? 0 : needed);
            detail::clear_report(batch, problem.layout(), n);
            detail::piece_cutter pieces(own != nullptr ? lent : memory.data());
            detail::cpu_stages<Real> stages(*functions, *team);
            oracle_call call;
            call.num_threads = info.num_threads;
            detail::staged_run<Real> run(of, stages, cut(pieces, batch, n), call);
            detail::solve_on_cpu(run, cancel, progress);
        } else {
            const auto cut_workspace = [&](const batch_arguments<Real>& there, void* workspace) {
                detail::piece_cutter pieces(workspace);
                return cut(pieces, there, n);
            };
            cuda->solve(of, batch, n, cut_workspace, needed, lent, cancel, progress);
        }
        return info;
    }

    run_info enqueue(CUstream_st* stream, const cubome::state<Real>& state, const cubome::report<Real>& report,
                     const detail::caller_workspace& own) {
        if (cuda == nullptr) throw invalid_argument("enqueue", "oracle", "works on the cpu", "one of 'cuda'");
        const auto batch = validate(state, report, own);
        const std::int64_t n = state.outer.num_problems;
        detail::check_workspace(own, workspace_bytes(n));
        if (n == 0) return info;
        detail::piece_cutter pieces(own.data);
        cuda->enqueue(of, cut(pieces, batch, n), own.data, stream);
        return info;
    }

    cubome::oracle<Real>& of;
    problem_runner<Real> runner;
    cubome::problem<Real> problem;
    cubome::settings<Real> settings;
    const std::atomic<bool>* cancel;
    std::atomic<std::int64_t>* progress;
    std::unique_ptr<detail::thread_team> team;
    const staged_functions<Real>* functions = nullptr;  ///< of the CPU
    std::unique_ptr<detail::staged_cuda<Real>> cuda;    ///< else
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
run_info staged_solver<Real>::enqueue(CUstream_st* stream, const state<Real>& state, const report<Real>& report,
                                      void* workspace, std::size_t bytes) {
    return plan_->enqueue(stream, state, report, {workspace, bytes});
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
