// SPDX-License-Identifier: Apache-2.0
#include "cubome/staged.hpp"

#include <string>

#include "cubome/error.hpp"
#include "host/batch_arrays.hpp"
#include "host/execution.hpp"
#include "host/staged/cpu_stages.hpp"
#include "host/staged/stage_functions.hpp"
#include "host/staged/staged_contract.hpp"
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

template <class Real>
struct staged_solver<Real>::plan {
    plan(cubome::oracle<Real>& o, const cubome::settings<Real>& s, const cubome::box<Real>& b,
         const cubome::execution& e)
        : of(o),
          contract(o.outer_dim(), o.inner_dim(), o.has_held_out(), o.has_curvature(), s, b, e,
                   detail::vector_owner::workspace),
          outer_steps(s.outer_steps),
          cancel(e.cancel),
          progress(e.progress) {
        info.mapping = "staged";
        info.where = where_of(o, e.where);
        if (info.where == backend::cuda)
            prepare_cuda(e);
        else
            prepare_cpu(e);
    }

    /// The solver works where its oracle does.
    static backend where_of(const cubome::oracle<Real>& o, backend wanted) {
        const backend where = o.where() == backend::cuda ? backend::cuda : backend::cpu;
        if (wanted != backend::automatic && detail::choose_backend(wanted) != where)
            throw invalid_argument("solve", "execution.where", "is '" + std::string(to_string(wanted)) + "'",
                                   "'" + std::string(to_string(where)) + "', where the oracle works");
        return where;
    }

    void prepare_cpu(const execution& e) {
        functions = detail::choose_stage_functions<Real>(e.instructions, &info.instructions);
        team = std::make_unique<detail::thread_team>(detail::choose_threads(e.num_threads));
        info.num_threads = team->num_threads();
    }

    void prepare_cuda(const execution& e) {
        const auto with = detail::require_staged_device<Real>();
        cuda = std::make_unique<detail::staged_cuda<Real>>(with.runtime, with.kernels, contract.layout(), e.device);
        info.device = cuda->device();
    }

    std::size_t record_bytes() const { return cuda != nullptr ? cuda->record_bytes() : functions->record_bytes; }
    std::size_t workspace_bytes(std::int64_t n) const { return contract.workspace_bytes(n, record_bytes()); }

    run_info solve(const cubome::state<Real>& state, const cubome::report<Real>& report,
                   const detail::caller_workspace* own) {
        const auto batch = contract.validate(state, report, own != nullptr ? *own : detail::caller_workspace());
        if (state.iteration.data != nullptr && (cuda == nullptr || cuda->can_host_read(state.iteration.data)))
            detail::check_iterations(state, outer_steps);
        const std::int64_t n = state.outer.num_problems;
        const std::size_t needed = own != nullptr ? workspace_bytes(n) : contract.bytes_of(batch, n, record_bytes());
        if (own != nullptr) detail::check_workspace(*own, needed);
        if (n == 0) return info;
        void* const lent = own != nullptr ? own->data : nullptr;
        if (cuda == nullptr) {
            const detail::aligned_memory memory(own != nullptr ? 0 : needed);
            of.reserve(n);
            detail::clear_report(batch, contract.layout(), n);
            detail::cpu_stages<Real> stages(*functions, *team);
            oracle_call call;
            call.num_threads = info.num_threads;
            const auto arguments = contract.cut(own != nullptr ? lent : memory.data(), batch, n, record_bytes());
            detail::staged_run<Real> run(of, stages, arguments, call);
            detail::solve_on_cpu(run, cancel, progress);
        } else {
            const auto cut_workspace = [&](const batch_arguments<Real>& there, void* workspace) {
                return contract.cut(workspace, there, n, record_bytes());
            };
            cuda->solve(of, batch, n, cut_workspace, needed, lent, cancel, progress);
        }
        return info;
    }

    run_info enqueue(CUstream_st* stream, const cubome::state<Real>& state, const cubome::report<Real>& report,
                     const detail::caller_workspace& own) {
        if (cuda == nullptr)
            throw invalid_argument("enqueue", "oracle", "works on the cpu", "one that works on 'cuda'");
        const std::int64_t n = state.outer.num_problems;
        const auto batch = detail::check_for("enqueue", [&] {
            auto result = contract.validate(state, report, own);
            detail::check_workspace(own, workspace_bytes(n));
            return result;
        });
        if (n == 0) return info;
        cuda->enqueue(of, contract.cut(own.data, batch, n, record_bytes()), own.data, stream);
        return info;
    }

    cubome::oracle<Real>& of;
    detail::staged_contract<Real> contract;
    std::int64_t outer_steps;
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
